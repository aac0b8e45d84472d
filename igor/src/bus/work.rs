//! Takes orders for builds from the queue, and reports what became of them.
//!
//! | what happened | what the queue is told |
//! |---|---|
//! | the build ended, or cannot be had | report enqueued, then acknowledged |
//! | the queue of reports is away | delivered again after a pause; it goes on with the same build |
//! | the order is withdrawn | the build is stopped, then acknowledged; nothing is reported |
//! | the message is no order | rejected to the dead letters |
//!
//! How far a build is stands in the object store: whoever takes an order over goes on from there.

use std::{sync::Arc, time::Duration};

use igor_ci::follow;
use kork::{
    ports::{Delivery, QueueError},
    trace,
};
use kork_model::{Kind, Problem, WorkOrder, WorkReport, WorkResult, work};
use tokio_util::sync::CancellationToken;

use crate::app::{
    Igor,
    orders::{Kept, request_of},
};

/// Builds that are followed at the same time. Waiting for one costs little.
const ORDERS_MAX: usize = 4_096;
/// Orders that are taken at once.
const TAKEN_MAX: usize = 64;
/// How long an order is ours; extended while it is worked on.
const LEASE: Duration = Duration::from_mins(1);
const EXTEND_EVERY: Duration = Duration::from_secs(20);
/// How long one look into the queue waits.
const WAIT: Duration = Duration::from_secs(5);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Works until it is dropped.
pub(crate) async fn work(igor: Arc<Igor>) {
    let queue = work::orders("igor");
    let room = Arc::new(tokio::sync::Semaphore::new(ORDERS_MAX));
    loop {
        let Ok(first) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        drop(first);
        let free = room.available_permits().clamp(1, TAKEN_MAX);
        match igor.ports.queue.pull(&queue, free, LEASE, WAIT).await {
            Ok(deliveries) => {
                for delivery in deliveries {
                    let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                        return;
                    };
                    let igor = Arc::clone(&igor);
                    // Dropped at a stop: the next one goes on with the build.
                    igor.shutdown.clone().spawn_until_requested(async move {
                        one(&igor, &delivery).await;
                        drop(permit);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "orders cannot be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn one(igor: &Arc<Igor>, delivery: &Delivery) {
    let queue = &igor.ports.queue;
    let order: WorkOrder = match serde_json::from_slice(&delivery.payload) {
        Ok(order) => order,
        Err(error) => {
            let reason = format!("not a work order: {error}");
            let rejected = queue.reject(&delivery.lease, &reason).await;
            return settled(&delivery.id, rejected);
        }
    };
    let done = tokio::select! {
        done = trace::ordered(&order, finish(igor, &order), |done| {
            done.as_ref().err().map(ToString::to_string)
        }) => done,
        lost = keep(igor, delivery) => Err(lost),
    };
    match done {
        Ok(()) => settled(&delivery.id, queue.ack(&delivery.lease).await),
        Err(reason) => {
            tracing::warn!(key = %order.key, reason, "an order is put back");
            settled(&delivery.id, queue.nak(&delivery.lease, PAUSE).await);
        }
    }
}

async fn finish(igor: &Arc<Igor>, order: &WorkOrder) -> Result<(), String> {
    if order.cancel {
        return igor.withdraw(order).await.map_err(|e| e.to_string());
    }
    let result = build(igor, order).await?;
    if let Some(result) = result {
        report(igor, &WorkReport::done(order, result), "done").await?;
    }
    igor.forget(order).await;
    Ok(())
}

/// Follows a build to its end; nothing is left to report of one that was called back.
async fn build(igor: &Arc<Igor>, order: &WorkOrder) -> Result<Option<WorkResult>, String> {
    let (master, request) = match request_of(order) {
        Ok(asked) => asked,
        Err(problem) => return Ok(Some(WorkResult::failed(problem))),
    };
    let server = match igor.build_server(&master) {
        Ok(server) => server,
        Err(problem) => return Ok(Some(WorkResult::failed(problem))),
    };
    let stop = CancellationToken::new();
    let kept = igor.kept(order, stop.clone()).await;
    let mut kept = kept.map_err(|problem| problem.to_string())?;
    if stop.is_cancelled() {
        // Withdrawn before it began, or while nobody followed it: what there was of it is stopped already.
        return Ok(None);
    }
    let progress = kept.progress();
    let listener = Told {
        igor,
        order,
        stop: &stop,
        kept: tokio::sync::Mutex::new(&mut kept),
    };
    let outcome = follow::run(&*server, &request, progress, &listener).await;
    if stop.is_cancelled() {
        return Ok(None);
    }
    let error = outcome
        .error
        .map(|text| Problem::new("IGOR-0011", Kind::Conflict, text));
    Ok(Some(WorkResult {
        status: outcome.status,
        context: outcome.context,
        outputs: outcome.outputs,
        error,
    }))
}

/// Tells the stage how its build goes, keeps how far it is, and hears when it is called back.
struct Told<'a> {
    igor: &'a Arc<Igor>,
    order: &'a WorkOrder,
    stop: &'a CancellationToken,
    kept: tokio::sync::Mutex<&'a mut Kept>,
}

impl follow::Listener for Told<'_> {
    async fn progress(&self, context: kork_model::Context) {
        self.kept
            .lock()
            .await
            .save(&self.igor.ports, &context)
            .await;
        let report_of = WorkReport::progress(self.order, context);
        let part = format!("progress/{}", self.now_ms());
        if let Err(error) = report(self.igor, &report_of, &part).await {
            tracing::debug!(work = %self.order.key, error, "progress is not shown");
        }
    }

    async fn pause(&self, time: Duration) -> bool {
        let clock = &self.igor.ports.clock;
        let end = clock.now().plus_ms(time.as_millis() as u64);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = clock.sleep_until(end) => true,
        }
    }

    fn now_ms(&self) -> u64 {
        self.igor.ports.clock.now().millis()
    }
}

async fn report(igor: &Igor, report: &WorkReport, part: &str) -> Result<(), String> {
    let payload = serde_json::to_vec(report).map_err(|error| error.to_string())?;
    let id = format!("{}/{part}", report.key);
    let queue = &igor.ports.queue;
    let sent = queue
        .enqueue(work::REPORTS, &id, payload.into(), None)
        .await;
    sent.map(drop).map_err(|error| error.to_string())
}

/// Extends the lease until it is lost.
async fn keep(igor: &Igor, delivery: &Delivery) -> String {
    loop {
        tokio::time::sleep(EXTEND_EVERY).await;
        if let Err(error) = igor.ports.queue.extend(&delivery.lease, LEASE).await {
            return error.to_string();
        }
    }
}

/// A lease that ran out is no harm: the order comes again and goes on with the same build.
fn settled(id: &str, result: Result<(), QueueError>) {
    if let Err(error) = result {
        tracing::debug!(%id, %error, "an order was not settled");
    }
}
