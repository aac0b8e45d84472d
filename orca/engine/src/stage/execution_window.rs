//! `restrictExecutionDuringTimeWindow`: a synthetic stage that waits until its window opens.
//!
//! `restrictedExecutionWindow {days: [1..7, Sunday = 1], whitelist: [{startHour, startMin, endHour,
//! endMin}], jitter}`. Hours are UTC. Windows may cross midnight. Without days every day counts,
//! without a whitelist the whole day.

use kork_model::{Context, Timestamp};
use serde_json::Value;

use super::{Definition, Outcome, Plan, PlanError, StageView};
use crate::context::flag;

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;
/// A window that does not open within a week never does.
const SEARCH_MINUTES: u64 = 8 * DAY_MINUTES;

pub(super) struct ExecutionWindow;

impl Definition for ExecutionWindow {
    fn names(&self) -> &'static [&'static str] {
        &["restrictExecutionDuringTimeWindow"]
    }

    fn description(&self) -> &'static str {
        "waits until the execution window of its stage opens; skipRemainingWait ends it"
    }

    fn plan(&self, _: &StageView<'_>) -> Result<Plan, PlanError> {
        let task = (
            "suspendExecutionDuringTimeWindow",
            "suspendExecutionDuringTimeWindow",
        );
        Ok(Plan {
            tasks: vec![task],
            before: Vec::new(),
        })
    }

    fn run(&self, _: &str, view: &StageView<'_>) -> Outcome {
        let context = &view.stage.context;
        if flag(context, "skipRemainingWait") == Some(true) {
            return Outcome::succeeded();
        }
        let window = match Window::read(context) {
            Ok(window) => window,
            Err(reason) => {
                let text = format!("Exception occurred while calculating time window: {reason}");
                let set = Context::from_iter([("failureReason".to_owned(), Value::from(text))]);
                return Outcome::Done {
                    status: kork_model::Status::Terminal,
                    context: set,
                    outputs: Context::new(),
                };
            }
        };
        let from = view.stage.start_time.unwrap_or(view.now);
        let Some(opens) = window.opens(from) else {
            return Outcome::Wait {
                until: None,
                context: Context::new(),
            };
        };
        let start = opens.plus_ms(jitter_ms(view));
        if view.now >= start {
            return Outcome::succeeded();
        }
        Outcome::Wait {
            until: Some(start),
            context: Context::new(),
        }
    }
}

struct Window {
    /// Sunday = 1; empty = every day.
    days: Vec<u64>,
    /// Minutes of the day: first and last of each, both inside.
    spans: Vec<(u64, u64)>,
}

impl Window {
    fn read(context: &Context) -> Result<Self, String> {
        let window = context
            .get("restrictedExecutionWindow")
            .and_then(Value::as_object);
        let list = |key: &str| window.and_then(|w| w.get(key)).and_then(Value::as_array);
        let days = list("days").map(|d| d.iter().filter_map(Value::as_u64).collect());
        let mut spans = Vec::new();
        for span in list("whitelist").into_iter().flatten() {
            let start = minute(span, "startHour", "startMin")?;
            let end = minute(span, "endHour", "endMin")?;
            if start <= end {
                spans.push((start, end));
            } else {
                spans.extend([(start, DAY_MINUTES - 1), (0, end)]);
            }
        }
        if spans.is_empty() {
            spans.push((0, DAY_MINUTES - 1));
        }
        Ok(Self {
            days: days.unwrap_or_default(),
            spans,
        })
    }

    /// The first moment at or after `from` inside the window.
    fn opens(&self, from: Timestamp) -> Option<Timestamp> {
        if self.holds(from.millis() / MINUTE_MS) {
            return Some(from);
        }
        let first = from.millis() / MINUTE_MS + 1;
        (first..first + SEARCH_MINUTES)
            .find(|m| self.holds(*m))
            .map(|m| Timestamp(m * MINUTE_MS))
    }

    fn holds(&self, minute: u64) -> bool {
        // 1970-01-01 was a Thursday, which is day 5 when Sunday is 1.
        let day = (minute / DAY_MINUTES + 4) % 7 + 1;
        let of_day = minute % DAY_MINUTES;
        (self.days.is_empty() || self.days.contains(&day))
            && self
                .spans
                .iter()
                .any(|(start, end)| (*start..=*end).contains(&of_day))
    }
}

fn minute(span: &Value, hour: &str, minute: &str) -> Result<u64, String> {
    // In the words of the original, which clients read.
    let number = |key: &str, name: &str, max: u64| {
        let value = span.get(key).cloned().unwrap_or(Value::from(0));
        let number = value.as_u64().filter(|v| *v <= max);
        number.ok_or_else(|| format!("Invalid value for {name} (valid values 0 - {max}): {value}"))
    };
    Ok(number(hour, "HourOfDay", 23)? * 60 + number(minute, "MinuteOfHour", 59)?)
}

/// A delay between `minDelay` and `maxDelay` seconds that is always the same for one stage.
fn jitter_ms(view: &StageView<'_>) -> u64 {
    let window = view.stage.context.get("restrictedExecutionWindow");
    let Some(jitter) = window
        .and_then(|w| w.get("jitter"))
        .and_then(Value::as_object)
    else {
        return 0;
    };
    let manual = view.execution.trigger.get("type").and_then(Value::as_str) == Some("manual");
    let skipped = manual && flag(jitter, "skipManual") == Some(true);
    if flag(jitter, "enabled") != Some(true) || skipped {
        return 0;
    }
    let seconds = |key: &str| jitter.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (least, most) = (seconds("minDelay"), seconds("maxDelay"));
    let spread = most.saturating_sub(least) + 1;
    (least + crate::decide::hash(view.stage.id.as_str()) % spread) * 1000
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn opens(window: Value, from_ms: u64) -> Option<u64> {
        let context = Context::from_iter([("restrictedExecutionWindow".to_owned(), window)]);
        Window::read(&context)
            .unwrap()
            .opens(Timestamp(from_ms))
            .map(Timestamp::millis)
    }

    #[test]
    fn a_window_opens_at_its_first_minute_and_may_cross_midnight() {
        const HOUR: u64 = 60 * MINUTE_MS;
        let night =
            json!({"whitelist": [{"startHour": 22, "startMin": 0, "endHour": 2, "endMin": 0}]});
        assert_eq!(opens(night.clone(), 12 * HOUR), Some(22 * HOUR));
        assert_eq!(opens(night.clone(), HOUR), Some(HOUR));
        assert_eq!(opens(night, 3 * HOUR), Some(22 * HOUR));
        // The epoch is a Thursday: the next Sunday is three days later.
        assert_eq!(opens(json!({"days": [1]}), HOUR), Some(72 * HOUR));
        assert_eq!(opens(json!({"days": [9]}), HOUR), None);
    }

    #[test]
    fn times_that_do_not_exist_are_told() {
        for (span, said) in [
            (
                json!({"startHour": 25}),
                "Invalid value for HourOfDay (valid values 0 - 23): 25",
            ),
            (
                json!({"endHour": 1, "endMin": 61}),
                "Invalid value for MinuteOfHour (valid values 0 - 59): 61",
            ),
        ] {
            let window = json!({"whitelist": [span]});
            let context = Context::from_iter([("restrictedExecutionWindow".to_owned(), window)]);
            assert_eq!(Window::read(&context).err().as_deref(), Some(said));
        }
    }
}
