//! `webhook` calls a URL and, with `waitForCompletion`, follows its status.

use kork_model::Context;
use serde_json::Value;

use super::{Definition, Outcome, Plan, PlanError, StageView, bind_artifacts};
use crate::context::flag;

/// One hour, as in Spinnaker, for following a status.
const MONITOR_TIMEOUT_MS: u64 = 3600 * 1000;
/// Retries of the call itself end after five minutes; the calls have time-outs of their own.
const CALL_TIMEOUT_MS: u64 = 6 * 60 * 1000;

pub(super) struct Webhook;

impl Definition for Webhook {
    fn names(&self) -> &'static [&'static str] {
        &["webhook"]
    }

    fn description(&self) -> &'static str {
        "calls url with method, payload and customHeaders; waitForCompletion follows a status URL"
    }

    fn plan(&self, view: &StageView<'_>) -> Result<Plan, PlanError> {
        let context = &view.stage.context;
        check_method(context)?;
        let mut tasks = Vec::new();
        if flag(context, "monitorOnly") != Some(true) {
            tasks.push(("createWebhook", "createWebhook"));
        }
        if flag(context, "waitForCompletion") == Some(true) {
            if wait_before(context) > 0 {
                tasks.push(("waitBeforeMonitorWebhook", "waitBeforeMonitorWebhook"));
            }
            tasks.push(("monitorWebhook", "monitorWebhook"));
        }
        if bind_artifacts::is_asked(context) {
            tasks.push((bind_artifacts::TASK, bind_artifacts::TASK));
        }
        Ok(Plan {
            tasks,
            before: Vec::new(),
        })
    }

    fn run(&self, kind: &str, view: &StageView<'_>) -> Outcome {
        let context = &view.stage.context;
        if kind == bind_artifacts::TASK {
            return bind_artifacts::run(view);
        }
        if kind == "waitBeforeMonitorWebhook" {
            let task = view.stage.tasks.iter().find(|t| t.name == kind);
            let start = task.and_then(|t| t.start_time).unwrap_or(view.now);
            let end = start.plus_ms(wait_before(context).saturating_mul(1000));
            if view.now >= end {
                return Outcome::succeeded();
            }
            // The task is Spinnaker's wait, which keeps its time under this name.
            let seconds = Value::from(wait_before(context));
            return Outcome::Wait {
                until: Some(end),
                context: Context::from_iter([("waitTime".to_owned(), seconds)]),
            };
        }
        Outcome::Dispatch {
            service: "orca".to_owned(),
            kind: kind.to_owned(),
            payload: context.clone(),
            timeout_ms: None,
        }
    }

    fn timeout_ms(&self, kind: &str, _: &StageView<'_>) -> Option<u64> {
        Some(if kind == "monitorWebhook" {
            MONITOR_TIMEOUT_MS
        } else {
            CALL_TIMEOUT_MS
        })
    }

    /// Observed: a stage that cannot be read fails again while its end is planned.
    fn unplanned_is_terminal(&self) -> bool {
        true
    }

    /// The worker retries by the rules of the stage itself.
    fn is_retried(&self, _: &str) -> bool {
        false
    }

    fn prepare_restart(&self, context: &mut Context) {
        context.remove("webhook");
    }
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn check_method(context: &Context) -> Result<(), PlanError> {
    let known = |method: &str| METHODS.contains(&method.to_ascii_uppercase().as_str());
    match context.get("method") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(method)) if method.is_empty() || known(method) => Ok(()),
        Some(other) => Err(PlanError {
            exception: "IllegalArgumentException",
            message: format!("method must be one of {}, not {other}", METHODS.join(", ")),
        }),
    }
}

fn wait_before(context: &Context) -> u64 {
    match context.get("waitBeforeMonitor") {
        Some(Value::Number(seconds)) => seconds.as_u64().unwrap_or(0),
        Some(Value::String(text)) => text.trim().parse().unwrap_or(0),
        _ => 0,
    }
}
