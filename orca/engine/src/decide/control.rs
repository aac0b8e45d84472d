//! What people ask of an execution: cancel, pause, resume, change a stage, start again from one.

use kork_model::{Context, LastModified, StageId, Status};
use serde_json::Value;

use super::Decider;
use crate::{
    command::Rejection,
    context::{flag, json_bytes, text},
    event::Event,
    graph, limits, stage,
    state::State,
};

impl Decider {
    /// Nothing happens to an execution that has ended.
    pub(crate) fn cancel(&mut self, by: &str, reason: Option<&str>) {
        if self.state.execution.status.is_complete() {
            return;
        }
        let at = self.now;
        self.emit(Event::Canceled {
            at,
            by: by.to_owned(),
            reason: reason.map(str::to_owned),
        });
        self.conclude(Status::Canceled, None);
    }

    pub(crate) fn pause(&mut self, by: &str) {
        if self.state.execution.status == Status::Running {
            self.emit(Event::Paused {
                at: self.now,
                by: by.to_owned(),
            });
        }
    }

    pub(crate) fn resume(&mut self, by: &str) {
        if self.state.execution.status != Status::Paused {
            return;
        }
        self.emit(Event::Resumed {
            at: self.now,
            by: by.to_owned(),
        });
        let running: Vec<StageId> = self
            .state
            .execution
            .stages
            .iter()
            .filter(|s| s.status == Status::Running)
            .map(|s| s.id.clone())
            .collect();
        for id in running {
            self.look_again(&id);
        }
    }

    pub(crate) fn patch(
        &mut self,
        id: &StageId,
        context: &Context,
        by: &str,
    ) -> Result<(), Rejection> {
        let Some(stage) = self.state.stage(id) else {
            let execution = self.state.execution.id.to_string();
            return Err(Rejection::UnknownStage {
                execution,
                stage: id.to_string(),
            });
        };
        let definition = stage::of(&self.state.execution, stage);
        let skips = flag(context, "manualSkip") == Some(true)
            && definition.is_some_and(|d| d.may_be_skipped(&stage.context));
        let allowed = definition.filter(|_| !skips);
        let allowed = allowed.map_or(Ok(()), |d| d.check_patch(context));
        allowed.map_err(|reason| Rejection::BadPatch {
            stage: id.to_string(),
            reason,
        })?;
        let mut changed = stage.context.clone();
        changed.extend(context.clone());
        let size = json_bytes(&changed);
        if size > limits::CONTEXT_BYTES_MAX {
            let what = format!("the context of stage {id} with this change, in bytes,");
            return Err(Rejection::TooLarge {
                what,
                size,
                max: limits::CONTEXT_BYTES_MAX,
            });
        }
        let propagates = flag(&stage.context, "propagateAuthenticationContext") == Some(true);
        let mut set = context.clone();
        set.insert("lastModifiedBy".to_owned(), Value::from(by));
        let allowed_accounts = self.state.execution.authentication.allowed_accounts.clone();
        let by_whom = LastModified {
            user: by.to_owned(),
            allowed_accounts,
            last_modified_time: self.now,
        };
        self.emit(Event::ContextChanged {
            stage: id.clone(),
            set,
            removed: Vec::new(),
            by: Some(by_whom),
        });
        let continues =
            text(context, "judgmentStatus").is_some_and(|s| s.eq_ignore_ascii_case("continue"));
        if propagates && continues {
            self.emit(Event::UserChanged {
                user: by.to_owned(),
            });
        }
        if skips {
            self.skip(id);
        }
        self.look_again(id);
        Ok(())
    }

    /// Ends a running stage as skipped; work that is out goes on by itself.
    fn skip(&mut self, id: &StageId) {
        let running = self.state.stage(id);
        let Some(stage) = running.filter(|s| s.status == Status::Running) else {
            return;
        };
        let (at, status) = (self.now, Status::Skipped);
        if let Some(task) = State::running_task(stage) {
            self.withdraw_quietly(id, task);
            self.emit(Event::TaskFinished {
                stage: id.clone(),
                task,
                at,
                status,
                context: Context::new(),
                outputs: Context::new(),
            });
        }
        self.emit(Event::StageFinished {
            stage: id.clone(),
            at,
            status,
        });
    }

    /// Lets the running task of a stage see what changed, unless it is out with a worker.
    fn look_again(&mut self, id: &StageId) {
        let Some(stage) = self.state.stage(id).filter(|s| s.status == Status::Running) else {
            return;
        };
        let Some(task) = State::running_task(stage) else {
            return;
        };
        let out = self
            .state
            .notes(id)
            .tasks
            .get(task)
            .is_some_and(|t| t.order.is_some());
        if !out {
            self.run_task(id, task);
        }
    }

    /// The stage and all that follow it are reset and run again. A stage that runs is left alone.
    pub(crate) fn restart(
        &mut self,
        id: &StageId,
        by: &str,
        body: &Context,
        archived: Option<&State>,
        exists: bool,
    ) -> Result<(), Rejection> {
        if !exists {
            let Some(archived) = archived else {
                return Err(Rejection::UnknownExecution(String::new()));
            };
            self.emit(Event::Restored {
                state: Box::new(archived.clone()),
            });
        } else if self.state.execution.status.is_complete() && self.state.stage(id).is_some() {
            // What was written before may be on its way to the archive: the log begins anew here.
            self.emit(Event::Restored {
                state: Box::new(self.state.clone()),
            });
        }
        let Some(stage) = self.state.stage(id) else {
            let execution = self.state.execution.id.to_string();
            return Err(Rejection::UnknownStage {
                execution,
                stage: id.to_string(),
            });
        };
        let top = graph::top_level_of(&self.state.execution, stage).clone();
        if matches!(top.status, Status::Running | Status::Paused) {
            return Ok(());
        }
        let mut reset = graph::downstream(&self.state.execution, &top.id);
        for later in &reset {
            let status = self
                .state
                .stage(later)
                .map_or(Status::NotStarted, |s| s.status);
            if matches!(status, Status::Running | Status::Paused) {
                return Err(Rejection::NotRestartable {
                    stage: later.to_string(),
                    status,
                });
            }
        }
        reset.push(top.id.clone());
        let removed: Vec<StageId> = reset
            .iter()
            .flat_map(|stage| graph::inside(&self.state.execution, stage))
            .collect();
        self.resume(by);
        let (at, by) = (self.now, by.to_owned());
        let restarted = top.id.clone();
        self.emit(Event::Restarted {
            at,
            by,
            stage: restarted,
            reset,
            removed,
        });
        self.take_preconditions(&top.id, body);
        Ok(())
    }

    /// A restart may bring new preconditions for a `checkPreconditions` stage.
    fn take_preconditions(&mut self, id: &StageId, body: &Context) {
        let is_check = self
            .state
            .stage(id)
            .is_some_and(|s| s.kind == "checkPreconditions");
        if let (true, Some(preconditions)) = (is_check, body.get("preconditions")) {
            let set = Context::from_iter([("preconditions".to_owned(), preconditions.clone())]);
            let stage = id.clone();
            self.emit(Event::ContextChanged {
                stage,
                set,
                removed: Vec::new(),
                by: None,
            });
        }
    }
}
