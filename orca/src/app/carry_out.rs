//! Carries out what the engine asks for. Each effect has a stable key, so doing it again is harmless;
//! what cannot be done now is tried again until it is done or the process ends (then recovery issues
//! it again from the log).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kork::ports::{QueueError, Revision};
use kork_model::{
    ExecutionId, ExecutionType, StageId, Status, SuiteEvent, WorkOrder, event::subject, work,
};
use orca_engine::{Command, Effect, Event, State, effects};
use serde_json::{Value, json};

use super::{Error, Shell, admission, publisher::Message};
use crate::bus::commands;

/// First pause before an effect is tried again; it doubles up to the longest one.
const RETRY_FIRST_MS: u64 = 50;
const RETRY_LONGEST_MS: u64 = 5_000;

impl Shell {
    /// Everything that follows from stored events: index, timers, the event stream, effects.
    pub(crate) async fn follow_up(
        self: &Arc<Self>,
        state: &Arc<State>,
        events: &[Event],
        revision: Revision,
    ) {
        let id = &state.execution.id;
        self.timers.set(id, state.next_wake());
        self.measures.events(state, events);
        if events.iter().any(changes_index) {
            self.index_put(state).await;
        }
        self.publish(state, events, revision).await;
        let mut all: Vec<Effect> = events.iter().flat_map(|e| effects(state, e)).collect();
        all.retain(|effect| !is_answered(state, effect));
        self.carry_out(id.clone(), all);
    }

    /// Carries effects out in the background, in order; the order matters for `Archive`, which
    /// comes last.
    pub(crate) fn carry_out(self: &Arc<Self>, id: ExecutionId, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let shell = Arc::clone(self);
        self.shutdown.spawn(async move {
            for effect in effects {
                shell.until_done(&id, &effect).await;
            }
        });
    }

    async fn until_done(self: &Arc<Self>, id: &ExecutionId, effect: &Effect) {
        let mut pause_ms = RETRY_FIRST_MS;
        while let Err(error) = self.try_effect(id, effect).await {
            tracing::warn!(execution.id = %id, error = %error.problem(), "an effect is tried again");
            if self.shutdown.is_requested() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(RETRY_LONGEST_MS);
        }
    }

    async fn try_effect(self: &Arc<Self>, id: &ExecutionId, effect: &Effect) -> Result<(), Error> {
        match effect {
            Effect::Dispatch(order) => self.dispatch(order).await,
            Effect::RequestAdmission {
                pipeline,
                ticket,
                limit,
                keep_waiting,
            } => admission::request(self, pipeline, ticket, *limit, *keep_waiting).await,
            Effect::ReleaseAdmission { pipeline, ticket } => {
                admission::release(self, pipeline, ticket).await
            }
            Effect::TellParent {
                execution,
                stage,
                child,
            } => {
                let command = Command::ChildFinished {
                    stage: stage.clone(),
                    child: child.clone(),
                };
                let key = format!("{}/child/{}", execution, child.execution);
                commands::send(self, &key, execution, &command).await
            }
            Effect::Archive => {
                // Once the log is gone, nobody could publish what was not.
                if self.publisher.flush().await {
                    self.archive(id).await
                } else {
                    Ok(())
                }
            }
        }
    }

    async fn dispatch(&self, order: &WorkOrder) -> Result<(), Error> {
        let queue = work::orders(&order.service);
        // The withdrawal of an order is another message than the order.
        let key = if order.cancel {
            format!("{}/cancel", order.key)
        } else {
            order.key.to_string()
        };
        let payload = serde_json::to_vec(order).map_err(|source| Error::Unreadable {
            id: order.execution.to_string(),
            source,
        })?;
        let sent = self
            .ports
            .queue
            .enqueue(&queue, &key, Bytes::from(payload), None)
            .await;
        sent.map(drop).map_err(|e| unavailable(&e))
    }

    /// Tells the world. The id follows from the revision: a message published twice is one message.
    pub(crate) async fn publish(&self, state: &State, events: &[Event], revision: Revision) {
        let execution = &state.execution;
        let topic = format!(
            "{}{}",
            subject::EXECUTION,
            super::token(&execution.application)
        );
        for (n, event) in events.iter().enumerate() {
            let Some((kind, data)) = told(state, event) else {
                continue;
            };
            let message = SuiteEvent {
                id: format!("{}:{}:{n}", execution.id, revision.0),
                kind,
                time: self.ports.clock.now(),
                application: Some(execution.application.clone()),
                subject: Some(execution.id.to_string()),
                data,
            };
            let Ok(payload) = serde_json::to_vec(&message) else {
                continue;
            };
            let id = message.id.clone();
            let payload = Bytes::from(payload);
            self.publisher
                .publish(Message {
                    topic: topic.clone(),
                    id,
                    payload,
                })
                .await;
        }
    }
}

pub(crate) fn unavailable(error: &QueueError) -> Error {
    let problem = kork_model::Problem::new(
        "KORK-0008",
        kork_model::Kind::Unavailable,
        "the queue does not take the message",
    );
    Error::Problem(Box::new(problem.because(error)))
}

/// The order was withdrawn or answered within the same decision.
fn is_answered(state: &State, effect: &Effect) -> bool {
    let Effect::Dispatch(order) = effect else {
        return false;
    };
    let open = state.meta.get(&order.stage).is_some_and(|notes| {
        notes
            .tasks
            .iter()
            .any(|t| t.order.as_ref().is_some_and(|o| o.key == order.key))
    });
    !order.cancel && !open
}

fn changes_index(event: &Event) -> bool {
    matches!(
        event,
        Event::Created { .. }
            | Event::Restored { .. }
            | Event::Started { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Restarted { .. }
            | Event::Finished { .. }
    )
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
