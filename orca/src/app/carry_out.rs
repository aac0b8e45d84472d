//! Carries out what the engine asks for. Each effect has a stable key, so doing it again is harmless;
//! what cannot be done now is tried again until it is done or the process ends (then recovery issues
//! it again from the log).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kork::ports::{QueueError, Revision};
use kork_model::{ExecutionId, WorkOrder, work};
use orca_engine::{Command, Effect, Event, State, effects};

use super::{Error, Shell, admission, spans};
use crate::bus::commands;

/// First pause before an effect is tried again; it doubles up to the longest one.
const RETRY_FIRST_MS: u64 = 50;
const RETRY_LONGEST_MS: u64 = 5_000;

impl Shell {
    /// Everything that follows from stored events, which lead from one revision to another: index,
    /// timers, the event stream, effects. Done under the lock of the execution, so that what follows
    /// from two decisions follows in their order.
    pub(crate) async fn follow_up(
        self: &Arc<Self>,
        state: &Arc<State>,
        events: &[Event],
        before: Revision,
        revision: Revision,
    ) {
        let id = &state.execution.id;
        self.timers.set(id, state.next_wake());
        self.measures.events(state, events);
        spans::record(state, events);
        if events.iter().any(changes_index) {
            self.index_put(state).await;
        }
        if events
            .iter()
            .any(|event| matches!(event, Event::Finished { .. }))
        {
            self.ended(state);
        }
        self.tell(state, events, before, revision).await;
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
                self.archiver.put(id);
                Ok(())
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
