//! Executions of five steps through orca in this process, on any adapters.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use camino::Utf8Path;
use futures_util::future::join_all;
use integration_tests::pipeline::{pipeline, wait};
use kork::{
    embedded::Embedded,
    ports::{Ports, Revision, Start},
    rpc,
    service::Chassis,
};
use kork_model::{
    SuiteEvent,
    api::orca::StartPipeline,
    event::{self, subject},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{IN_FLIGHT, Row, STEPS, Table, median, percentile, raw};

/// Executions of a run that goes one after the other.
const ALONE: usize = 200;
/// Executions of a run with many in flight, as a multiple of those in flight.
const ROUNDS: usize = 4;

/// Whoever waits for the end of an execution, or the end that nobody waits for yet.
enum Wait {
    For(oneshot::Sender<()>),
    Ended,
}

type Waiting = Arc<Mutex<HashMap<String, Wait>>>;

/// orca in this process.
#[derive(Clone)]
pub(crate) struct Orca {
    ports: Ports,
    chassis: Chassis,
    waiting: Waiting,
    definition: Value,
}

impl Orca {
    pub(crate) async fn start(ports: Ports) -> Self {
        let chassis = Chassis::default();
        tokio::spawn(orca::run(
            orca::Config::default(),
            ports.clone(),
            chassis.clone(),
        ));
        while !chassis.health.report().parts.contains_key("orca.recovery")
            || !chassis.health.is_ready()
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let waiting = Waiting::default();
        listen(&ports, &waiting).await;
        let steps = chain(|name, before| wait(name, before, 0));
        Self {
            ports,
            chassis,
            waiting,
            definition: pipeline("bench", "steps", &steps),
        }
    }

    /// The same orca with executions whose steps are work for a process of somebody else's.
    pub(crate) fn dispatching(&self) -> Self {
        let steps = chain(
            |name, before| json!({"refId": name, "requisiteStageRefIds": before, "type": "custom.bench", "name": name}),
        );
        Self {
            definition: pipeline("bench", "dispatched", &steps),
            ..self.clone()
        }
    }

    /// Runs one execution to its end; how long that took in milliseconds.
    async fn run(&self) -> f64 {
        let began = Instant::now();
        let id = self.begin(&self.definition).await;
        if let Some(ended) = self.end_of(id) {
            ended.await.expect("every execution ends");
        }
        began.elapsed().as_secs_f64() * 1_000.0
    }

    /// Waits for an execution that has not ended yet.
    fn end_of(&self, id: String) -> Option<oneshot::Receiver<()>> {
        let (sender, ended) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Wait::Ended) = waiting.remove(&id) {
            return None;
        }
        waiting.insert(id, Wait::For(sender));
        Some(ended)
    }

    /// Starts one as gate does, which leaves the choice of its id to orca.
    async fn begin(&self, definition: &Value) -> String {
        let request = StartPipeline {
            pipeline: definition.as_object().cloned().unwrap_or_default(),
            user: "bench".to_owned(),
            ..StartPipeline::default()
        };
        let started = rpc::call(&*self.ports.rpc, &request).await;
        let started = started.expect("the execution starts");
        let path = started["ref"].as_str().expect("a reference is a path");
        path.trim_start_matches("/pipelines/").to_owned()
    }

    /// Bytes of one record of an execution's log, on average.
    async fn record_bytes(&self) -> usize {
        let held = pipeline("bench", "held", &[wait("1", &[], 3_600)]);
        let id = self.begin(&held).await;
        let subject = format!("execution.{id}");
        let read = self.ports.journal.read(&subject, Revision::NONE).await;
        let records = read.expect("the log can be read");
        let bytes: usize = records.iter().map(|r| r.payload.len()).sum();
        bytes / records.len().max(1)
    }

    pub(crate) async fn stop(self) {
        self.chassis.shutdown.finish(Duration::from_secs(5)).await;
    }
}

/// Stages one behind the other.
fn chain(stage: impl Fn(&str, &[&str]) -> Value) -> Vec<Value> {
    let names: Vec<String> = (0..=STEPS).map(|n| n.to_string()).collect();
    let stages = (1..=STEPS).map(|n| {
        // Each behind the one before it; the first behind none.
        let before: &[&str] = &[&names[n - 1]];
        stage(&names[n], &before[..usize::from(n > 1)])
    });
    stages.collect()
}

/// Tells those who wait when their execution ends.
async fn listen(ports: &Ports, waiting: &Waiting) {
    let stream = ports.topic.subscribe(subject::EXECUTION, Start::Now).await;
    let mut stream = stream.expect("the event stream can be followed");
    let waiting = Arc::clone(waiting);
    tokio::spawn(async move {
        while let Ok(message) = stream.next().await {
            let events = event::read(&message.payload).expect("events are JSON");
            let ended = |event: &SuiteEvent| event.kind == "orca:pipeline:complete";
            let Some(event) = events.into_iter().find(ended) else {
                continue;
            };
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(id) = event.subject else { continue };
            match waiting.remove(&id) {
                // Nobody waits for an execution of a run that was given up.
                Some(Wait::For(sender)) => drop(sender.send(())),
                _ => drop(waiting.insert(id, Wait::Ended)),
            }
        }
    });
}

/// One run: steps per second and the latencies.
pub(crate) async fn alone(orca: &Orca) -> (f64, Vec<f64>) {
    let (began, mut latencies) = (Instant::now(), Vec::with_capacity(ALONE));
    for _ in 0..ALONE {
        latencies.push(orca.run().await);
    }
    let rate = (ALONE * STEPS) as f64 / began.elapsed().as_secs_f64();
    (rate, latencies)
}

pub(crate) async fn together(orca: &Arc<Orca>, in_flight: usize) -> (f64, Vec<f64>) {
    let began = Instant::now();
    let workers = (0..in_flight).map(|_| {
        let orca = Arc::clone(orca);
        tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                latencies.push(orca.run().await);
            }
            latencies
        })
    });
    let latencies = join_all(workers).await.into_iter();
    let latencies: Vec<f64> = latencies
        .flat_map(|l| l.expect("no worker fails"))
        .collect();
    let rate = (latencies.len() * STEPS) as f64 / began.elapsed().as_secs_f64();
    (rate, latencies)
}

/// Measures and adds to the table.
pub(crate) async fn measure(runs: u64, rows: &mut Table) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let data = Utf8Path::from_path(dir.path()).expect("temporary paths are UTF-8");
    let embedded = Embedded::open(&data.join("data"));
    let embedded = embedded.expect("a temporary directory can be used");
    let orca = Arc::new(Orca::start(embedded.ports()).await);
    let bytes = orca.record_bytes().await;
    let (single, grouped) = raw::measure(dir.path(), bytes, runs);
    rows.push(Row::new(
        format!("disk: records of {bytes} bytes, one at a time, each flushed"),
        format!("{single:.0}/s"),
    ));
    rows.push(Row::new(
        format!("disk: {IN_FLIGHT} records written and flushed as one"),
        format!("{grouped:.0}/s"),
    ));
    // The first run warms up.
    alone(&orca).await;
    let (mut rates, mut latencies) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (rate, own) = alone(&orca).await;
        rates.push(rate);
        latencies.extend(own);
    }
    tell(
        "one execution after the other",
        &mut rates,
        &mut latencies,
        rows,
    );
    let (mut rates, mut latencies) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (rate, own) = together(&orca, IN_FLIGHT).await;
        rates.push(rate);
        latencies.extend(own);
    }
    tell(
        &format!("{IN_FLIGHT} in flight"),
        &mut rates,
        &mut latencies,
        rows,
    );
    if let Ok(orca) = Arc::try_unwrap(orca) {
        orca.stop().await;
    }
}

pub(crate) fn tell(how: &str, rates: &mut [f64], latencies: &mut [f64], rows: &mut Table) {
    let rate = median(rates);
    rows.push(Row::new(
        format!("durable steps, {how}"),
        format!("{rate:.0}/s ({:.0} executions/s)", rate / STEPS as f64),
    ));
    let (p50, p99) = (percentile(latencies, 50), percentile(latencies, 99));
    rows.push(Row::new(
        format!("from start to end of {STEPS} steps, {how}"),
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms"),
    ));
}
