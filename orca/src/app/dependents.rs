//! Pipelines that wait for the end of another one.
//!
//! They are started as soon as it ends, and before its log goes: whoever dies in between, somebody starts
//! them, and an id that follows from the execution and its end makes it once.

use std::sync::Arc;

use kork_model::{Context, Execution, ExecutionId, ExecutionType};
use orca_engine::State;
use orca_triggers::Finished;
use serde_json::Value;

use super::{
    Error, Shell,
    parent::{self, DEPTH_MAX},
};

impl Shell {
    /// Starts what waits for this end, behind the caller's back; what fails is done before the archive.
    pub(crate) fn ended(self: &Arc<Self>, state: &Arc<State>) {
        if state.execution.kind != ExecutionType::Pipeline {
            return;
        }
        let (shell, state) = (Arc::clone(self), Arc::clone(state));
        self.shutdown.spawn(async move {
            if let Err(error) = shell.start_dependents(&state).await {
                let id = &state.execution.id;
                tracing::warn!(execution.id = %id, error = %error.problem(), "pipelines that wait for its end start later");
            }
        });
    }

    /// Starts what waits for this end, unless it was done in this process.
    pub(crate) async fn start_dependents(self: &Arc<Self>, state: &State) -> Result<(), Error> {
        let execution = &state.execution;
        if self.has_started_dependents(state) {
            return Ok(());
        }
        self.read_triggers().await?;
        let Some(parent) = parent::shown(execution) else {
            tracing::warn!(execution.id = %execution.id, "{DEPTH_MAX} pipelines started each other, and no more may");
            let end = execution.end_time.unwrap_or_default();
            self.dependents().insert(execution.id.clone(), end);
            return Ok(());
        };
        let artifacts = orca_engine::artifacts_of(execution);
        let end = execution.end_time.unwrap_or_default();
        let ended = finished(execution, &parent, &artifacts);
        let mut fired = self.triggers.index().finished(&ended);
        if !fired.is_empty() {
            let stages = parent::stages(execution);
            for one in &mut fired {
                parent::put_stages(&mut one.trigger, stages.clone());
            }
        }
        self.start_fired(&fired, "pipeline").await?;
        self.dependents().insert(execution.id.clone(), end);
        Ok(())
    }

    /// Nothing waits for this end any more.
    pub(crate) fn has_started_dependents(&self, state: &State) -> bool {
        let execution = &state.execution;
        let end = execution.end_time.unwrap_or_default();
        execution.kind != ExecutionType::Pipeline
            || execution.pipeline_config_id.is_none()
            || self.dependents().get(&execution.id) == Some(&end)
    }

    /// Its log goes: nobody asks again.
    pub(crate) fn forget_dependents(&self, id: &ExecutionId) {
        self.dependents().remove(id);
    }
}

/// An execution as triggers look at its end.
pub(crate) fn finished<'a>(
    execution: &'a Execution,
    parent: &'a Context,
    artifacts: &'a [Value],
) -> Finished<'a> {
    Finished {
        execution: execution.id.as_str(),
        application: &execution.application,
        pipeline: execution.pipeline_config_id.as_deref().unwrap_or_default(),
        status: execution.status,
        ended: execution.end_time.unwrap_or_default(),
        user: execution.trigger.get("user").and_then(Value::as_str),
        parent,
        artifacts,
        dry_run: execution.is_dry_run(),
    }
}
