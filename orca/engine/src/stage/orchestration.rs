//! Jobs of `POST /tasks` that change what front50 stores: each is one order to front50.

use super::{Definition, Outcome, Plan, PlanError, StageView};

/// A minute is far more than a write to the store takes.
const STORE_TIMEOUT_MS: u64 = 60_000;

pub(super) struct Orchestration;

const JOBS: [&str; 10] = [
    "createApplication",
    "updateApplication",
    "upsertApplication",
    "deleteApplication",
    "savePipeline",
    "updatePipeline",
    "deletePipeline",
    "reorderPipelines",
    "upsertProject",
    "deleteProject",
];

impl Definition for Orchestration {
    fn names(&self) -> &'static [&'static str] {
        &JOBS
    }

    fn description(&self) -> &'static str {
        "changes what is stored about an application, a pipeline or a project"
    }

    fn plan(&self, view: &StageView<'_>) -> Result<Plan, PlanError> {
        let Some(kind) = JOBS.into_iter().find(|k| *k == view.stage.kind) else {
            let message = format!("{} is not a job of front50", view.stage.kind);
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
        Outcome::Dispatch {
            service: "front50".to_owned(),
            kind: kind.to_owned(),
            payload: view.stage.context.clone(),
            timeout_ms: None,
        }
    }

    fn timeout_ms(&self, _: &str, _: &StageView<'_>) -> Option<u64> {
        Some(STORE_TIMEOUT_MS)
    }
}
