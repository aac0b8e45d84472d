//! The suite on NATS (flushing every message), Redis and S3, beside what these do by themselves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use integration_tests::{
    cluster::Cluster,
    harness::{Gate, eventually, resident_kib},
    pipeline::{pipeline, wait},
    servers::{NatsServer, RedisServer, S3Server},
};
use kork::ports::{Ports, Queue, Start};
use kork_cluster::ClusterConfig;
use kork_model::{
    Status, WorkOrder, WorkReport, WorkResult,
    event::{self, subject},
    work,
};
use serde_json::{Value, json};

use crate::{IN_FLIGHT, Row, STEPS, Table, bare, hooks, percentile, steps};

/// The queue of the stages that the bench works on.
const QUEUE: &str = "task.custom.bench";
/// How long the bench's worker keeps an order, and waits for one.
const LEASE: Duration = Duration::from_secs(30);
/// Executions in flight whose steps go to another process.
const DISPATCHED: usize = 256;
/// Memory is read when nothing has happened for this long.
const QUIET: Duration = Duration::from_secs(3);
/// Executions that wait in orca.
const HELD: u64 = 10_000;
/// Executions that have ended; `BENCH_STORED` says another number.
const STORED: u64 = 100_000;
const STORED_MAX: Duration = Duration::from_mins(10);
/// Requests at the same time.
const AT_ONCE: usize = 64;
/// What a noisy application does, and in which time.
const NOISE: Duration = Duration::from_secs(10);
const NOISE_EVENTS: u64 = 10_000;
const NOISE_EXECUTIONS: u64 = 1_000;
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn ratio(ours: f64, bare: f64) -> String {
    format!("{:.2}x", ours / bare)
}

/// orca in this process on the servers, beside what the servers do by themselves.
pub(crate) async fn in_process(runs: u64, rows: &mut Table) {
    let servers = (
        NatsServer::start().await,
        RedisServer::start().await,
        S3Server::start().await,
    );
    let (Some(nats), Some(redis), Some(s3)) = servers else {
        return;
    };
    let config = ClusterConfig {
        nats: nats.url(),
        redis: redis.url(),
        s3_endpoint: s3.endpoint(),
        s3_credentials_file: Some(s3.credentials_file().into_string()),
        ..ClusterConfig::default()
    };
    let ports = kork_cluster::connect(&config);
    let ports = ports.await.expect("the servers are there");
    let url = nats.url();
    let orca = Arc::new(steps::Orca::start(ports.clone()).await);
    let (mut alone, mut latencies) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (rate, times) = steps::alone(&orca).await;
        alone.push(rate);
        latencies.extend(times);
    }
    steps::tell(
        "NATS, one after the other",
        &mut alone,
        &mut latencies,
        rows,
    );
    let hop = bare::hop(&url).await;
    let step = percentile(&mut latencies, 50) / STEPS as f64;
    rows.push(Row::new("NATS: one hop, bare", format!("p50 {hop:.2} ms")));
    let row = Row::new(
        "stage done to next stage running (from start to end of 5 steps, a fifth of it)",
        format!("p50 {step:.2} ms, {}", ratio(step, hop)),
    );
    rows.push(row.aim("<= 4x a hop"));
    let in_flight = integration_tests::harness::number("BENCH_IN_FLIGHT", IN_FLIGHT as u64);
    let in_flight = usize::try_from(in_flight).unwrap_or(IN_FLIGHT);
    let batched = bare::appended(&url, in_flight).await;
    let how = format!("NATS, {in_flight} in flight");
    let steps = compare(&how, &orca, in_flight, batched, rows).await;
    rows.push(steps.aim(">= 0.5x"));
    let worker = tokio::spawn(work_on(Arc::clone(&ports.queue)));
    let in_flight = in_flight.min(DISPATCHED);
    let four = bare::dispatched(&url, in_flight).await;
    let how = format!("another service, {in_flight} in flight");
    let orca = Arc::new(orca.dispatching());
    let steps = compare(&how, &orca, in_flight, four, rows).await;
    rows.push(steps.aim(">= 0.6x"));
    worker.abort();
    if let Ok(orca) = Arc::try_unwrap(orca) {
        orca.stop().await;
    }
}

/// Steps per second beside those of the bare shape.
async fn compare(
    how: &str,
    orca: &Arc<steps::Orca>,
    in_flight: usize,
    bare: f64,
    rows: &mut Table,
) -> Row {
    rows.push(Row::new(
        format!("bare steps, {how}"),
        format!("{bare:.0}/s"),
    ));
    let (rate, mut latencies) = steps::together(orca, in_flight).await;
    let (p50, p99) = (
        percentile(&mut latencies, 50),
        percentile(&mut latencies, 99),
    );
    Row::new(
        format!("durable steps, {how}"),
        format!(
            "{rate:.0}/s, {}; 5 steps p50 {p50:.0} ms, p99 {p99:.0} ms",
            ratio(rate, bare)
        ),
    )
}

/// Does every order at once, as a worker that somebody wrote.
async fn work_on(queue: Arc<dyn Queue>) {
    loop {
        let orders = queue.pull(QUEUE, DISPATCHED, LEASE, LEASE).await;
        for order in orders.expect("the queue is there") {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let given: WorkOrder = serde_json::from_slice(&order.payload).expect("an order");
                let result: WorkResult =
                    serde_json::from_value(json!({"status": Status::Succeeded})).expect("a result");
                let report = WorkReport::done(&given, result);
                let payload = serde_json::to_vec(&report)
                    .expect("a report is JSON")
                    .into();
                let sent = queue.enqueue(work::REPORTS, &order.id, payload, None).await;
                sent.expect("the report is stored");
                queue.ack(&order.lease).await.expect("the order is done");
            });
        }
    }
}

/// What webhooks cost six processes, alone and beside each other.
pub(crate) async fn hooks(rows: &mut Table) {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let gate = cluster.gates().remove(0);
    hooks::measure(&cluster, &gate, rows).await;
    noisy(&cluster, &gate, rows).await;
}

/// Six processes on the servers.
pub(crate) async fn six(rows: &mut Table) {
    let Some(mut cluster) = Cluster::start(1).await else {
        return;
    };
    let row = restarted(&mut cluster, "empty").await;
    rows.push(row.aim("<= 1000 ms"));
    memory(&cluster, rows).await;
    let gate = cluster.gates().remove(0);
    hooks::measure(&cluster, &gate, rows).await;
    noisy(&cluster, &gate, rows).await;
    held(&cluster, &gate, rows).await;
    let stored = integration_tests::harness::number("BENCH_STORED", STORED);
    store(&gate, stored, rows).await;
    lists(&cluster, &gate, stored, rows).await;
    let with = format!("{stored} stored and {HELD} running executions");
    let row = restarted(&mut cluster, &with).await;
    rows.push(row.aim("<= 5000 ms"));
}

/// Kills all services, and starts them again.
async fn restarted(cluster: &mut Cluster, with: &str) -> Row {
    for name in cluster.names() {
        cluster.kill(&name);
    }
    let began = Instant::now();
    for name in cluster.names() {
        cluster.start_again(&name);
    }
    cluster.ready().await;
    let took = began.elapsed().as_secs_f64() * 1_000.0;
    Row::new(
        format!("six services from their start to ready, {with}"),
        format!("{took:.0} ms"),
    )
}

/// Runs so many executions of one step to their end.
async fn store(gate: &Gate, count: u64, rows: &mut Table) {
    let definition = pipeline("stored", "short", &[wait("1", &[], 0)]);
    let began = Instant::now();
    start(gate, &definition, count).await;
    eventually("all have ended", STORED_MAX, async || {
        let path = "/applications/stored/pipelines?statuses=RUNNING,NOT_STARTED&limit=1";
        let open = gate.get(path).await.map_err(|t| t.to_string())?;
        if open.as_array().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        Err(open.to_string())
    })
    .await;
    let rate = count as f64 / began.elapsed().as_secs_f64();
    rows.push(Row::new(
        format!("{count} executions of one step through gate, {AT_ONCE} requests at a time"),
        format!("{rate:.0}/s"),
    ));
}

async fn start(gate: &Gate, definition: &Value, count: u64) {
    let starts = stream::iter(0..count).map(|_| async {
        let started = gate.start(definition).await;
        started.unwrap_or_else(|t| panic!("an execution does not start: {t}"));
    });
    starts.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Resident memory of the services and servers, in MiB.
async fn memory(cluster: &Cluster, rows: &mut Table) {
    tokio::time::sleep(QUIET).await;
    let names = cluster.names();
    let mut parts: Vec<(String, Option<u32>)> = names
        .iter()
        .map(|name| (name.clone(), cluster.pid(name)))
        .collect();
    parts.push(("NATS".to_owned(), cluster.nats.pid()));
    parts.push(("Redis".to_owned(), cluster.redis.pid()));
    let sizes = parts.into_iter().map(|(name, pid)| {
        let kib = pid.and_then(resident_kib).expect("it runs");
        (name, mebibytes(kib))
    });
    let sizes: Vec<(String, f64)> = sizes.collect();
    let all: f64 = sizes.iter().map(|(_, size)| size).sum();
    let each = sizes.iter().map(|(name, size)| format!("{name} {size:.0}"));
    let each = each.collect::<Vec<_>>().join(", ");
    let row = Row::new(
        "resident memory of six idle services, NATS and Redis",
        format!("{all:.0} MiB ({each})"),
    );
    rows.push(row.aim("<= 150 MiB"));
}

fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// The servers, as gate uses them.
pub(crate) async fn ports(cluster: &Cluster) -> Ports {
    let login = cluster.as_user("gate");
    let ports = kork_cluster::connect_as(&login, Some("gate")).await;
    ports.expect("the servers are there")
}

/// What another application's load does to the executions of a quiet one.
async fn noisy(cluster: &Cluster, gate: &Gate, rows: &mut Table) {
    let ports = ports(cluster).await;
    let mut alone = quiet(gate, &ports, || false).await;
    let noise = tokio::spawn(noise(gate.clone()));
    let mut beside = quiet(gate, &ports, || !noise.is_finished()).await;
    noise.await.expect("the noise is made");
    let (before, after) = (percentile(&mut alone, 99), percentile(&mut beside, 99));
    let row = Row::new(
        format!(
            "start to end of an execution of one step, beside {NOISE_EVENTS} webhooks and \
             {NOISE_EXECUTIONS} executions of another application in {} s",
            NOISE.as_secs()
        ),
        format!(
            "p99 {after:.1} ms, alone {before:.1} ms: {}",
            ratio(after, before)
        ),
    );
    rows.push(row.aim("<= 2x"));
}

async fn noise(gate: Gate) {
    const TICKS: u32 = 1_000;
    let definition = pipeline("noisy", "noise", &[wait("1", &[], 0), wait("2", &["1"], 0)]);
    let mut ticks = tokio::time::interval(NOISE / TICKS);
    let mut made = Vec::new();
    for _ in 0..TICKS {
        ticks.tick().await;
        let (gate, definition) = (gate.clone(), definition.clone());
        made.push(tokio::spawn(async move {
            let webhooks = (0..NOISE_EVENTS as u32 / TICKS).map(async |_| {
                let posted = gate
                    .post("/webhooks/webhook/noise", &json!({"build": 1}))
                    .await;
                posted.is_ok_and(|answer| answer.status.is_success())
            });
            let webhooks = futures_util::future::join_all(webhooks).await;
            assert!(
                webhooks.into_iter().all(|taken| taken),
                "a webhook is taken"
            );
            start(&gate, &definition, NOISE_EXECUTIONS / u64::from(TICKS)).await;
        }));
    }
    for made in made {
        made.await.expect("the noise is made");
    }
}

/// Milliseconds from the start of an execution to its end, one after the other: so many, and more while
/// `goes_on`.
async fn quiet(gate: &Gate, ports: &Ports, goes_on: impl Fn() -> bool) -> Vec<f64> {
    let prefix = format!("{}quiet", subject::EXECUTION);
    let stream = ports.topic.subscribe(&prefix, Start::Now).await;
    let mut stream = stream.expect("the event stream can be followed");
    let definition = pipeline("quiet", "quiet", &[wait("1", &[], 0)]);
    let mut times = Vec::new();
    while times.len() < hooks::HOOKS || goes_on() {
        let began = Instant::now();
        start(gate, &definition, 1).await;
        loop {
            let message = stream.next().await.expect("an event comes");
            let events = event::read(&message.payload).expect("events are JSON");
            if events
                .iter()
                .any(|event| event.kind == "orca:pipeline:complete")
            {
                break;
            }
        }
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    times
}

async fn held(cluster: &Cluster, gate: &Gate, rows: &mut Table) {
    let orca = cluster.pid("orca-1").expect("orca runs");
    let before = resident_kib(orca).expect("orca runs");
    let definition = pipeline("bench", "held", &[wait("1", &[], 3_600)]);
    start(gate, &definition, HELD).await;
    tokio::time::sleep(QUIET).await;
    let after = resident_kib(orca).expect("orca runs");
    let more = mebibytes(after.saturating_sub(before));
    let row = Row::new(
        format!("orca with {HELD} waiting executions"),
        format!("{:.0} MiB (+{more:.0})", mebibytes(after)),
    );
    rows.push(row.aim("<= +64 MiB"));
}

/// Lists of the newest 50, one after the other and many at the same moment.
async fn lists(cluster: &Cluster, gate: &Gate, stored: u64, rows: &mut Table) {
    archived(cluster).await;
    let path = "/applications/stored/pipelines?limit=50";
    let first = eventually("executions are listed", PATIENCE, async || {
        gate.get(path).await.map_err(|t| t.to_string())
    })
    .await;
    assert_eq!(first.as_array().map(Vec::len), Some(50));
    let bytes = first.to_string().len() / 1024;
    let what = format!("list of 50 executions among {stored} ({bytes} KiB)");
    for (clients, count) in [(1, 500), (AT_ONCE, 4_000)] {
        let (rate, p50, p99) = asked(gate, path, clients, count).await;
        let row = Row::new(
            format!("{what}, {clients} clients that ask again at once"),
            format!("p50 {p50:.1} ms, p99 {p99:.1} ms, {rate:.0}/s"),
        );
        rows.push(row.aim("p99 <= 5 ms"));
    }
    cluster.redis.flush().await;
    let (_, took, _) = asked(gate, path, 1, 1).await;
    rows.push(Row::new(
        format!("the first list after the cache of {stored} executions was emptied"),
        format!("{took:.0} ms"),
    ));
}

/// Waits until orca has moved everything that has ended into S3.
async fn archived(cluster: &Cluster) {
    let services = cluster.management();
    let orca = services.iter().find(|(name, _)| name == "orca-1");
    let (_, url) = orca.expect("there is an orca");
    let (client, url) = (bare::client(), format!("{url}/metrics"));
    eventually("all are archived", STORED_MAX, async || {
        let figures = bare::fetched(&client, &url).await?;
        let figures = String::from_utf8_lossy(&figures).into_owned();
        let mut lines = figures.lines();
        let waiting = lines.find_map(|l| l.strip_prefix("gennaker_orca_executions_to_archive{} "));
        match waiting.map(str::trim) {
            Some("0") => Ok(()),
            other => Err(format!("{other:?} wait")),
        }
    })
    .await;
}

/// Asks so often, as many at the same time as there are clients: answers per second, and the
/// milliseconds of one.
async fn asked(gate: &Gate, path: &str, clients: usize, count: usize) -> (f64, f64, f64) {
    let (client, url) = (bare::client(), format!("{}{path}", gate.base()));
    let start = Instant::now();
    let times = stream::iter(0..count).map(|_| async {
        let began = Instant::now();
        let answer = bare::fetched(&client, &url).await;
        answer.unwrap_or_else(|t| panic!("no list: {t}"));
        began.elapsed().as_secs_f64() * 1_000.0
    });
    let mut times: Vec<f64> = times.buffer_unordered(clients).collect().await;
    let rate = count as f64 / start.elapsed().as_secs_f64();
    (rate, percentile(&mut times, 50), percentile(&mut times, 99))
}
