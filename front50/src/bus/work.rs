//! Takes work orders from the queue and reports what became of them.
//!
//! | what happened | what the queue is told |
//! |---|---|
//! | done, or refused for good | report enqueued, then acknowledged |
//! | the bucket or the queue of reports is away | delivered again after a pause |
//! | the order is withdrawn | acknowledged; nothing is undone, nothing reported |
//! | the message is no order | rejected to the dead letters |

use std::{sync::Arc, time::Duration};

use kork::{
    model::{WorkOrder, WorkReport, work},
    ports::{Delivery, Ports, QueueError},
    trace,
};

use crate::{app::Front50, pause};

/// Orders that are worked on at the same time.
const ORDERS_MAX: usize = 16;
/// How long an order is ours; extended while it is worked on.
const LEASE: Duration = Duration::from_mins(1);
/// When the lease is extended, in milliseconds.
const EXTEND_EVERY_MS: u64 = 20_000;
/// How long one look into the queue waits.
const WAIT: Duration = Duration::from_secs(5);
/// Pause after a failure of the queue or the bucket, in milliseconds.
const PAUSE_MS: u64 = 1_000;

/// Works until it is dropped.
pub(crate) async fn work(front50: Arc<Front50>, ports: Ports, shutdown: kork::service::Shutdown) {
    let queue = work::orders("front50");
    let room = Arc::new(tokio::sync::Semaphore::new(ORDERS_MAX));
    loop {
        // Only what can be worked on at once is taken.
        let Ok(first) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        drop(first);
        let free = room.available_permits().max(1);
        match ports.queue.pull(&queue, free, LEASE, WAIT).await {
            Ok(deliveries) => {
                for delivery in deliveries {
                    let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                        return;
                    };
                    let (front50, ports) = (Arc::clone(&front50), ports.clone());
                    // Finishes what it has begun when the service stops.
                    shutdown.spawn(async move {
                        one(&front50, &ports, delivery).await;
                        drop(permit);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "orders cannot be taken");
                pause(&*ports.clock, PAUSE_MS).await;
            }
        }
    }
}

async fn one(front50: &Arc<Front50>, ports: &Ports, delivery: Delivery) {
    let order: WorkOrder = match serde_json::from_slice(&delivery.payload) {
        Ok(order) => order,
        Err(error) => {
            let reason = format!("not a work order: {error}");
            settled(
                &delivery.id,
                ports.queue.reject(&delivery.lease, &reason).await,
            );
            return;
        }
    };
    if order.cancel {
        settled(&delivery.id, ports.queue.ack(&delivery.lease).await);
        return;
    }
    let done = tokio::select! {
        done = trace::ordered(&order, finish(front50, ports, &order), |done| {
            done.as_ref().err().map(ToString::to_string)
        }) => done,
        lost = keep(ports, &delivery) => Err(lost),
    };
    match done {
        Ok(()) => settled(&delivery.id, ports.queue.ack(&delivery.lease).await),
        Err(reason) => {
            tracing::warn!(key = %order.key, kind = %order.kind, %reason, "an order is put back");
            let pause = Duration::from_millis(PAUSE_MS);
            settled(&delivery.id, ports.queue.nak(&delivery.lease, pause).await);
        }
    }
}

async fn finish(front50: &Arc<Front50>, ports: &Ports, order: &WorkOrder) -> Result<(), String> {
    let result = front50
        .work(order)
        .await
        .map_err(|problem| problem.to_string())?;
    let report = WorkReport::done(order, result);
    let payload = serde_json::to_vec(&report).map_err(|error| error.to_string())?;
    let id = format!("{}/done", order.key);
    let sent = ports
        .queue
        .enqueue(work::REPORTS, &id, payload.into(), None)
        .await;
    sent.map(|_| ()).map_err(|error| error.to_string())
}

/// Extends the lease until it is lost.
async fn keep(ports: &Ports, delivery: &Delivery) -> String {
    loop {
        pause(&*ports.clock, EXTEND_EVERY_MS).await;
        if let Err(error) = ports.queue.extend(&delivery.lease, LEASE).await {
            return error.to_string();
        }
    }
}

/// A lease that ran out is no harm: the order comes again and gets its first result.
fn settled(id: &str, result: Result<(), QueueError>) {
    if let Err(error) = result {
        tracing::debug!(%id, %error, "an order was not settled");
    }
}
