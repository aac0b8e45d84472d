//! orca's own worker, on the queue `task.orca`: webhooks and child pipelines.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kork::{ports::Delivery, rpc, trace};
use kork_model::{
    Context, Execution, ExecutionId, Kind, Problem, Status, WorkKey, WorkOrder, WorkReport,
    WorkResult, api::front50::GetPipeline, work,
};
use orca_engine::{Command, effects::child_end};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::commands;
use crate::{
    app::{
        Error, Shell,
        parent::{self, DEPTH_MAX},
        results,
        start::Start,
    },
    webhook::{Caller, Listener},
};

const QUEUE: &str = "task.orca";
const LEASE: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(30);
/// Leases are prolonged at this pace while the work goes on.
const PROLONG: Duration = Duration::from_secs(10);
const BATCH: usize = 32;

/// Work that is going on, by key, so that it can be called back.
type Running = Arc<Mutex<HashMap<WorkKey, CancellationToken>>>;

pub(crate) fn spawn(shell: &Arc<Shell>, caller: Caller) {
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn_until_requested(async move {
        let running = Running::default();
        let at_once = Arc::new(tokio::sync::Semaphore::new(
            shell.config.webhooks_at_once_max.max(1),
        ));
        loop {
            let pulled = shell.ports.queue.pull(QUEUE, BATCH, LEASE, WAIT).await;
            let deliveries = pulled.unwrap_or_else(|error| {
                tracing::warn!(%error, "the queue of orca's worker does not answer");
                Vec::new()
            });
            for delivery in deliveries {
                let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else {
                    return;
                };
                let work = Work {
                    shell: Arc::clone(&shell),
                    caller: caller.clone(),
                    running: Arc::clone(&running),
                };
                shell.shutdown.clone().spawn(async move {
                    work.take(delivery).await;
                    drop(permit);
                });
            }
        }
    });
}

/// Why the outcome of an order is a failure, for its span.
fn failed(outcome: &Result<Option<WorkResult>, Error>) -> Option<String> {
    match outcome {
        Ok(result) => Some(result.as_ref()?.error.as_ref()?.to_string()),
        Err(error) => Some(error.problem().to_string()),
    }
}

struct Work {
    shell: Arc<Shell>,
    caller: Caller,
    running: Running,
}

impl Work {
    async fn take(&self, delivery: Delivery) {
        let order: WorkOrder = match serde_json::from_slice(&delivery.payload) {
            Ok(order) => order,
            Err(error) => {
                return commands::reject(&self.shell, &delivery, &error.to_string()).await;
            }
        };
        if order.cancel {
            self.call_back(&order).await;
            return commands::finish(&self.shell, &delivery, Ok(())).await;
        }
        let stop = CancellationToken::new();
        if self
            .lock()
            .insert(order.key.clone(), stop.clone())
            .is_some()
        {
            // The same order is being worked on; its result is the result.
            return commands::finish(&self.shell, &delivery, Ok(())).await;
        }
        let outcome = tokio::select! {
            biased;
            outcome = trace::ordered(&order, self.work(&order, &stop), failed) => outcome,
            () = self.prolong(&delivery) => return,
        };
        self.lock().remove(&order.key);
        let outcome = match outcome {
            Ok(Some(result)) => self.report(&WorkReport::done(&order, result), "end").await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        commands::finish(&self.shell, &delivery, outcome).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<WorkKey, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never returns while the lease can be prolonged.
    async fn prolong(&self, delivery: &Delivery) {
        loop {
            tokio::time::sleep(PROLONG).await;
            let prolonged = self.shell.ports.queue.extend(&delivery.lease, LEASE).await;
            if let Err(error) = prolonged {
                tracing::debug!(message = %delivery.id, %error, "somebody else has this work now");
                return;
            }
        }
    }

    /// `None`: the end will be told by somebody else.
    async fn work(
        &self,
        order: &WorkOrder,
        stop: &CancellationToken,
    ) -> Result<Option<WorkResult>, Error> {
        let listener = Told {
            work: self,
            order,
            stop,
        };
        match order.kind.as_str() {
            results::KEPT => self.create_webhook(order, &listener).await.map(Some),
            "monitorWebhook" => Ok(Some(self.caller.monitor(order, &listener).await)),
            "startPipeline" => self.start_child(order).await.map(Some),
            "monitorPipeline" => self.watch_child(order).await,
            "dependsOnExecution" => self.depends(order, &listener).await.map(Some),
            other => {
                let text = format!("orca's worker does not know the work {other}");
                Ok(Some(WorkResult::failed(Problem::new(
                    "ORCA-0018",
                    Kind::Invalid,
                    text,
                ))))
            }
        }
    }

    /// A call that was answered is not made again, whatever became of the report about it. A call
    /// that was cut off by a crash is repeated, with the same `Idempotency-Key`.
    async fn create_webhook(
        &self,
        order: &WorkOrder,
        listener: &Told<'_>,
    ) -> Result<WorkResult, Error> {
        if let Some(first) = self.shell.first_result(order).await? {
            return Ok(first);
        }
        let result = self.caller.create(order, listener).await;
        self.shell.keep_result(order, result).await
    }

    async fn call_back(&self, order: &WorkOrder) {
        let stop = self.lock().get(&order.key).cloned();
        if let Some(stop) = stop {
            stop.cancel();
        }
        match order.kind.as_str() {
            results::KEPT | "monitorWebhook" => self.caller.cancel(order).await,
            "monitorPipeline" => {
                let Some(child) = child_of(order) else { return };
                let by = "parent pipeline".to_owned();
                let command = Command::Cancel { by, reason: None };
                if let Err(error) = self.shell.execute(&child, &command).await {
                    let error = error.problem();
                    tracing::warn!(execution.id = %child, %error, "a child could not be cancelled");
                }
            }
            _ => {}
        }
    }

    async fn report(&self, report: &WorkReport, part: &str) -> Result<(), Error> {
        let payload = serde_json::to_vec(report).map_err(|source| Error::Unreadable {
            id: report.execution.to_string(),
            source,
        })?;
        let id = format!("{}/{part}", report.key);
        let sent = self
            .shell
            .ports
            .queue
            .enqueue(work::REPORTS, &id, Bytes::from(payload), None)
            .await;
        sent.map(drop).map_err(|e| crate::app::unavailable(&e))
    }

    /// The child's id follows from the key of the work: started twice, it is one execution.
    async fn start_child(&self, order: &WorkOrder) -> Result<WorkResult, Error> {
        let text = |key: &str| {
            order
                .payload
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let get = GetPipeline {
            id: text("pipeline").to_owned(),
            strategies: false,
        };
        let pipeline = match rpc::call(&*self.shell.ports.rpc, &get).await {
            Ok(pipeline) => pipeline,
            Err(problem) if problem.kind == Kind::NotFound => {
                return Ok(WorkResult::failed(problem));
            }
            Err(problem) => return Err(Error::Problem(Box::new(problem))),
        };
        let parent = self.shell.state(&order.execution).await?;
        let trigger = match child_trigger(order, &parent.execution, &get.id) {
            Ok(trigger) => trigger,
            Err(problem) => return Ok(WorkResult::failed(problem)),
        };
        let start = Start {
            pipeline: &pipeline,
            trigger: Some(&trigger),
            user: &order.user,
            origin: "pipeline",
            id: Some(orca_engine::decide::derived_id(
                order.key.0.as_str(),
                "child",
            )),
            is_new: false,
        };
        let id = match self.shell.start(&start).await {
            Ok(id) => id,
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => return Ok(WorkResult::failed(error.problem())),
        };
        let mut result = WorkResult::succeeded(Context::new());
        result.context.insert("executionId".to_owned(), json!(id));
        let name = pipeline.get("name").cloned().unwrap_or_default();
        result.context.insert("executionName".to_owned(), name);
        result.context.insert("status".to_owned(), json!("RUNNING"));
        if order.payload.get("waitForCompletion") == Some(&Value::Bool(false)) {
            result.context.remove("status");
        }
        Ok(result)
    }

    /// The child itself tells its parent when it ends. Here only the case that it has ended already.
    async fn watch_child(&self, order: &WorkOrder) -> Result<Option<WorkResult>, Error> {
        let Some(child) = child_of(order) else {
            let problem = Problem::new("ORCA-0018", Kind::Invalid, "the stage has no executionId");
            return Ok(Some(WorkResult::failed(problem)));
        };
        let state = match self.shell.state(&child).await {
            Ok(state) => state,
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => return Ok(Some(WorkResult::failed(error.problem()))),
        };
        if state.execution.status.is_complete() {
            let child = Box::new(child_end(&state));
            let command = Command::ChildFinished {
                stage: order.stage.clone(),
                child,
            };
            self.shell.execute(&order.execution, &command).await?;
        }
        Ok(None)
    }

    /// Follows another execution until it has ended.
    async fn depends(&self, order: &WorkOrder, listener: &Told<'_>) -> Result<WorkResult, Error> {
        let Some(other) = child_of(order) else {
            let problem = Problem::new("ORCA-0018", Kind::Invalid, "the stage has no executionId");
            return Ok(WorkResult::failed(problem));
        };
        loop {
            match self.shell.state(&other).await {
                Ok(state) if state.execution.status.is_complete() => {
                    let status = if state.execution.status == Status::Succeeded {
                        Status::Succeeded
                    } else {
                        Status::Terminal
                    };
                    return Ok(WorkResult {
                        status,
                        ..WorkResult::succeeded(Context::new())
                    });
                }
                Ok(_) => {}
                Err(error) if error.is_passing() => return Err(error),
                Err(_) => {
                    let mut result = WorkResult::succeeded(Context::new());
                    result.status = Status::Terminal;
                    let text = format!("Execution (pipeline) {other} not found.");
                    result.context.insert("error".to_owned(), json!(text));
                    return Ok(result);
                }
            }
            if !listener.pause(Duration::from_secs(1)).await {
                return Ok(crate::webhook::canceled());
            }
        }
    }
}

/// The trigger of a child names its parent and has what it may use of it.
fn child_trigger(order: &WorkOrder, above: &Execution, pipeline: &str) -> Result<Context, Problem> {
    let Some(own) = parent::shown(above) else {
        let text = format!("{DEPTH_MAX} pipelines started each other, and no more may");
        return Err(Problem::new("ORCA-0006", Kind::TooLarge, text));
    };
    let parameters = order
        .payload
        .get("pipelineParameters")
        .filter(|p| p.is_object());
    let started = above.start_time.unwrap_or_default();
    let correlation = format!("{}_{}_{pipeline}_{started}", order.execution, order.stage);
    let artifacts = match above.stage(&order.stage) {
        Some(stage) => orca_engine::artifacts_before(above, stage),
        None => orca_engine::artifacts_of(above),
    };
    let entries = [
        ("type", json!("pipeline")),
        ("user", json!(order.user)),
        (
            "parameters",
            parameters.cloned().unwrap_or_else(|| json!({})),
        ),
        ("artifacts", json!(artifacts)),
        ("parentPipelineStageId", json!(order.stage)),
        ("correlationId", json!(correlation)),
        ("expectedArtifactIds", json!([])),
        ("parentExecution", Value::Object(own)),
        ("dryRun", json!(above.is_dry_run())),
    ];
    let entries = entries.map(|(key, value)| (key.to_owned(), value));
    let mut trigger = Context::from_iter(entries);
    parent::put_stages(&mut trigger, parent::stages(above));
    Ok(trigger)
}

fn child_of(order: &WorkOrder) -> Option<ExecutionId> {
    order
        .payload
        .get("executionId")
        .and_then(Value::as_str)
        .map(ExecutionId::from)
}

/// Tells the stage how its work goes, and hears when it is called back.
struct Told<'a> {
    work: &'a Work,
    order: &'a WorkOrder,
    stop: &'a CancellationToken,
}

impl Listener for Told<'_> {
    async fn progress(&self, context: Context) {
        let report = WorkReport::progress(self.order, context);
        let part = format!("progress/{}", self.now_ms());
        if let Err(error) = self.work.report(&report, &part).await {
            let error = error.problem();
            tracing::debug!(work = %self.order.key, %error, "progress is not shown");
        }
    }

    async fn pause(&self, time: Duration) -> bool {
        let clock = &self.work.shell.ports.clock;
        let end = clock.now().plus_ms(time.as_millis() as u64);
        tokio::select! {
            biased;
            () = clock.sleep_until(end) => true,
            () = self.stop.cancelled() => false,
        }
    }

    fn now_ms(&self) -> u64 {
        self.work.shell.ports.clock.now().millis()
    }
}
