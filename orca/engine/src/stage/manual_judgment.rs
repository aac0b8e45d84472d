//! `manualJudgment` waits for a person: `judgmentStatus` "continue" or "stop", patched into the stage.

use kork_model::{Context, Status};
use serde_json::{Value, json};

use super::{Definition, Outcome, Plan, PlanError, StageView};
use crate::context::text;

/// Three days, as in Spinnaker; `stageTimeoutMs` changes it.
const JUDGMENT_TIMEOUT_MS: u64 = 3 * 24 * 3600 * 1000;

pub(super) struct ManualJudgment;

impl Definition for ManualJudgment {
    fn names(&self) -> &'static [&'static str] {
        &["manualJudgment"]
    }

    fn description(&self) -> &'static str {
        "waits for a person to say continue or stop (judgmentStatus), with an optional judgmentInput"
    }

    fn plan(&self, _: &StageView<'_>) -> Result<Plan, PlanError> {
        Ok(Plan {
            tasks: vec![("waitForJudgment", "waitForJudgment")],
            before: Vec::new(),
        })
    }

    fn run(&self, _: &str, view: &StageView<'_>) -> Outcome {
        let context = &view.stage.context;
        let judgment = text(context, "judgmentStatus")
            .unwrap_or_default()
            .to_ascii_lowercase();
        // Clients expect the list to be there, even when nobody is notified.
        let mut shown = Context::new();
        shown.insert(
            "notifications".to_owned(),
            context
                .get("notifications")
                .cloned()
                .unwrap_or_else(|| json!([])),
        );
        match judgment.as_str() {
            "continue" => Outcome::Done {
                status: Status::Succeeded,
                context: shown,
                outputs: Context::new(),
            },
            "stop" => Outcome::Done {
                status: Status::Terminal,
                context: shown,
                outputs: Context::new(),
            },
            _ => Outcome::Wait {
                until: None,
                context: shown,
            },
        }
    }

    fn timeout_ms(&self, _: &str, _: &StageView<'_>) -> Option<u64> {
        Some(JUDGMENT_TIMEOUT_MS)
    }

    fn prepare_restart(&self, context: &mut Context) {
        for key in ["judgmentStatus", "lastModifiedBy"] {
            context.remove(key);
        }
    }

    fn check_patch(&self, patch: &Context) -> Result<(), String> {
        match patch.get("judgmentStatus") {
            None | Some(Value::String(_)) => Ok(()),
            Some(other) => Err(format!(
                "judgmentStatus must be \"continue\" or \"stop\", not {other}"
            )),
        }
    }
}
