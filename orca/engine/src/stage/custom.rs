//! `custom.<name>`: work for a process that somebody wrote in any language.

use super::{Definition, Outcome, Plan, PlanError, StageView};

/// Types of custom stages begin so; the rest names the queue.
const PREFIX: &str = "custom.";
/// A day, unless the stage says otherwise.
const CUSTOM_TIMEOUT_MS: u64 = 24 * 3600 * 1000;

/// True for `custom.` and a name of letters, digits, `-` and `_`.
pub(super) fn is_custom(kind: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    kind.strip_prefix(PREFIX)
        .is_some_and(|name| !name.is_empty() && name.bytes().all(plain))
}

pub(super) struct Custom;

impl Definition for Custom {
    fn names(&self) -> &'static [&'static str] {
        &["custom.<name>"]
    }

    fn description(&self) -> &'static str {
        "work for a process of your own that takes orders from the queue task.custom.<name>"
    }

    fn plan(&self, _: &StageView<'_>) -> Result<Plan, PlanError> {
        Ok(Plan {
            tasks: vec![("custom", "custom")],
            before: Vec::new(),
        })
    }

    fn run(&self, _: &str, view: &StageView<'_>) -> Outcome {
        Outcome::Dispatch {
            service: view.stage.kind.clone(),
            kind: view.stage.kind.clone(),
            payload: view.stage.context.clone(),
            timeout_ms: None,
        }
    }

    fn timeout_ms(&self, _: &str, _: &StageView<'_>) -> Option<u64> {
        Some(CUSTOM_TIMEOUT_MS)
    }
}
