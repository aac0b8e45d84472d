//! What an execution's log says, said on the event stream: everything, once, in its order.
//!
//! The log is the truth, and several roads lead into it: this process's own decisions, an append of
//! which nobody heard whether it took place, a process that died before it told. So each execution has
//! a mark, the last revision that was handed to the publisher; what lies between the mark and a new
//! revision is read from the log and told first.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use kork::ports::{NewMessage, Revision};
use kork_model::{
    ExecutionId, ExecutionType, StageId, Status, SuiteEvent,
    event::{self, subject},
};
use orca_engine::{Event, State};
use serde_json::{Value, json};

use super::{
    Error, Shell, recovery,
    states::{Entry, Loaded},
};

impl Shell {
    /// Tells of events that lead from the revision `before` to `revision`. Called under the lock of the
    /// execution.
    pub(crate) async fn tell(
        self: &Arc<Self>,
        state: &State,
        events: &[Event],
        before: Revision,
        revision: Revision,
    ) {
        let id = &state.execution.id;
        if self.told_up_to(id) == before {
            self.publish(state, events, revision).await;
            self.mark(id, revision);
        } else if let Err(error) = self.tell_from_log(id).await {
            tracing::warn!(execution.id = %id, error = %error.problem(), "events are published later");
            recovery::later(self, id);
        }
    }

    /// Tells everything of the log that was not told yet, and answers with what the log comes to. Called
    /// under the lock of the execution.
    pub(crate) async fn tell_from_log(&self, id: &ExecutionId) -> Result<Loaded, Error> {
        let entries = self.read_log(id).await?;
        Ok(self.tell_entries(id, entries).await)
    }

    /// The same with what was read from the log.
    pub(crate) async fn tell_entries(&self, id: &ExecutionId, entries: Vec<Entry>) -> Loaded {
        let mark = self.told_up_to(id);
        let mut loaded = Loaded::default();
        let mut state = State::default();
        for entry in entries {
            state = super::fold(&state, &entry.batch.events);
            loaded.revision = entry.revision;
            loaded.bytes += entry.bytes;
            loaded.by = entry.batch.by;
            if entry.revision > mark {
                self.publish(&state, &entry.batch.events, entry.revision)
                    .await;
                self.mark(id, entry.revision);
            }
        }
        loaded.state = Arc::new(state);
        loaded
    }

    /// The log of the execution is gone; nothing is left to be told.
    pub(crate) fn nothing_to_tell(&self, id: &ExecutionId) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.remove(id);
        self.count_open(marks.len());
    }

    pub(crate) fn told_up_to(&self, id: &ExecutionId) -> Revision {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.get(id).copied().unwrap_or(Revision::NONE)
    }

    fn mark(&self, id: &ExecutionId, revision: Revision) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.insert(id.clone(), revision);
        self.count_open(marks.len());
    }

    /// Of the executions with a mark, those that wait for the archive have ended.
    fn count_open(&self, marks: usize) {
        let ended = self.archiver.len();
        self.measures.open(marks.saturating_sub(ended));
    }

    /// Tells the world. The id follows from the revision: a message published twice is one message.
    async fn publish(&self, state: &State, events: &[Event], revision: Revision) {
        let execution = &state.execution;
        let topic = format!(
            "{}{}",
            subject::EXECUTION,
            super::token(&execution.application)
        );
        let told = events.iter().enumerate().filter_map(|(n, event)| {
            let (kind, data) = told(state, event)?;
            Some(SuiteEvent {
                id: format!("{}:{}:{n}", execution.id, revision.0),
                kind,
                time: self.ports.clock.now(),
                application: Some(execution.application.clone()),
                subject: Some(execution.id.to_string()),
                data,
            })
        });
        let told: Vec<SuiteEvent> = told.collect();
        // They are made of strings and numbers, which JSON has.
        for event::Told { id, payload } in event::messages(&told).unwrap_or_default() {
            let message = NewMessage {
                subject: topic.clone(),
                id,
                payload: Bytes::from(payload),
            };
            self.publisher.publish(message).await;
        }
    }
}

fn told(state: &State, event: &Event) -> Option<(String, Value)> {
    let of_stage = |id: &StageId| {
        let stage = state.stage(id)?;
        Some(json!({
            "executionId": state.execution.id, "stageId": stage.id, "refId": stage.ref_id,
            "name": stage.name, "type": stage.kind, "status": stage.status,
        }))
    };
    let whole = || {
        json!({
            "executionId": state.execution.id, "name": state.execution.name,
            "pipelineConfigId": state.execution.pipeline_config_id,
            "status": state.execution.status,
        })
    };
    let noun = match state.execution.kind {
        ExecutionType::Pipeline => "pipeline",
        ExecutionType::Orchestration => "orchestration",
    };
    let named = |what: &str, end: &str| format!("orca:{what}:{end}");
    Some(match event {
        Event::Created { .. } => (named(noun, "created"), whole()),
        Event::Started { .. } => (named(noun, "starting"), whole()),
        Event::Paused { .. } => (named(noun, "paused"), whole()),
        Event::Resumed { .. } => (named(noun, "resumed"), whole()),
        Event::Restarted { .. } => (named(noun, "restarted"), whole()),
        Event::Finished { status, .. } => (named(noun, ending(*status)), whole()),
        Event::StageStarted { stage, .. } => (named("stage", "starting"), of_stage(stage)?),
        Event::StageFinished { stage, status, .. } => {
            (named("stage", ending(*status)), of_stage(stage)?)
        }
        Event::ContextChanged { stage, .. } | Event::TaskWaits { stage, .. } => {
            (named("stage", "updated"), of_stage(stage)?)
        }
        Event::TaskFinished {
            stage,
            task,
            status,
            ..
        } => {
            let mut data = of_stage(stage)?;
            data["task"] = json!(state.stage(stage)?.tasks.get(*task)?.name);
            data["taskStatus"] = json!(status);
            (named("task", ending(*status)), data)
        }
        Event::Restored { .. }
        | Event::Admitted { .. }
        | Event::StagesAdded { .. }
        | Event::StagesRemoved { .. }
        | Event::TaskStarted { .. }
        | Event::TaskDispatched { .. }
        | Event::OrderWithdrawn { .. }
        | Event::Canceled { .. }
        | Event::Unfinished { .. }
        | Event::UserChanged { .. } => return None,
    })
}

const fn ending(status: Status) -> &'static str {
    match status {
        Status::Skipped => "skipped",
        Status::Succeeded | Status::FailedContinue => "complete",
        _ => "failed",
    }
}
