//! Takes orders for builds from the queue, and reports what became of them.
//!
//! | what happened | what the queue is told |
//! |---|---|
//! | the build ended, or cannot be had | result kept, report enqueued, then acknowledged |
//! | the order was answered before | the same report again, then acknowledged |
//! | the queue of reports or the object store is away | delivered again after a pause; it goes on with the same build |
//! | the order is withdrawn | the build is stopped, then acknowledged; nothing is reported |
//! | the build cannot be stopped now | delivered again after a pause, until it is stopped |
//! | the message is no order | rejected to the dead letters |
//!
//! How far a build is stands in the object store: whoever takes an order over goes on from there.

use std::{sync::Arc, time::Duration};

use igor_ci::follow::{self, BuildOutcome, Permit, Progress};
use kork::{
    ports::{Delivery, QueueError},
    trace,
};
use kork_model::{Kind, Problem, Status, WorkOrder, WorkReport, WorkResult, work};
use tokio_util::sync::CancellationToken;

use crate::app::{
    Igor,
    current::Current,
    orders::{Following, request_of},
    records::Kept,
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
    match build(igor, order).await? {
        Some(result) => report_end(igor, order, result).await,
        None => Ok(()),
    }
}

/// The result of an order, kept before anybody hears of it; none of one that was called back.
async fn build(igor: &Arc<Igor>, order: &WorkOrder) -> Result<Option<WorkResult>, String> {
    let stop = CancellationToken::new();
    let asked = request_of(order);
    let place = asked.as_ref().map(|(m, r)| (m.clone(), r.job.clone()));
    let place = place.unwrap_or_default();
    let kept = igor.kept(order, place.clone(), stop.clone());
    let mut kept = kept.await.map_err(|problem| problem.to_string())?;
    if stop.is_cancelled() {
        // Withdrawn before it began, or while nobody followed it: what there is of it is stopped now.
        let stopped = igor.withdraw(order).await;
        return stopped.map(|()| None).map_err(|e| e.to_string());
    }
    if let Some(first) = kept.result() {
        return Ok(Some(first));
    }
    let server = asked.and_then(|(master, request)| {
        let server = Current::new(igor, &master, &request.unique_key)?;
        Ok((server, request))
    });
    let result = match server {
        Ok((server, request)) => {
            let progress = kept.progress();
            let following = igor.followed.begin(&order.key, stop.clone());
            let listener = Told {
                igor,
                order,
                stop: &stop,
                following: &following,
                kept: tokio::sync::Mutex::new(&mut kept),
            };
            let outcome = follow::run(&server, &request, progress, &listener).await;
            if stop.is_cancelled() {
                return called_back(igor, order, outcome).await.map(|()| None);
            }
            result_of(outcome)
        }
        // It may be in the file that cannot be read now.
        Err(problem) if problem.code == "IGOR-0009" && igor.accounts.wrong().is_some() => {
            return Err(problem.to_string());
        }
        Err(problem) => WorkResult::failed(problem),
    };
    let first = kept.finish(&igor.ports, result).await;
    let first = first.map_err(|problem| problem.to_string())?;
    igor.forget_report(&place.0, &order.key.0).await;
    Ok(first)
}

/// Makes sure that nothing of a withdrawn order goes on. What cannot be stopped now is stopped when it comes again.
async fn called_back(
    igor: &Arc<Igor>,
    order: &WorkOrder,
    outcome: BuildOutcome,
) -> Result<(), String> {
    match outcome {
        BuildOutcome {
            error: Some(error), ..
        } => Err(error),
        BuildOutcome {
            status: Status::Canceled,
            ..
        } => Ok(()),
        // It was heard too late, such as of a stage that only starts its build.
        BuildOutcome { .. } => igor.withdraw(order).await.map_err(|e| e.to_string()),
    }
}

fn result_of(outcome: BuildOutcome) -> WorkResult {
    let error = outcome
        .error
        .map(|text| Problem::new("IGOR-0011", Kind::Conflict, text));
    WorkResult {
        status: outcome.status,
        context: outcome.context,
        outputs: outcome.outputs,
        error,
    }
}

/// Tells the stage how its build goes, keeps how far it is, and hears when it is called back.
struct Told<'a> {
    igor: &'a Arc<Igor>,
    order: &'a WorkOrder,
    stop: &'a CancellationToken,
    following: &'a Following<'a>,
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
            tracing::debug!(work = %self.order.key, %error, "progress is not shown");
        }
    }

    async fn may_start(&self, progress: &Progress) -> Permit {
        let mut kept = self.kept.lock().await;
        match kept.hold(&self.igor.ports, progress).await {
            Err(error) => Permit::Withheld(error.to_string()),
            Ok(()) if self.stop.is_cancelled() => Permit::CalledBack,
            // Our lease is lost then, and the work is dropped soon.
            Ok(()) if kept.result().is_some() => {
                Permit::Withheld("another worker has done it".to_owned())
            }
            Ok(()) => Permit::Given,
        }
    }

    async fn is_shared(&self, progress: &Progress) -> Result<bool, String> {
        let kept = self.kept.lock().await;
        kept.is_shared(&self.igor.ports, progress)
            .await
            .map_err(|error| error.to_string())
    }

    async fn pause(&self, time: Duration) -> bool {
        let clock = &self.igor.ports.clock;
        let end = clock.now().plus_ms(time.as_millis() as u64);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = clock.sleep_until(end) => true,
            () = self.following.news() => true,
        }
    }

    fn now_ms(&self) -> u64 {
        self.igor.ports.clock.now().millis()
    }
}

/// Reports how an order ended. What no message can hold is not tried again: it would never fit.
async fn report_end(igor: &Igor, order: &WorkOrder, result: WorkResult) -> Result<(), String> {
    let status = result.status;
    let mut sent = report(igor, &WorkReport::done(order, result), "done").await;
    if let Err(error @ QueueError::TooLarge { .. }) = sent {
        let text =
            format!("the build ended with {status}, and what it left is too large to be handed on");
        let problem = Problem::new("IGOR-0011", Kind::TooLarge, text).because(&error);
        let failed = WorkResult::failed(problem);
        sent = report(igor, &WorkReport::done(order, failed), "done").await;
    }
    sent.map_err(|error| error.to_string())
}

async fn report(igor: &Igor, report: &WorkReport, part: &str) -> Result<(), QueueError> {
    let payload = serde_json::to_vec(report).map_err(|error| QueueError::Unavailable {
        reason: error.to_string(),
    })?;
    let id = format!("{}/{part}", report.key);
    let queue = &igor.ports.queue;
    let sent = queue.enqueue(work::REPORTS, &id, payload.into(), None);
    sent.await.map(drop)
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
