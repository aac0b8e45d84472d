//! `wait` lasts some seconds; `waitUntil` lasts until a moment. Both can be cut short. `noop` does not
//! last at all.

use kork_model::{Context, Timestamp};
use serde_json::Value;

use super::{Definition, Outcome, Plan, PlanError, StageView, exception};
use crate::{context::flag, limits::WAIT_SECONDS_MAX};

/// Seconds until the last moment that Java's calendar knows; the original fails past it.
const CALENDAR_SECONDS_MAX: u64 = 31_556_889_864_403_199;

/// `waitTime` seconds from the start of the stage; `skipRemainingWait` ends it.
pub(super) struct Wait;

impl Definition for Wait {
    fn names(&self) -> &'static [&'static str] {
        &["wait"]
    }

    fn description(&self) -> &'static str {
        "waits waitTime seconds; skipRemainingWait ends it"
    }

    fn plan(&self, _: &StageView<'_>) -> Result<Plan, PlanError> {
        Ok(Plan {
            tasks: vec![("wait", "wait")],
            before: Vec::new(),
        })
    }

    fn run(&self, _: &str, view: &StageView<'_>) -> Outcome {
        let context = &view.stage.context;
        let seconds = match seconds(context.get("waitTime")) {
            Ok(seconds) => seconds,
            Err(message) => {
                return Outcome::failed(exception("IllegalArgumentException", "wait", &message));
            }
        };
        if flag(context, "skipRemainingWait") == Some(true) {
            return Outcome::succeeded();
        }
        let start = view.stage.start_time.unwrap_or(view.now);
        wait_until(view.now, start.plus_ms(seconds.saturating_mul(1000)))
    }

    fn prepare_restart(&self, context: &mut Context) {
        context.remove("skipRemainingWait");
    }
}

/// Until `epochMillis`.
pub(super) struct WaitUntil;

impl Definition for WaitUntil {
    fn names(&self) -> &'static [&'static str] {
        &["waitUntil"]
    }

    fn description(&self) -> &'static str {
        "waits until the moment epochMillis"
    }

    fn plan(&self, _: &StageView<'_>) -> Result<Plan, PlanError> {
        Ok(Plan {
            tasks: vec![("waitUntil", "waitUntil")],
            before: Vec::new(),
        })
    }

    fn run(&self, _: &str, view: &StageView<'_>) -> Outcome {
        let context = &view.stage.context;
        if flag(context, "skipRemainingWait") == Some(true) {
            return Outcome::succeeded();
        }
        match whole(context.get("epochMillis")) {
            Ok(moment) => wait_until(view.now, Timestamp(moment)),
            Err(message) => {
                let message = format!("epochMillis {message}");
                Outcome::failed(exception("IllegalArgumentException", "waitUntil", &message))
            }
        }
    }
}

/// Does nothing: a place in the graph.
pub(super) struct Noop;

impl Definition for Noop {
    fn names(&self) -> &'static [&'static str] {
        &["noop"]
    }

    fn description(&self) -> &'static str {
        "does nothing and counts as skipped"
    }

    fn plan(&self, _: &StageView<'_>) -> Result<Plan, PlanError> {
        Ok(Plan::default())
    }

    fn run(&self, _: &str, _: &StageView<'_>) -> Outcome {
        Outcome::succeeded()
    }
}

fn wait_until(now: Timestamp, end: Timestamp) -> Outcome {
    if now >= end {
        return Outcome::succeeded();
    }
    Outcome::Wait {
        until: Some(end),
        context: Context::new(),
    }
}

fn seconds(value: Option<&Value>) -> Result<u64, String> {
    let seconds = whole(value).map_err(|e| format!("waitTime {e}"))?;
    if seconds > CALENDAR_SECONDS_MAX {
        return Err(format!("waitTime is {seconds} s: no calendar goes so far"));
    }
    Ok(seconds.min(WAIT_SECONDS_MAX))
}

/// A number of 0 or more; fractions are cut off, negative ones count as 0, and so does no value.
/// Observed: "1", 0.4, -1, null and "" are fine; "1.5", "banana", lists and booleans are not.
fn whole(value: Option<&Value>) -> Result<u64, String> {
    match value {
        None | Some(Value::Null) => Ok(0),
        Some(Value::Number(number)) => Ok(number.as_f64().map_or(0, |n| n.max(0.0) as u64)),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(0),
        Some(Value::String(text)) => match text.trim().parse::<i64>() {
            Ok(number) => Ok(number.max(0).unsigned_abs()),
            Err(_) => Err(format!("must be a whole number, not {text:?}")),
        },
        Some(other) => Err(format!("must be a whole number, not {other}")),
    }
}
