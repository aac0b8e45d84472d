//! `pipeline` runs another pipeline; `dependsOnExecution` waits for an execution that runs already.

use kork_model::{Context, Status, WorkResult};
use serde_json::{Value, json};

use super::{Definition, Outcome, Plan, PlanError, StageView, bind_artifacts, done_by, exception};
use crate::{
    command::ChildEnd,
    context::{flag, text},
};

/// Twelve hours, as in Spinnaker.
const CHILD_TIMEOUT_MS: u64 = 12 * 3600 * 1000;

pub(super) struct PipelineStage;

impl Definition for PipelineStage {
    fn names(&self) -> &'static [&'static str] {
        &["pipeline"]
    }

    fn description(&self) -> &'static str {
        "runs the pipeline with the id pipeline and, unless waitForCompletion is false, waits for it"
    }

    fn plan(&self, view: &StageView<'_>) -> Result<Plan, PlanError> {
        let context = &view.stage.context;
        let mut tasks = Vec::new();
        // With an execution of its own it is only watched.
        if text(context, "executionId").is_none() {
            tasks.push(("startPipeline", "startPipeline"));
        }
        if flag(context, "waitForCompletion") != Some(false) {
            tasks.push(("monitorPipeline", "monitorPipeline"));
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
        if kind == "monitorPipeline" {
            let payload = pick(context, &["executionId"]);
            return dispatch(kind, payload);
        }
        if text(context, "pipeline").is_none() || text(context, "application").is_none() {
            let message =
                "a pipeline stage needs application and pipeline (the id of the pipeline)";
            return Outcome::failed(exception("IllegalArgumentException", kind, message));
        }
        let keys = [
            "application",
            "pipeline",
            "pipelineParameters",
            "waitForCompletion",
            "expectedArtifacts",
        ];
        dispatch(kind, pick(context, &keys))
    }

    fn child_finished(&self, view: &StageView<'_>, child: &ChildEnd) -> Option<Outcome> {
        let expected = text(&view.stage.context, "executionId");
        (expected == Some(child.execution.as_str())).then(|| child_outcome(view, child))
    }

    fn timeout_ms(&self, _: &str, _: &StageView<'_>) -> Option<u64> {
        Some(CHILD_TIMEOUT_MS)
    }

    fn may_be_skipped(&self, context: &Context) -> bool {
        flag(context, "skippable") == Some(true)
    }

    fn prepare_restart(&self, context: &mut Context) {
        for key in ["executionId", "executionName", "status", "manualSkip"] {
            context.remove(key);
        }
    }
}

fn child_outcome(view: &StageView<'_>, child: &ChildEnd) -> Outcome {
    let mut context = Context::new();
    context.insert("status".to_owned(), json!(child.status));
    if !child.errors.is_empty() && child.status != Status::Succeeded {
        let details = json!({ "errors": child.errors });
        context.insert("exception".to_owned(), json!({ "details": details }));
    }
    let status = match child.status {
        Status::Canceled => Status::Canceled,
        other if other.is_halt() => Status::Terminal,
        _ => Status::Succeeded,
    };
    let keep = flag(&view.stage.context, "skipDownstreamOutput") != Some(true);
    let outputs = if keep {
        child.outputs.clone()
    } else {
        Context::new()
    };
    Outcome::Done {
        status,
        context,
        outputs,
    }
}

pub(super) struct DependsOnExecution;

impl Definition for DependsOnExecution {
    fn names(&self) -> &'static [&'static str] {
        &["dependsOnExecution"]
    }

    fn description(&self) -> &'static str {
        "waits until the execution executionId has ended"
    }

    fn plan(&self, _: &StageView<'_>) -> Result<Plan, PlanError> {
        Ok(Plan {
            tasks: vec![("dependsOnExecution", "dependsOnExecution")],
            before: Vec::new(),
        })
    }

    fn run(&self, kind: &str, view: &StageView<'_>) -> Outcome {
        dispatch(
            kind,
            pick(&view.stage.context, &["executionId", "executionType"]),
        )
    }

    /// An execution that was waited for and did not succeed cancels its follower; one that does not
    /// exist, or cannot be asked for, fails it.
    fn finish(&self, kind: &str, view: &StageView<'_>, mut result: WorkResult) -> Outcome {
        let told = result.error.is_some() || result.context.contains_key("error");
        if result.status == Status::Terminal && !told {
            result.status = Status::Canceled;
            let reason = "Depended-on execution completed without success";
            result.context.insert("reason".to_owned(), reason.into());
        }
        done_by(kind, view.now, result)
    }
}

fn dispatch(kind: &str, payload: Context) -> Outcome {
    Outcome::Dispatch {
        service: "orca".to_owned(),
        kind: kind.to_owned(),
        payload,
        timeout_ms: None,
    }
}

fn pick(context: &Context, keys: &[&str]) -> Context {
    let given = |key: &&str| {
        context
            .get(*key)
            .map(|v: &Value| ((*key).to_owned(), v.clone()))
    };
    keys.iter().filter_map(given).collect()
}
