//! Commands that one execution (or a pipeline's log) sends to another, on the queue `orca.commands`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kork::ports::Delivery;
use kork_model::ExecutionId;
use orca_engine::Command;
use serde::{Deserialize, Serialize};

use crate::app::{Error, Shell};

const QUEUE: &str = "orca.commands";
const LEASE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(30);
const BATCH: usize = 64;
/// Pauses before a message is delivered again that could not be worked on. It is never given up: who sent it
/// waits for what follows.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_LONGEST: Duration = Duration::from_secs(10);
/// Deliveries after which the log says that a message still waits, and again after as many.
const TOLD_EVERY: u32 = 10;

#[derive(Serialize, Deserialize)]
struct Addressed {
    execution: ExecutionId,
    command: Command,
}

/// Sends a command under a key: while it waits, the same key is not added again.
pub(crate) async fn send(
    shell: &Arc<Shell>,
    key: &str,
    execution: &ExecutionId,
    command: &Command,
) -> Result<(), Error> {
    let message = Addressed {
        execution: execution.clone(),
        command: command.clone(),
    };
    let payload = serde_json::to_vec(&message).map_err(|source| Error::Unreadable {
        id: execution.to_string(),
        source,
    })?;
    let sent = shell
        .ports
        .queue
        .enqueue(QUEUE, key, Bytes::from(payload), None)
        .await;
    sent.map(drop).map_err(|e| crate::app::unavailable(&e))
}

pub(crate) fn spawn(shell: &Arc<Shell>) {
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn_until_requested(async move {
        pull_forever(&shell, QUEUE, |shell, delivery| async move {
            let message: Addressed = match serde_json::from_slice(&delivery.payload) {
                Ok(message) => message,
                Err(error) => return reject(&shell, &delivery, &error.to_string()).await,
            };
            let outcome = shell.execute(&message.execution, &message.command).await;
            finish(&shell, &delivery, outcome.map(drop)).await;
        })
        .await;
    });
}

/// Pulls from a queue and works on up to the configured number of messages at once.
pub(crate) async fn pull_forever<F, Fut>(shell: &Arc<Shell>, queue: &'static str, work: F)
where
    F: Fn(Arc<Shell>, Delivery) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let at_once = Arc::new(tokio::sync::Semaphore::new(
        shell.config.commands_at_once_max.max(1),
    ));
    loop {
        let pulled = shell.ports.queue.pull(queue, BATCH, LEASE, WAIT).await;
        let deliveries = match pulled {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(%queue, %error, "the queue does not answer");
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
        };
        for delivery in deliveries {
            let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else {
                return;
            };
            let (shell, work) = (Arc::clone(shell), work.clone());
            shell.shutdown.clone().spawn(async move {
                work(shell, delivery).await;
                drop(permit);
            });
        }
    }
}

/// Done, or later, or never.
pub(crate) async fn finish(shell: &Arc<Shell>, delivery: &Delivery, outcome: Result<(), Error>) {
    let queue = &shell.ports.queue;
    let answered = match outcome {
        Ok(()) => queue.ack(&delivery.lease).await,
        Err(error) if error.is_passing() => {
            if delivery.attempt.is_multiple_of(TOLD_EVERY) {
                let attempt = delivery.attempt;
                tracing::warn!(message = %delivery.id, attempt, error = %error.problem(), "a message is worked on later");
            }
            queue.nak(&delivery.lease, again(delivery.attempt)).await
        }
        Err(error) => {
            let reason = error.problem().to_string();
            tracing::info!(message = %delivery.id, %reason, "a message was refused");
            queue.ack(&delivery.lease).await
        }
    };
    answered.unwrap_or_else(|error| {
        tracing::debug!(message = %delivery.id, %error, "the message will be delivered again");
    });
}

fn again(attempt: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1).min(16));
    AGAIN.saturating_mul(doubled).min(AGAIN_LONGEST)
}

pub(crate) async fn reject(shell: &Arc<Shell>, delivery: &Delivery, reason: &str) {
    tracing::error!(message = %delivery.id, %reason, "a message cannot be read");
    shell
        .ports
        .queue
        .reject(&delivery.lease, reason)
        .await
        .unwrap_or_else(|error| {
            tracing::debug!(message = %delivery.id, %error, "the message will be delivered again");
        });
}
