//! The life of one stage: planned, before-stages, tasks, after-stages, ended.

use kork_model::{Context, Execution, Stage, StageId, StageOwner, Status};
use serde_json::{Value, json};

use super::{Decider, stage_id};
use crate::{
    context::{flag, json_bytes},
    event::{Event, PlannedTask},
    limits,
    stage::{self, Definition, NewStage, Plan, PlanError, StageView},
};

impl Decider {
    /// Starts a stage that may start: skips it, plans it, or ends it when it cannot be planned.
    pub(crate) fn start_stage(&mut self, id: &StageId) -> bool {
        let Some(mut stage) = self.state.stage(id).cloned() else {
            return false;
        };
        // What was looked at before in the same step may have ended the parent.
        if stage.status != Status::NotStarted || !self.parent_lets(&stage) {
            return false;
        }
        let at = self.now;
        let Some(definition) = stage::of(&self.state.execution, &stage) else {
            self.unknown_type(&stage);
            return true;
        };
        let switched_off = match self.is_switched_off(&stage) {
            Ok(off) => off,
            Err(error) => {
                self.unreadable(&stage, &error);
                return true;
            }
        };
        if stage.start_time_expiry.is_some_and(|e| e < at) || switched_off {
            self.emit(Event::StageFinished {
                stage: id.clone(),
                at,
                status: Status::Skipped,
            });
            return true;
        }
        let given = stage.context.clone();
        if stage.parent_stage_id.is_none() {
            stage.context = self.evaluated(&stage);
        }
        if definition.may_be_skipped(&stage.context) {
            let flag = ("canManuallySkip".to_owned(), Value::Bool(true));
            stage.context.extend([flag]);
        }
        stage.start_time = Some(at);
        let bytes = json_bytes(&stage.context);
        let planned = if bytes > limits::CONTEXT_BYTES_MAX {
            stage.context = given;
            Err(too_large(
                "its context with the results of its expressions",
                bytes,
            ))
        } else {
            self.plan(definition, &stage)
        };
        match planned {
            Ok(plan) => self.begin(stage, plan),
            Err(error) => self.planning_failed(stage, &error),
        }
        true
    }

    fn plan(&self, definition: &dyn Definition, stage: &Stage) -> Result<Plan, PlanError> {
        let view = StageView {
            now: self.now,
            execution: &self.state.execution,
            stage,
        };
        definition.plan(&view)
    }

    fn begin(&mut self, stage: Stage, plan: Plan) {
        let id = stage.id.clone();
        let mut before = plan.before;
        // Children take over their parent's context; the window stands before the parent.
        let windowed = stage.parent_stage_id.is_none()
            && flag(&stage.context, "restrictExecutionDuringTimeWindow") == Some(true);
        if windowed {
            before.insert(0, window_of(&stage));
        }
        let tasks = planned_tasks(&plan.tasks);
        let new = self.new_stages(&stage, StageOwner::StageBefore, before, |n| {
            if windowed && n > 0 {
                vec![format!("{}<1", stage.ref_id)]
            } else {
                Vec::new()
            }
        });
        self.emit(Event::StageStarted {
            stage: id.clone(),
            at: self.now,
            context: stage.context,
            tasks,
            planning_failed: false,
        });
        match new {
            Ok(stages) if stages.is_empty() => {}
            Ok(stages) => self.emit(Event::StagesAdded {
                parent: id,
                owner: StageOwner::StageBefore,
                on_failure: false,
                stages,
            }),
            Err(error) => self.give_up(&id, &error),
        }
    }

    fn planning_failed(&mut self, mut stage: Stage, error: &PlanError) {
        stage.context.insert(
            "exception".to_owned(),
            stage::exception(error.exception, &stage.name, &error.message),
        );
        stage
            .context
            .insert("beforeStagePlanningFailed".to_owned(), Value::Bool(true));
        self.emit(Event::StageStarted {
            stage: stage.id,
            at: self.now,
            context: stage.context,
            tasks: Vec::new(),
            planning_failed: true,
        });
    }

    fn unknown_type(&mut self, stage: &Stage) {
        let known: Vec<&str> = stage::all().map(|(name, _)| name).collect();
        let message = format!(
            "there is no stage type {:?}; known types: {}",
            stage.kind,
            known.join(", ")
        );
        let operation = format!("{}:plan", stage.name);
        let exception = stage::exception("UnknownStageType", &operation, &message);
        self.never_started(stage, exception, Status::Terminal);
    }

    /// Ends a stage whose `stageEnabled` makes no sense, as its failure flags say.
    fn unreadable(&mut self, stage: &Stage, error: &PlanError) {
        let exception = stage::exception(error.exception, &stage.name, &error.message);
        self.never_started(stage, exception, failure_status(stage, Status::Terminal));
    }

    /// Ends a stage that could not even be looked at.
    fn never_started(&mut self, stage: &Stage, exception: Value, status: Status) {
        self.emit(Event::ContextChanged {
            stage: stage.id.clone(),
            set: Context::from_iter([
                ("exception".to_owned(), exception),
                ("beforeStagePlanningFailed".to_owned(), Value::Bool(true)),
            ]),
            removed: Vec::new(),
            by: None,
        });
        self.emit(Event::StageFinished {
            stage: stage.id.clone(),
            at: self.now,
            status,
        });
    }

    /// Looks at a running stage: starts its next task, plans what follows, or ends it.
    pub(crate) fn continue_stage(&mut self, id: &StageId) -> bool {
        let Some(stage) = self.state.stage(id).cloned() else {
            return false;
        };
        if stage.status != Status::Running {
            return false;
        }
        if self.state.notes(id).planning_failed {
            return self.end(&stage, unplanned_status(&self.state.execution, &stage));
        }
        match self.side(id, StageOwner::StageBefore) {
            Side::Open => return false,
            Side::Failed => return self.end_failed(&stage),
            Side::Done => {}
        }
        if let Some(task) = stage.tasks.iter().position(|t| !t.status.is_complete()) {
            let failed = stage.tasks[..task].iter().any(|t| t.status.is_halt());
            if failed {
                return self.end_failed(&stage);
            }
            return match stage.tasks[task].status {
                Status::NotStarted => self.start_task(id, task),
                _ => false,
            };
        }
        let status = self.own_status(&stage);
        let failed = !status.satisfies_downstream();
        if !self.state.notes(id).after_planned && self.plan_after(&stage, failed) {
            return true;
        }
        if failed {
            self.end_failed(&stage)
        } else {
            self.end_after(&stage)
        }
    }

    fn end_after(&mut self, stage: &Stage) -> bool {
        match self.side(&stage.id, StageOwner::StageAfter) {
            Side::Open => false,
            Side::Failed | Side::Done => {
                let status = self.own_status(stage);
                if status.satisfies_downstream() {
                    self.end(stage, status)
                } else {
                    self.end_failed(stage)
                }
            }
        }
    }

    /// Ends a stage that failed, once its on-failure stages are through.
    fn end_failed(&mut self, stage: &Stage) -> bool {
        let notes = self.state.notes(&stage.id);
        if !notes.failure_planned && self.plan_on_failure(stage) {
            return true;
        }
        if notes.failure_planned && self.after_goes_on(&stage.id) {
            return false;
        }
        let status = self.own_status(stage);
        self.end(stage, status)
    }

    /// An after-stage runs, or can start: a failed one before it is not in the way of those that were
    /// planned because of it.
    fn after_goes_on(&self, id: &StageId) -> bool {
        let children: Vec<&Stage> = self.state.children(id, StageOwner::StageAfter).collect();
        let satisfied = |reference: &String| {
            let required = children.iter().find(|s| &s.ref_id == reference);
            required.is_some_and(|s| s.status.satisfies_downstream())
        };
        children.iter().any(|stage| match stage.status {
            Status::NotStarted => stage.requisite_stage_ref_ids.iter().all(satisfied),
            status => !status.is_complete(),
        })
    }

    fn plan_after(&mut self, stage: &Stage, failed: bool) -> bool {
        if failed {
            return false;
        }
        let Some(definition) = stage::of(&self.state.execution, stage) else {
            return false;
        };
        let view = StageView {
            now: self.now,
            execution: &self.state.execution,
            stage,
        };
        match definition.after(&view) {
            Ok(after) => self.add_after(stage, after, false),
            Err(error) => {
                self.give_up(&stage.id, &error);
                true
            }
        }
    }

    fn plan_on_failure(&mut self, stage: &Stage) -> bool {
        let Some(definition) = stage::of(&self.state.execution, stage) else {
            return false;
        };
        let view = StageView {
            now: self.now,
            execution: &self.state.execution,
            stage,
        };
        let Ok(stages) = definition.on_failure(&view) else {
            return false;
        };
        if stages.is_empty() {
            return false;
        }
        let unstarted: Vec<StageId> = self
            .state
            .execution
            .stages
            .iter()
            .filter(|s| s.parent_stage_id.as_ref() == Some(&stage.id))
            .filter(|s| s.status == Status::NotStarted)
            .map(|s| s.id.clone())
            .collect();
        if !unstarted.is_empty() {
            self.emit(Event::StagesRemoved { stages: unstarted });
        }
        self.add_after(stage, stages, true)
    }

    /// After-stages run one behind the other.
    fn add_after(&mut self, stage: &Stage, new: Vec<NewStage>, on_failure: bool) -> bool {
        if new.is_empty() {
            return false;
        }
        let first = self
            .state
            .children(&stage.id, StageOwner::StageAfter)
            .count();
        let before = |n: usize| format!("{}>{}", stage.ref_id, first + n);
        let made = self.new_stages(stage, StageOwner::StageAfter, new, |n| {
            if n == 0 { Vec::new() } else { vec![before(n)] }
        });
        match made {
            Ok(stages) => self.emit(Event::StagesAdded {
                parent: stage.id.clone(),
                owner: StageOwner::StageAfter,
                on_failure,
                stages,
            }),
            Err(error) => self.give_up(&stage.id, &error),
        }
        true
    }

    fn new_stages(
        &self,
        parent: &Stage,
        owner: StageOwner,
        new: Vec<NewStage>,
        requisites: impl Fn(usize) -> Vec<String>,
    ) -> Result<Vec<Stage>, PlanError> {
        let total = self.state.execution.stages.len() + new.len();
        if total > limits::STAGES_WITH_SYNTHETIC_MAX {
            return Err(PlanError {
                exception: LIMIT_EXCEEDED,
                message: format!(
                    "the execution would have {total} stages, at most {} are allowed",
                    limits::STAGES_WITH_SYNTHETIC_MAX
                ),
            });
        }
        let bytes = new.iter().map(|stage| json_bytes(&stage.context)).sum();
        if bytes > limits::ADDED_BYTES_MAX {
            return Err(too_large("what it adds as stages of their own", bytes));
        }
        let sign = if owner == StageOwner::StageBefore {
            '<'
        } else {
            '>'
        };
        let first = self.state.children(&parent.id, owner).count();
        let base = limits::STAGES_WITH_SYNTHETIC_MAX as u32 + self.state.stages_made;
        let made = new.into_iter().enumerate().map(|(n, stage)| Stage {
            id: stage_id(self.state.execution.id.as_str(), base + n as u32),
            ref_id: format!("{}{sign}{}", parent.ref_id, first + n + 1),
            kind: stage.kind,
            name: stage.name,
            context: stage.context,
            synthetic_stage_owner: Some(owner),
            parent_stage_id: Some(parent.id.clone()),
            requisite_stage_ref_ids: requisites(n),
            ..Stage::default()
        });
        Ok(made.collect())
    }

    /// The stage cannot go on: notes why and ends it `TERMINAL`.
    fn give_up(&mut self, id: &StageId, error: &PlanError) {
        let name = self
            .state
            .stage(id)
            .map(|s| s.name.clone())
            .unwrap_or_default();
        let exception = stage::exception(error.exception, &name, &error.message);
        self.emit(Event::ContextChanged {
            stage: id.clone(),
            set: Context::from_iter([("exception".to_owned(), exception)]),
            removed: Vec::new(),
            by: None,
        });
        self.cancel_children(id);
        let status = Status::Terminal;
        self.emit(Event::StageFinished {
            stage: id.clone(),
            at: self.now,
            status,
        });
    }

    fn end(&mut self, stage: &Stage, status: Status) -> bool {
        let mut status = status;
        let fails = flag(&stage.context, "failOnFailedExpressions") == Some(true);
        let summary = stage.context.get("expressionEvaluationSummary");
        if fails
            && summary
                .and_then(Value::as_object)
                .is_some_and(|s| !s.is_empty())
        {
            status = Status::Terminal;
        }
        self.cancel_children(&stage.id);
        self.emit(Event::StageFinished {
            stage: stage.id.clone(),
            at: self.now,
            status,
        });
        true
    }

    fn cancel_children(&mut self, id: &StageId) {
        let running: Vec<StageId> = self
            .state
            .execution
            .stages
            .iter()
            .filter(|s| s.parent_stage_id.as_ref() == Some(id) && s.status == Status::Running)
            .map(|s| s.id.clone())
            .collect();
        for child in running {
            self.cancel_stage(&child);
        }
    }

    /// How far the synthetic stages at one side of a stage are.
    fn side(&self, id: &StageId, owner: StageOwner) -> Side {
        let children: Vec<&Stage> = self.state.children(id, owner).collect();
        let failed = |s: &&&Stage| {
            s.status.is_halt()
                || (s.status == Status::FailedContinue
                    && flag(&s.context, "allowSiblingStagesToContinueOnFailure") != Some(true))
        };
        if children.iter().any(|s| failed(&s)) {
            Side::Failed
        } else if children.iter().all(|s| s.status.is_complete()) {
            Side::Done
        } else {
            Side::Open
        }
    }

    /// The stage's status from its children and tasks.
    fn own_status(&self, stage: &Stage) -> Status {
        let children = self
            .state
            .execution
            .stages
            .iter()
            .filter(|s| s.parent_stage_id.as_ref() == Some(&stage.id))
            .filter(|s| s.status != Status::NotStarted)
            .map(|s| s.status);
        let statuses: Vec<Status> = children
            .chain(stage.tasks.iter().map(|t| t.status))
            .collect();
        let any = |status| statuses.contains(&status);
        if statuses.is_empty() {
            Status::Skipped
        } else if any(Status::Terminal) {
            failure_status(stage, Status::Terminal)
        } else if any(Status::Stopped) {
            Status::Stopped
        } else if any(Status::Canceled) {
            Status::Canceled
        } else if any(Status::FailedContinue) {
            Status::FailedContinue
        } else {
            Status::Succeeded
        }
    }
}

enum Side {
    Open,
    Failed,
    Done,
}

/// What a failure makes of a stage, by its own flags (the table of failure options).
pub(crate) fn failure_status(stage: &Stage, default: Status) -> Status {
    if flag(&stage.context, "continuePipeline") == Some(true) {
        Status::FailedContinue
    } else if flag(&stage.context, "failPipeline") == Some(false) {
        Status::Stopped
    } else {
        default
    }
}

/// What a stage that could not be planned ends as: its flags count, unless it is of a type that fails
/// again at its end, or too large.
fn unplanned_status(execution: &Execution, stage: &Stage) -> Status {
    let exception = stage.context.get("exception");
    let too_large = exception.and_then(|e| e.get("exceptionType")) == Some(&json!(LIMIT_EXCEEDED));
    if too_large || stage::of(execution, stage).is_none_or(Definition::unplanned_is_terminal) {
        return Status::Terminal;
    }
    failure_status(stage, Status::Terminal)
}

/// The exception type of a stage that is past a named limit.
const LIMIT_EXCEEDED: &str = "LimitExceeded";

fn too_large(what: &str, bytes: usize) -> PlanError {
    PlanError {
        exception: LIMIT_EXCEEDED,
        message: format!(
            "{what} has {bytes} bytes, at most {} are allowed; put large values into an artifact",
            limits::CONTEXT_BYTES_MAX
        ),
    }
}

fn planned_tasks(tasks: &[(&'static str, &'static str)]) -> Vec<PlannedTask> {
    tasks
        .iter()
        .map(|(name, kind)| PlannedTask {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
        })
        .collect()
}

fn window_of(stage: &Stage) -> NewStage {
    let mut context = stage.context.clone();
    context.remove("restrictExecutionDuringTimeWindow");
    context.remove("stageTimeoutMs");
    NewStage {
        kind: "restrictExecutionDuringTimeWindow".to_owned(),
        name: "restrictExecutionDuringTimeWindow".to_owned(),
        context,
    }
}
