//! A seeded simulation of the whole orchestration: one or two real orcas on embedded ports in memory,
//! on a virtual clock, with faults; held against a small model.
//!
//! Everything follows from the seed. `cargo run -p integration-tests --bin simulate -- --seed N`
//! replays one.

mod faults;
mod model;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kork::{
    embedded::{Embedded, SeededIds, TokioClock},
    model::{
        Execution, Kind, Problem, Status, Timestamp, WorkOrder, WorkReport, WorkResult,
        api::orca::{GetExecution, PatchStage, StartPipeline},
        event, work,
    },
    ports::{Ports, Start, TopicStream},
    rpc,
    service::Chassis,
};
use kork_model::api::front50::ListTriggers;
use serde_json::{Value, json};
use tokio::sync::Notify;

use self::{
    faults::{Dice, Faults, faulty},
    model::Scenario,
};

/// Virtual time during which things go wrong.
const CHAOS: Duration = Duration::from_secs(25);
/// Virtual time after which everything must have ended.
const PATIENCE: Duration = Duration::from_mins(10);
/// Virtual pause between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Instances of orca, at most.
const INSTANCES_MAX: u64 = 2;
/// Pipelines of one simulation, at most.
const PIPELINES_MAX: u64 = 6;

/// What one simulation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    pub pipelines: usize,
    pub orders: usize,
    pub kills: usize,
    /// A hash over all that happened, in order: two runs of a seed have the same.
    pub trace: u64,
}

/// Runs one seed.
///
/// # Errors
/// What did not hold, in a sentence.
pub fn simulate(seed: u64) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(run(seed))
}

async fn run(seed: u64) -> Result<Report, String> {
    let dice = Dice::new(seed);
    let clock = Arc::new(TokioClock::new(Timestamp(1_790_000_000_000)));
    let ids = Arc::new(SeededIds::new(seed, clock.clone()));
    let ports = Embedded::in_memory(clock, ids).ports();
    let mut events = ports
        .topic
        .subscribe("events.", Start::Oldest)
        .await
        .map_err(|e| e.to_string())?;
    let scenarios: Vec<Scenario> = (0..=dice.roll(PIPELINES_MAX))
        .map(|_| Scenario::new(&dice))
        .collect();
    // Pipelines that end may have others that wait for them: here none are stored.
    let none = kork::rpc::serve(&*ports.rpc, |_: ListTriggers| async { Ok(Vec::new()) });
    let _front50 = none.await.map_err(|error| error.to_string())?;
    let worker = Worker::default();
    let working = tokio::spawn(worker.clone().work(ports.clone(), dice.clone()));
    let people = tokio::spawn(people(ports.clone(), scenarios.clone(), dice.clone()));

    let (kills, ended) = live(&ports, &dice, &scenarios).await?;
    working.abort();
    people.abort();

    check(&ports, &scenarios, &ended, &worker).await?;
    let trace = check_events(&mut *events, &ended).await?;
    let orders = worker.executed().len();
    Ok(Report {
        pipelines: scenarios.len(),
        orders,
        kills,
        trace,
    })
}

/// One orca among those that share the work.
struct Process {
    chassis: Chassis,
    running: tokio::task::JoinHandle<Result<(), orca::Error>>,
    faults: Arc<Faults>,
}

impl Process {
    fn start(ports: &Ports, faults: Arc<Faults>) -> Self {
        let chassis = Chassis::default();
        let own = faulty(ports, &faults);
        let running = tokio::spawn(orca::run(orca::Config::default(), own, chassis.clone()));
        Self {
            chassis,
            running,
            faults,
        }
    }

    /// A start that failed is tried again, as an operator's supervisor does.
    fn is_dead(&self) -> bool {
        self.faults.has_died() || self.running.is_finished()
    }

    fn kill(&self) {
        self.chassis.shutdown.abort();
        self.running.abort();
    }
}

/// One or two orcas live, die and live again until everything has ended; answers with how often one
/// died, and how everything ended.
async fn live(
    ports: &Ports,
    dice: &Dice,
    scenarios: &[Scenario],
) -> Result<(usize, Vec<Execution>), String> {
    let death = Arc::new(Notify::new());
    let began = tokio::time::Instant::now();
    let calm = began + CHAOS;
    let start = || {
        let active = tokio::time::Instant::now() < calm;
        Process::start(ports, Faults::new(dice.clone(), active, &death))
    };
    let mut processes: Vec<Process> = (0..=dice.roll(INSTANCES_MAX)).map(|_| start()).collect();
    let mut kills = 0;
    loop {
        tokio::select! {
            biased;
            () = death.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        if dice.roll(400) == 0 {
            ports.cache.flush().await.map_err(|e| e.to_string())?;
        }
        let mut ended = false;
        if tokio::time::Instant::now() >= calm {
            for process in &processes {
                process.faults.end();
            }
            ended = all_ended(ports, scenarios.len()).await;
        }
        // One that died just before the end of the faults hangs in the middle of a call, and does not
        // count as one that clears up.
        for process in processes.iter_mut().filter(|process| process.is_dead()) {
            process.kill();
            kills += 1;
            ended = false;
            // The next look lets what was dropped be gone.
            tokio::time::sleep(LOOK).await;
            *process = start();
        }
        if ended {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("not ended: {}", open(ports, scenarios.len()).await));
        }
    }
    drained(ports).await?;
    let mut ended = Vec::new();
    for n in 0..scenarios.len() {
        let execution = get(ports, n).await;
        ended.push(execution.ok_or_else(|| format!("execution {n} is gone"))?);
    }
    for process in &processes {
        process.kill();
    }
    tokio::time::sleep(LOOK).await;
    Ok((kills, ended))
}

fn id(n: usize) -> String {
    format!("01SIM0000000000000000000{n:02}")
}

async fn get(ports: &Ports, n: usize) -> Option<Execution> {
    let get = GetExecution { id: id(n) };
    rpc::call_within(&*ports.rpc, &get, Duration::from_secs(2))
        .await
        .ok()
}

async fn all_ended(ports: &Ports, count: usize) -> bool {
    for n in 0..count {
        if get(ports, n).await.is_none_or(|e| !e.status.is_complete()) {
            return false;
        }
    }
    true
}

async fn open(ports: &Ports, count: usize) -> String {
    let mut shown = Vec::new();
    for n in 0..count {
        let Some(execution) = get(ports, n).await else {
            shown.push(format!("{n}: unknown"));
            continue;
        };
        let stages = execution.stages.iter();
        let stages = stages.map(|s| format!("{} {} {}", s.ref_id, s.kind, s.status));
        let stages: Vec<String> = stages.collect();
        shown.push(format!("{n}: {} [{}]", execution.status, stages.join(", ")));
    }
    shown.join("; ")
}

/// Logs are archived and queues are empty once everything has ended.
async fn drained(ports: &Ports) -> Result<(), String> {
    let began = tokio::time::Instant::now();
    loop {
        let logs = ports
            .journal
            .subjects("execution.")
            .await
            .map_err(|e| e.to_string())?;
        let mut waiting = Vec::new();
        for queue in [
            "orca.reports",
            "orca.commands",
            "task.orca",
            "task.clouddriver",
        ] {
            let depth = ports.queue.depth(queue).await.map_err(|e| e.to_string())?;
            if depth > 0 {
                waiting.push(format!("{queue}: {depth}"));
            }
        }
        if logs.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("left over: logs {logs:?}, queues {waiting:?}"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Starts the pipelines, again and again until orca has heard, and answers its questions.
async fn people(ports: Ports, scenarios: Vec<Scenario>, dice: Dice) {
    for (n, scenario) in scenarios.iter().enumerate() {
        let definition = scenario.definition();
        let start = StartPipeline {
            pipeline: definition.as_object().cloned().unwrap_or_default(),
            user: "ana".to_owned(),
            id: Some(id(n)),
            ..StartPipeline::default()
        };
        while rpc::call_within(&*ports.rpc, &start, Duration::from_secs(2))
            .await
            .is_err()
        {
            tokio::time::sleep(LOOK).await;
        }
        // An impatient caller sends it once more.
        if dice.roll(3) == 0 {
            drop(rpc::call_within(&*ports.rpc, &start, Duration::from_secs(2)).await);
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(3_000))).await;
    }
    loop {
        for n in 0..scenarios.len() {
            let Some(execution) = get(&ports, n).await else {
                continue;
            };
            let asked = execution.stages.iter().find(|s| {
                s.kind == "manualJudgment"
                    && s.status == Status::Running
                    && !s.context.contains_key("judgmentStatus")
            });
            if let Some(stage) = asked {
                let context = [("judgmentStatus".to_owned(), stage.context["answer"].clone())];
                let patch = PatchStage {
                    id: id(n),
                    stage: stage.id.to_string(),
                    context: context.into_iter().collect(),
                    user: "ana".to_owned(),
                };
                drop(rpc::call_within(&*ports.rpc, &patch, Duration::from_secs(2)).await);
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A worker that does an order once and gives the same answer whenever it sees the key again.
#[derive(Clone, Default)]
struct Worker {
    done: Arc<Mutex<BTreeMap<String, (WorkOrder, usize)>>>,
}

impl Worker {
    fn executed(&self) -> BTreeMap<String, (WorkOrder, usize)> {
        self.done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn work(self, ports: Ports, dice: Dice) {
        loop {
            let lease = Duration::from_secs(30);
            let pulled = ports.queue.pull("task.clouddriver", 4, lease, lease).await;
            for delivery in pulled.unwrap_or_default() {
                let Ok(order) = serde_json::from_slice::<WorkOrder>(&delivery.payload) else {
                    continue;
                };
                tokio::time::sleep(Duration::from_millis(dice.roll(1_500))).await;
                if !order.cancel {
                    self.answer(&ports, &dice, &order).await;
                }
                drop(ports.queue.ack(&delivery.lease).await);
            }
        }
    }

    async fn answer(&self, ports: &Ports, dice: &Dice, order: &WorkOrder) {
        {
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            done.entry(order.key.to_string())
                .or_insert_with(|| (order.clone(), 0))
                .1 += 1;
        }
        let good = order.payload.get("good") == Some(&Value::Bool(true));
        let result = if good {
            WorkResult::succeeded(kork::model::Context::new())
        } else {
            WorkResult::failed(Problem::new("SIM-0001", Kind::Invalid, "it is broken"))
        };
        let report = serde_json::to_vec(&WorkReport::done(order, result)).unwrap_or_default();
        for copy in 0..=dice.roll(2) {
            let id = format!("{}/{copy}/{}", order.key, dice.roll(1_000_000));
            let payload = Bytes::from(report.clone());
            drop(ports.queue.enqueue(work::REPORTS, &id, payload, None).await);
        }
    }
}

async fn check(
    ports: &Ports,
    scenarios: &[Scenario],
    ended: &[Execution],
    worker: &Worker,
) -> Result<(), String> {
    for (n, (scenario, execution)) in scenarios.iter().zip(ended).enumerate() {
        let expected = scenario.expected();
        if execution.status != expected {
            return Err(format!(
                "execution {n} is {}, not {expected}: {scenario:?}",
                execution.status
            ));
        }
    }
    let mut spans: Vec<(Option<Timestamp>, Option<Timestamp>)> = scenarios
        .iter()
        .zip(ended)
        .filter(|(scenario, _)| scenario.limited)
        .map(|(_, e)| (e.start_time, e.end_time))
        .collect();
    spans.sort_unstable();
    if let Some(pair) = spans.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        return Err(format!(
            "two limited executions ran at the same time: {pair:?}"
        ));
    }
    let mut stages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, (order, _)) in worker.executed() {
        stages
            .entry(format!("{} {}", order.execution, order.stage))
            .or_default()
            .push(key);
    }
    if let Some((stage, keys)) = stages.iter().find(|(_, keys)| keys.len() > 1) {
        return Err(format!(
            "the work of stage {stage} was done under several keys: {keys:?}"
        ));
    }
    let dead = ports
        .queue
        .dead("orca.reports")
        .await
        .map_err(|e| e.to_string())?;
    if dead.is_empty() {
        Ok(())
    } else {
        Err(format!("dead letters: {dead:?}"))
    }
}

/// Of every execution the stream has the start and the end, and of every stage that ended its end,
/// each once.
async fn check_events(events: &mut dyn TopicStream, ended: &[Execution]) -> Result<u64, String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut trace = 0xcbf2_9ce4_8422_2325_u64;
    let nothing_for = Duration::from_secs(1);
    while let Ok(Ok(message)) = tokio::time::timeout(nothing_for, events.next()).await {
        for byte in message.id.bytes().chain(message.payload.iter().copied()) {
            trace = (trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        for event in event::read(&message.payload).map_err(|e| e.to_string())? {
            let of = if event.kind.starts_with("orca:stage") {
                event.data["stageId"].as_str()
            } else {
                event.subject.as_deref()
            };
            let of = of.unwrap_or_default();
            *seen.entry(format!("{} {of}", event.kind)).or_default() += 1;
        }
    }
    let count = |kinds: &[&str], of: &str| -> usize {
        kinds
            .iter()
            .filter_map(|kind| seen.get(&format!("{kind} {of}")))
            .sum()
    };
    for execution in ended {
        let ends = ["orca:pipeline:complete", "orca:pipeline:failed"];
        if count(&ends, execution.id.as_str()) != 1 {
            return Err(format!(
                "the end of {} is not in the stream once: {seen:?}",
                execution.id
            ));
        }
        for stage in execution.stages.iter().filter(|s| s.status.is_complete()) {
            let ends = [
                "orca:stage:complete",
                "orca:stage:failed",
                "orca:stage:skipped",
            ];
            if count(&ends, stage.id.as_str()) != 1 {
                let (stage, of) = (&stage.ref_id, &execution.id);
                return Err(format!(
                    "the end of stage {stage} of {of} is not in the stream once: {}",
                    json!(seen)
                ));
            }
        }
    }
    Ok(trace)
}
