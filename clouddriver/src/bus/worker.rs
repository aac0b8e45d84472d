//! Orders from the queue `task.clouddriver`; results go to `orca.reports`.
//!
//! The result of an order is stored by its key before it is reported, and reported before the order
//! is acknowledged: whoever dies between, the order comes again and gets its first result.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kork::{
    ports::{Delivery, QueueError},
    service::Shutdown,
    trace,
};
use kork_model::{Problem, Status, WorkKey, WorkOrder, WorkReport, WorkResult, work};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::app::{
    Driver, Order,
    store::{StoredResult, is_passing},
};

const SERVICE: &str = "clouddriver";
const LEASE: Duration = Duration::from_secs(30);
/// Leases are prolonged at this pace while the work goes on.
const PROLONG: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_secs(30);
const BATCH: usize = 16;
/// Pause after a part that is needed did not answer.
const PAUSE: Duration = Duration::from_secs(1);

type Running = Arc<Mutex<HashMap<WorkKey, CancellationToken>>>;

/// Takes orders until shutdown. Orders that are not finished then come again.
pub(crate) async fn work(driver: Arc<Driver>, shutdown: Shutdown) {
    let queue = work::orders(SERVICE);
    let running = Running::default();
    let at_once = Arc::new(Semaphore::new(
        driver.config.limits.orders_at_once_max.max(1),
    ));
    loop {
        let pulled = tokio::select! {
            () = shutdown.requested() => return,
            pulled = driver.ports.queue.pull(&queue, BATCH, LEASE, WAIT) => pulled,
        };
        let deliveries = match pulled {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(%error, queue, "the queue of orders does not answer");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        for delivery in deliveries {
            let worker = Worker {
                driver: Arc::clone(&driver),
                running: Arc::clone(&running),
            };
            let at_once = Arc::clone(&at_once);
            let stopping = shutdown.clone();
            shutdown.spawn(async move {
                let queue = &worker.driver.ports.queue;
                let taken = tokio::select! {
                    taken = worker.take(&delivery, &at_once) => taken,
                    // Handed back, so that the next clouddriver has it at once.
                    () = stopping.requested() => queue.nak(&delivery.lease, Duration::ZERO).await,
                };
                if let Err(error) = taken {
                    tracing::warn!(%error, message = delivery.id, "an order could not be finished, it comes again");
                }
            });
        }
    }
}

struct Worker {
    driver: Arc<Driver>,
    running: Running,
}

/// Forgets that an order is being worked on, also when the work is dropped.
struct Held<'a> {
    running: &'a Running,
    key: WorkKey,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        lock(self.running).remove(&self.key);
    }
}

fn lock(running: &Running) -> std::sync::MutexGuard<'_, HashMap<WorkKey, CancellationToken>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why the outcome of an order is a failure, for its span.
fn failed(outcome: &Result<Option<WorkResult>, Problem>) -> Option<String> {
    match outcome {
        Ok(result) => Some(result.as_ref()?.error.as_ref()?.to_string()),
        Err(problem) => Some(problem.to_string()),
    }
}

impl Worker {
    async fn take(&self, delivery: &Delivery, at_once: &Semaphore) -> Result<(), QueueError> {
        let queue = &self.driver.ports.queue;
        let order: WorkOrder = match serde_json::from_slice(&delivery.payload) {
            Ok(order) => order,
            Err(error) => {
                return queue
                    .reject(&delivery.lease, &format!("no order: {error}"))
                    .await;
            }
        };
        if order.cancel {
            return self.withdraw(delivery, &order).await;
        }
        let stop = CancellationToken::new();
        if lock(&self.running).contains_key(&order.key) {
            // The same order is being worked on; its result will be the result.
            return queue.nak(&delivery.lease, PROLONG).await;
        }
        lock(&self.running).insert(order.key.clone(), stop.clone());
        let _held = Held {
            running: &self.running,
            key: order.key.clone(),
        };
        let finished = async {
            let Ok(_permit) = at_once.acquire().await else {
                return Ok(None);
            };
            let work = self.finish(&order, &stop);
            trace::ordered(&order, work, failed).await
        };
        let stored = tokio::select! {
            stored = finished => stored,
            lost = self.prolong(delivery) => return Err(lost),
        };
        match stored {
            Ok(Some(result)) => {
                self.report(&WorkReport::done(&order, result)).await?;
                queue.ack(&delivery.lease).await
            }
            Ok(None) => queue.ack(&delivery.lease).await,
            Err(problem) => {
                tracing::warn!(%problem, key = %order.key, "an order cannot be worked on now");
                queue.nak(&delivery.lease, PAUSE).await
            }
        }
    }

    /// Ends only when somebody else has the order now.
    async fn prolong(&self, delivery: &Delivery) -> QueueError {
        loop {
            tokio::time::sleep(PROLONG).await;
            match self.driver.ports.queue.extend(&delivery.lease, LEASE).await {
                Err(lost @ QueueError::LeaseLost { .. }) => return lost,
                Err(error) => {
                    tracing::warn!(%error, message = delivery.id, "a lease could not be prolonged");
                }
                Ok(()) => {}
            }
        }
    }

    /// The result that counts; `None` when the order was withdrawn, `Err` when it cannot be stored.
    async fn finish(
        &self,
        order: &WorkOrder,
        stop: &CancellationToken,
    ) -> Result<Option<WorkResult>, Problem> {
        if let Some(first) = self.driver.result(order.key.as_str()).await? {
            return Ok(first.result);
        }
        let asked = Order {
            key: order.key.as_str(),
            application: &order.application,
            payload: &order.payload,
            deadline: order.deadline,
            stop: stop.clone(),
        };
        let outcome = self.driver.perform(&order.kind, &asked).await;
        let result = match outcome {
            _ if stop.is_cancelled() => None,
            Ok(outputs) => Some(WorkResult::succeeded(outputs)),
            // Nothing was decided: try again.
            Err(failure) if is_passing(&failure.problem) => return Err(failure.problem),
            Err(failure) => {
                let status = Status::Terminal;
                Some(WorkResult {
                    status,
                    context: failure.context,
                    ..WorkResult::failed(failure.problem)
                })
            }
        };
        let stored = StoredResult {
            key: order.key.0.clone(),
            kind: order.kind.clone(),
            result,
        };
        Ok(self.driver.keep_result(stored).await?.result)
    }

    async fn withdraw(&self, delivery: &Delivery, order: &WorkOrder) -> Result<(), QueueError> {
        let stop = lock(&self.running).get(&order.key).cloned();
        if let Some(stop) = stop {
            stop.cancel();
        }
        let withdrawn = StoredResult {
            key: order.key.0.clone(),
            kind: order.kind.clone(),
            result: None,
        };
        match self.driver.keep_result(withdrawn).await {
            Ok(_) => self.driver.ports.queue.ack(&delivery.lease).await,
            Err(problem) => {
                tracing::warn!(%problem, key = %order.key, "an order cannot be withdrawn now");
                self.driver.ports.queue.nak(&delivery.lease, PAUSE).await
            }
        }
    }

    async fn report(&self, report: &WorkReport) -> Result<(), QueueError> {
        let payload = serde_json::to_vec(report).map(Bytes::from);
        let payload = payload.map_err(|e| QueueError::Unavailable {
            reason: e.to_string(),
        })?;
        let id = format!("{}/done", report.key);
        self.driver
            .ports
            .queue
            .enqueue(work::REPORTS, &id, payload, None)
            .await
            .map(drop)
    }
}
