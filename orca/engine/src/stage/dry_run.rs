//! What stands in for a stage in a dry run: it succeeds at once and touches nothing.

use kork_model::{Execution, Stage};

use super::{Definition, Outcome, Plan, PlanError, StageView};

/// Types that really run in a dry run, because they change nothing outside (Spinnaker's list).
const REAL: [&str; 6] = [
    "manualJudgment",
    "pipeline",
    "checkPreconditions",
    "evaluateVariables",
    "determineTargetServerGroup",
    "rollbackCluster",
];

/// True when this stage of a dry run is to be played.
pub(super) fn is_played(execution: &Execution, stage: &Stage) -> bool {
    execution.is_dry_run() && !REAL.contains(&stage.kind.as_str())
}

pub(super) struct DryRun;

impl Definition for DryRun {
    fn names(&self) -> &'static [&'static str] {
        &[]
    }

    fn description(&self) -> &'static str {
        "stands in for a stage in a dry run"
    }

    fn plan(&self, _: &StageView<'_>) -> Result<Plan, PlanError> {
        Ok(Plan {
            tasks: vec![("dryRun", "dryRun")],
            before: Vec::new(),
        })
    }

    fn run(&self, _: &str, _: &StageView<'_>) -> Outcome {
        Outcome::succeeded()
    }
}
