//! Operations on server groups and clusters: each is one order to clouddriver.

use super::{Definition, Outcome, Plan, PlanError, StageView};

/// One hour, as Spinnaker's monitor of a cloud operation.
pub(super) const OPERATION_TIMEOUT_MS: u64 = 3600 * 1000;

pub(super) struct ServerGroupOperation;

const OPERATIONS: [&str; 13] = [
    "resizeServerGroup",
    "enableServerGroup",
    "disableServerGroup",
    "destroyServerGroup",
    "cloneServerGroup",
    "disableCluster",
    "shrinkCluster",
    "scaleDownCluster",
    "rollbackServerGroup",
    "rollbackCluster",
    "determineTargetServerGroup",
    "waitForUpInstances",
    "runJob",
];

impl Definition for ServerGroupOperation {
    fn names(&self) -> &'static [&'static str] {
        &OPERATIONS
    }

    fn description(&self) -> &'static str {
        "an operation on a server group or a cluster of an account"
    }

    fn plan(&self, view: &StageView<'_>) -> Result<Plan, PlanError> {
        let Some(kind) = OPERATIONS.into_iter().find(|k| *k == view.stage.kind) else {
            let message = format!("{} is not an operation on server groups", view.stage.kind);
            return Err(PlanError {
                exception: "IllegalStateException",
                message,
            });
        };
        Ok(Plan {
            tasks: vec![(kind, kind)],
            before: Vec::new(),
        })
    }

    fn run(&self, kind: &str, view: &StageView<'_>) -> Outcome {
        to_clouddriver(kind, view)
    }

    fn timeout_ms(&self, _: &str, _: &StageView<'_>) -> Option<u64> {
        Some(OPERATION_TIMEOUT_MS)
    }
}

/// The stage's context is the operation; the application is always told.
pub(super) fn to_clouddriver(kind: &str, view: &StageView<'_>) -> Outcome {
    let mut payload = view.stage.context.clone();
    payload
        .entry("application")
        .or_insert_with(|| serde_json::Value::from(view.execution.application.clone()));
    Outcome::Dispatch {
        service: "clouddriver".to_owned(),
        kind: kind.to_owned(),
        payload,
        timeout_ms: None,
    }
}
