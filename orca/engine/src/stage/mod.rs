//! The stage types, one file each. [`definition`] is the only place that knows them all.
//!
//! A stage type plans tasks and synthetic stages, and runs its inline tasks. Work that needs the
//! outside is an order to a worker ([`Outcome::Dispatch`]).

mod bind_artifacts;
mod check_preconditions;
mod ci;
mod custom;
mod deploy;
mod dry_run;
mod evaluate_variables;
mod execution_window;
mod manual_judgment;
mod orchestration;
mod pipeline;
mod server_group;
mod wait;
mod webhook;

use kork_model::{Context, Execution, Problem, Stage, Status, Timestamp, WorkResult};
use serde_json::{Value, json};

use crate::{command::ChildEnd, expression};

/// What a stage type sees when it plans or runs.
pub struct StageView<'a> {
    pub now: Timestamp,
    pub execution: &'a Execution,
    /// With its evaluated context.
    pub stage: &'a Stage,
}

/// What a stage consists of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// (name that clients see, kind of work).
    pub tasks: Vec<(&'static str, &'static str)>,
    pub before: Vec<NewStage>,
}

/// A synthetic stage to add.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewStage {
    pub kind: String,
    pub name: String,
    pub context: Context,
}

/// Why a stage cannot be planned. It ends as its failure flags say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    /// As in `context.exception.exceptionType`.
    pub exception: &'static str,
    pub message: String,
}

/// What a task does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It ended.
    Done {
        status: Status,
        context: Context,
        outputs: Context,
    },
    /// It waits for a moment or, without one, for a change of the stage.
    Wait {
        until: Option<Timestamp>,
        context: Context,
    },
    /// It needs a worker.
    Dispatch {
        service: String,
        kind: String,
        payload: Context,
        timeout_ms: Option<u64>,
    },
}

impl Outcome {
    /// It ended well, with nothing to tell.
    pub fn succeeded() -> Self {
        Self::done(Status::Succeeded)
    }

    /// It ended so, with nothing to tell.
    pub fn done(status: Status) -> Self {
        Self::Done {
            status,
            context: Context::new(),
            outputs: Context::new(),
        }
    }

    /// It failed with an exception that clients read.
    pub fn failed(exception: Value) -> Self {
        let context = Context::from_iter([("exception".to_owned(), exception)]);
        Self::Done {
            status: Status::Terminal,
            context,
            outputs: Context::new(),
        }
    }
}

/// One type of stage.
pub trait Definition: Sync {
    /// The type as it stands in a pipeline, first, then its other names.
    fn names(&self) -> &'static [&'static str];
    /// One sentence for people.
    fn description(&self) -> &'static str;
    /// Tasks and before-stages. The context is evaluated.
    fn plan(&self, view: &StageView<'_>) -> Result<Plan, PlanError>;
    /// Stages that follow the tasks when they succeeded.
    fn after(&self, _view: &StageView<'_>) -> Result<Vec<NewStage>, PlanError> {
        Ok(Vec::new())
    }
    /// Stages that run when the stage failed.
    fn on_failure(&self, _view: &StageView<'_>) -> Result<Vec<NewStage>, PlanError> {
        Ok(Vec::new())
    }
    /// Runs or continues a task that runs in the engine.
    fn run(&self, kind: &str, view: &StageView<'_>) -> Outcome;
    /// A worker answered. By default its result is the task's.
    fn finish(&self, kind: &str, view: &StageView<'_>, result: WorkResult) -> Outcome {
        done_by(kind, view.now, result)
    }
    /// A child pipeline ended that the task waits for.
    fn child_finished(&self, _view: &StageView<'_>, _child: &ChildEnd) -> Option<Outcome> {
        None
    }
    /// How long a task may take, unless the stage says otherwise; `None` = without end.
    fn timeout_ms(&self, _kind: &str, _view: &StageView<'_>) -> Option<u64> {
        None
    }
    /// Clears what a previous run left in the context.
    fn prepare_restart(&self, _context: &mut Context) {}
    /// Refuses a change of a running stage by hand.
    fn check_patch(&self, patch: &Context) -> Result<(), String> {
        if patch.contains_key("manualSkip") {
            return Err("this stage type cannot be skipped by hand".to_owned());
        }
        Ok(())
    }
    /// A person may skip this stage while it runs.
    fn may_be_skipped(&self, _context: &Context) -> bool {
        false
    }
    /// A stage that cannot be planned ends `TERMINAL`, whatever its failure flags say.
    fn unplanned_is_terminal(&self) -> bool {
        false
    }
    /// A passing failure of this task's work is tried again.
    fn is_retried(&self, _kind: &str) -> bool {
        true
    }
}

static DEFINITIONS: [&dyn Definition; 16] = [
    &wait::Wait,
    &wait::WaitUntil,
    &wait::Noop,
    &manual_judgment::ManualJudgment,
    &webhook::Webhook,
    &check_preconditions::CheckPreconditions,
    &ci::Ci,
    &evaluate_variables::EvaluateVariables,
    &execution_window::ExecutionWindow,
    &pipeline::PipelineStage,
    &pipeline::DependsOnExecution,
    &deploy::Deploy,
    &deploy::CreateServerGroup,
    &server_group::ServerGroupOperation,
    &orchestration::Orchestration,
    &custom::Custom,
];

/// The definition of a type; types are case-sensitive. An alias of the stage is tried second.
pub fn definition(kind: &str, alias: Option<&str>) -> Option<&'static dyn Definition> {
    let find = |name: &str| {
        DEFINITIONS
            .iter()
            .find(|d| d.names().contains(&name))
            .copied()
    };
    let custom = |name: &str| -> Option<&'static dyn Definition> {
        custom::is_custom(name).then_some(&custom::Custom as &'static dyn Definition)
    };
    find(kind)
        .or_else(|| custom(kind))
        .or_else(|| alias.and_then(find))
}

/// Every stage type with its description, for people.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    DEFINITIONS
        .iter()
        .flat_map(|d| d.names().iter().map(|name| (*name, d.description())))
}

/// The definition of a stage; in a dry run most are only played.
pub(crate) fn of(execution: &Execution, stage: &Stage) -> Option<&'static dyn Definition> {
    let real = real(stage);
    if real.is_some() && dry_run::is_played(execution, stage) {
        return Some(&dry_run::DryRun);
    }
    real
}

fn real(stage: &Stage) -> Option<&'static dyn Definition> {
    definition(
        &stage.kind,
        stage.context.get("alias").and_then(Value::as_str),
    )
}

/// A stage's context with its expressions evaluated, and what could not be.
pub(crate) fn evaluated(view: &StageView<'_>) -> (Context, expression::Summary) {
    let StageView {
        execution, stage, ..
    } = *view;
    let v4 = crate::context::is_v4(execution.spel_evaluator.as_deref());
    if v4 && stage.kind == "evaluateVariables" {
        return evaluate_variables::in_order(view);
    }
    if !crate::context::has_expression(&stage.context) {
        return (stage.context.clone(), expression::Summary::new(view.now));
    }
    let root = crate::scope_root(execution, stage);
    let scope = crate::decide::scope(view.now, execution, Some(stage), &root);
    expression::process_stage_context(&stage.context, &scope)
}

pub(crate) fn prepare_restart(stage: &mut Stage) {
    if let Some(definition) = real(stage) {
        definition.prepare_restart(&mut stage.context);
    }
}

/// A worker's result as the end of a task: its error becomes `context.exception`.
fn done_by(kind: &str, now: Timestamp, result: WorkResult) -> Outcome {
    let WorkResult {
        status,
        mut context,
        outputs,
        error,
    } = result;
    if let Some(problem) = error {
        context
            .entry("exception")
            .or_insert_with(|| exception_of(kind, now, &problem));
    }
    Outcome::Done {
        status,
        context,
        outputs,
    }
}

/// The exception that clients look for: `details.errors[0]` is what they show.
fn exception_of(operation: &str, now: Timestamp, problem: &Problem) -> Value {
    let mut errors: Vec<String> = problem.errors.iter().map(|e| e.detail.clone()).collect();
    if errors.is_empty() {
        errors.push(problem.detail.clone());
        errors.extend(problem.causes.iter().cloned());
    }
    let mut details = json!({
        "error": problem.detail,
        "errors": errors,
        "code": problem.code,
        "status": problem.kind.status(),
    });
    if let Some(data) = &problem.data {
        details["data"] = data.clone();
    }
    json!({
        "exceptionType": problem.code,
        "operation": operation,
        "timestamp": now,
        "shouldRetry": false,
        "details": details,
    })
}

/// An exception made by the engine itself.
pub(crate) fn exception(kind: &str, operation: &str, message: &str) -> Value {
    json!({
        "exceptionType": kind,
        "operation": operation,
        "shouldRetry": false,
        "details": { "error": "Unexpected Task Failure", "errors": [message] },
    })
}
