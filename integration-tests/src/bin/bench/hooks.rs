//! What webhooks cost six processes, and when a saved pipeline is what they start.

use std::time::Instant;

use integration_tests::{
    cluster::Cluster,
    harness::Gate,
    pipeline::{pipeline, wait},
    servers::NatsServer,
};
use kork::ports::{Ports, Start, TopicStream};
use kork_model::{
    SuiteEvent,
    event::{self, subject},
};
use serde_json::{Value, json};

use crate::{
    Row, Table, bare,
    cluster::{ports, ratio},
    parts::Parts,
    percentile,
};

/// Webhooks whose pipeline is followed to its first stage.
pub(crate) const HOOKS: usize = 200;
/// Times that the pipeline is saved, each time with another name of its stage.
const EDITS: usize = 100;

/// The pipeline that webhooks start.
fn hooked(stage: &str) -> Value {
    let mut step = wait("1", &[], 0);
    step["name"] = json!(stage);
    let mut definition = pipeline("bench", "hooked", &[step]);
    definition["id"] = json!("bench-hooked");
    definition["triggers"] = json!([{"type": "webhook", "source": "bench", "enabled": true}]);
    definition
}

async fn save(gate: &Gate, definition: &Value) {
    let saved = gate.post("/pipelines", definition).await;
    assert!(
        saved.is_ok_and(|a| a.status.is_success()),
        "the pipeline is saved"
    );
}

pub(crate) async fn measure(cluster: &Cluster, gate: &Gate, rows: &mut Table) {
    let Some(nats) = NatsServer::start().await else {
        return;
    };
    let url = nats.url();
    let (handler, hop) = (bare::handler(&url).await, bare::hop(&url).await);
    save(gate, &hooked("first")).await;
    let ports = ports(cluster).await;
    let mut accepted = bare::posts(&format!("{}/webhooks/webhook/nobody", gate.base())).await;
    let before = Parts::read(cluster).await;
    let mut running = started(gate, &ports).await;
    let waits = Parts::read(cluster).await.of_each(&before, HOOKS);
    let p50 = percentile(&mut accepted, 50);
    rows.push(Row::new(
        "a bare handler that stores a body",
        format!("p50 {handler:.2} ms"),
    ));
    let row = Row::new(
        "a webhook is answered, no pipeline listens to it",
        format!("p50 {p50:.2} ms, {}", ratio(p50, handler)),
    );
    rows.push(row.aim("<= 1.5x the bare handler"));
    let (p50, p99) = (percentile(&mut running, 50), percentile(&mut running, 99));
    let row = Row::new(
        "from a webhook to its first stage running",
        format!(
            "p50 {p50:.2} ms, {}; p99 {p99:.1} ms (a bare hop {hop:.2} ms)",
            ratio(p50, hop)
        ),
    );
    rows.push(row.aim("<= 5x a hop"));
    rows.push(Row::new(
        "what the services wait for, from each webhook to the end and the archive",
        waits,
    ));
    let mut effective = edited(gate, &ports).await;
    let (p50, p99) = (
        percentile(&mut effective, 50),
        percentile(&mut effective, 99),
    );
    let row = Row::new(
        "from the answer to a save to the first webhook that starts what was saved",
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms"),
    );
    rows.push(row.aim("< 100 ms"));
}

/// Milliseconds from each save of the pipeline to the first webhook that starts it as it was saved; one webhook
/// after the other.
async fn edited(gate: &Gate, ports: &Ports) -> Vec<f64> {
    let stream = ports.topic.subscribe(subject::EXECUTION, Start::Now).await;
    let mut stream = stream.expect("the event stream can be followed");
    let mut times = Vec::with_capacity(EDITS);
    for edit in 0..EDITS {
        let name = format!("edit {edit}");
        save(gate, &hooked(&name)).await;
        let saved = Instant::now();
        loop {
            let after = saved.elapsed().as_secs_f64() * 1_000.0;
            post(gate).await;
            let mut is_new = false;
            through(&mut *stream, |event| {
                is_new |= event.kind == "orca:stage:starting" && event.data["name"] == *name;
            })
            .await;
            if is_new {
                times.push(after);
                break;
            }
        }
    }
    times
}

async fn post(gate: &Gate) {
    let posted = gate.post("/webhooks/webhook/bench", &json!({})).await;
    assert!(
        posted.is_ok_and(|a| a.status.is_success()),
        "a webhook is taken"
    );
}

/// Looks at each event of an execution, to its end.
async fn through(stream: &mut dyn TopicStream, mut look: impl FnMut(&SuiteEvent)) {
    loop {
        let message = stream.next().await.expect("an event comes");
        let events = event::read(&message.payload).expect("events are JSON");
        events.iter().for_each(&mut look);
        if events
            .iter()
            .any(|event| event.kind == "orca:pipeline:complete")
        {
            return;
        }
    }
}

/// Milliseconds from each webhook to the event that says that the first stage runs.
async fn started(gate: &Gate, ports: &Ports) -> Vec<f64> {
    let stream = ports.topic.subscribe(subject::EXECUTION, Start::Now).await;
    let mut stream = stream.expect("the event stream can be followed");
    let mut times = Vec::with_capacity(HOOKS);
    for _ in 0..HOOKS {
        let began = Instant::now();
        post(gate).await;
        let mut seen = None;
        through(&mut *stream, |event| {
            if event.kind == "orca:stage:starting" {
                seen = Some(began.elapsed().as_secs_f64() * 1_000.0);
            }
        })
        .await;
        times.push(seen.expect("the stage ran"));
    }
    times
}
