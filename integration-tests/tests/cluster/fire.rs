//! Two of each service on NATS, Redis and S3 deliver, while a seeded script kills and stops services and
//! servers: everything ends as without faults, no deployment starts twice, no process is left.
//!
//! `FIRE_PIPELINES`, `FIRE_FAULTS` and `FIRE_SEED` make it larger, or repeat a run.

use std::{collections::BTreeMap, time::Duration};

use camino::Utf8Path;
use integration_tests::{
    cluster::{Cluster, SERVICES},
    harness::{Answer, Gate, Random, Trouble, announce, eventually, number, within},
    pipeline::{Deployment, pipeline, precondition, wait},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    fault::Fault,
    watch::{Events, Service},
};

const APPLICATION: &str = "fire";
/// Longest pause between two faults.
const PAUSE_MAX_MS: u64 = 700;
/// Longest time for which something stands still or stays away.
const FAULT_MAX_MS: u64 = 2_500;
/// Time in which a request has to succeed at one of the gates.
const PATIENCE: Duration = Duration::from_secs(40);
/// Time for all executions to end behind the last fault.
const END_MAX: Duration = Duration::from_mins(3);

/// Requests to whichever gate answers, until one has succeeded.
struct Patient(Vec<Gate>);

impl Patient {
    async fn until_it_works(
        &self,
        label: &str,
        ask: impl AsyncFn(&Gate) -> Result<Value, Trouble>,
    ) -> Value {
        let mut turn = 0;
        eventually(label, PATIENCE, async || {
            turn += 1;
            let gate = &self.0[turn % self.0.len()];
            ask(gate).await.map_err(|t| t.to_string())
        })
        .await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.until_it_works(path, async |gate| {
            gate.post(path, body).await.and_then(Answer::success)
        })
        .await
    }

    async fn get(&self, path: &str) -> Value {
        self.until_it_works(path, async |gate| gate.get(path).await)
            .await
    }

    /// The execution or task once it has ended.
    async fn ended(&self, reference: &str, deadline: Duration) -> Value {
        let mut turn = 0;
        let look = async || {
            turn += 1;
            let gate = &self.0[turn % self.0.len()];
            let found = gate.get(reference).await.map_err(|t| t.to_string())?;
            let status = found["status"].as_str().unwrap_or_default();
            match status {
                "SUCCEEDED" | "TERMINAL" | "CANCELED" => Ok(found),
                _ => Err(format!("{found:#}")),
            }
        };
        let ended = within(deadline, look).await;
        ended.unwrap_or_else(|last| panic!("{reference} does not end: {last}"))
    }
}

/// Two versions one after the other; every third delivery ends with a check that fails before the
/// second.
fn definition(n: u64, starts: &Utf8Path) -> Value {
    let (name, versions) = (format!("p{n}"), [format!("{n}a"), format!("{n}b")]);
    let [first, second] = &versions.each_ref().map(|version| Deployment {
        application: APPLICATION,
        stack: &name,
        version,
        starts_file: starts,
    });
    let between = if fails(n) {
        precondition("2", &["1"], "${1 > 2}")
    } else {
        wait("2", &["1"], 1)
    };
    let stages = [first.stage("1", &[]), between, second.stage("3", &["2"])];
    let mut definition = pipeline(APPLICATION, &name, &stages);
    // Sent twice, it starts once: while it runs for the sake of the one name, and ever after for that of the other.
    definition["trigger"] = json!({"type": "manual", "correlationId": format!("fire-{n}"),
                                   "executionId": format!("fire-{n}")});
    definition
}

const fn fails(n: u64) -> bool {
    n % 3 == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_each_deliver_under_fire() {
    let (faults, pipelines) = (number("FIRE_FAULTS", 16), number("FIRE_PIPELINES", 16));
    let seed = number("FIRE_SEED", u64::from(std::process::id()));
    println!("FIRE_SEED={seed} FIRE_FAULTS={faults} FIRE_PIPELINES={pipelines}");
    let Some(mut cluster) = Cluster::start(2).await else {
        return;
    };
    let began = Instant::now();
    let patient = Patient(cluster.gates());
    let path = format!("/applications/{APPLICATION}/pipelines?limit=500");
    let events = Events::follow(&patient.0, APPLICATION);
    let service = Service::watch(&patient.0, &path.replace("500", "1"));
    let starts = cluster.dir().join("starts");
    let (started, kinds) = burn(
        &mut cluster,
        &patient,
        Campaign {
            seed,
            faults,
            pipelines,
            starts: &starts,
        },
    )
    .await;
    let end = Instant::now() + END_MAX;
    let mut executions = Vec::new();
    for (n, reference) in started.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let done = patient.ended(reference, left).await;
        let expected = if fails(n as u64) {
            "TERMINAL"
        } else {
            "SUCCEEDED"
        };
        assert_eq!(done["status"], expected, "delivery {n}: {done:#}");
        executions.push(done);
    }
    let outage = service.longest_outage();
    // Of what ended a moment ago the index may hear a moment later.
    eventually("all executions are listed as ended", PATIENCE, async || {
        let listed = patient.get(&path).await;
        let listed = listed.as_array().unwrap();
        let ended = listed.iter().filter(|e| e["status"] != "RUNNING").count();
        if (ended, listed.len()) == (started.len(), started.len()) {
            Ok(())
        } else {
            let shown = |e: &Value| {
                let (name, id, status) = (&e["name"], &e["id"], &e["status"]);
                format!(
                    "{name} {id} {status} {} to {}",
                    e["buildTime"], e["endTime"]
                )
            };
            let all: Vec<String> = listed.iter().map(shown).collect();
            Err(format!(
                "{} are listed, {ended} of them as ended: {}",
                listed.len(),
                all.join(", ")
            ))
        }
    })
    .await;
    let twice = started_once(&starts, pipelines);
    cluster.ready().await;
    let told = events.are_whole(&executions).await;
    nothing_is_left(&cluster, &patient).await;
    // What every service may do is enough.
    assert_eq!(cluster.nats.refusals(), Vec::<String>::new());
    let figures = [
        ("executions", started.len()),
        ("executions lost", started.len() - executions.len()),
        ("deployments started twice", twice),
        ("events told, each once and in order", told),
    ];
    report(
        &kinds,
        &figures,
        &[
            ("longest time without an answer", outage),
            ("time", began.elapsed()),
        ],
    );
}

/// How a campaign goes.
#[derive(Clone, Copy)]
struct Campaign<'a> {
    seed: u64,
    faults: u64,
    pipelines: u64,
    starts: &'a Utf8Path,
}

/// Starts deliveries and strikes; the references of the deliveries, and the faults by their kind.
#[expect(clippy::print_stdout, reason = "shown when the test fails")]
async fn burn(
    cluster: &mut Cluster,
    patient: &Patient,
    campaign: Campaign<'_>,
) -> (Vec<String>, BTreeMap<&'static str, u64>) {
    let Campaign {
        seed,
        faults,
        pipelines,
        starts,
    } = campaign;
    let mut random = Random(seed);
    let (mut started, mut kinds) = (Vec::new(), BTreeMap::new());
    for n in 0..faults.max(pipelines) {
        if (started.len() as u64) * faults.max(1) <= n * pipelines
            && (started.len() as u64) < pipelines
        {
            let definition = definition(started.len() as u64, starts);
            let answer = patient.post("/pipelines/start", &definition).await;
            started.push(answer["ref"].as_str().unwrap().to_owned());
        }
        if n < faults {
            sleep(Duration::from_millis(random.below(PAUSE_MAX_MS))).await;
            let fault = Fault::any(&mut random, &cluster.names());
            let time = Duration::from_millis(random.below(FAULT_MAX_MS));
            println!("{fault:?} {time:?}");
            *kinds.entry(fault.kind()).or_default() += 1;
            fault.strike(cluster, time).await;
        }
    }
    (started, kinds)
}

/// What the campaign came to.
fn report(kinds: &BTreeMap<&str, u64>, figures: &[(&str, usize)], times: &[(&str, Duration)]) {
    let row = |name: &str, figure: String| announce(&format!("{name:<45} {figure:>8}"));
    for (kind, count) in kinds {
        row(&format!("faults: {kind}"), count.to_string());
    }
    row("faults in all", kinds.values().sum::<u64>().to_string());
    for (name, figure) in figures {
        row(name, figure.to_string());
    }
    for (name, time) in times {
        row(name, format!("{:.1} s", time.as_secs_f64()));
    }
}

/// Each deploy stage started its one instance once. How many started more often.
fn started_once(starts: &Utf8Path, pipelines: u64) -> usize {
    let text = std::fs::read_to_string(starts).unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (version, _pid) in text.lines().map(|l| l.split_once(' ').unwrap()) {
        *counts.entry(version.to_owned()).or_default() += 1;
    }
    let expected = (0..pipelines).flat_map(|n| {
        let second = (!fails(n)).then(|| format!("{n}b"));
        std::iter::once(format!("{n}a")).chain(second)
    });
    let expected: BTreeMap<String, usize> = expected.map(|version| (version, 1)).collect();
    assert_eq!(counts, expected, "{text}");
    counts.values().filter(|count| **count > 1).count()
}

async fn nothing_is_left(cluster: &Cluster, patient: &Patient) {
    cluster.ready().await;
    let groups = patient
        .get(&format!("/applications/{APPLICATION}/serverGroups"))
        .await;
    let jobs = groups.as_array().unwrap().iter().map(|group| {
        json!({"type": "destroyServerGroup", "account": "local", "credentials": "local",
               "cloudProvider": "local", "region": group["region"],
               "serverGroupName": group["name"]})
    });
    let jobs: Vec<Value> = jobs.collect();
    for some in jobs.chunks(8) {
        let task = json!({"application": APPLICATION, "description": "clear up", "job": some});
        let answer = patient.post("/tasks", &task).await;
        let done = patient
            .ended(answer["ref"].as_str().unwrap(), END_MAX)
            .await;
        assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
    }
    eventually("the instances are gone", PATIENCE, async || {
        let processes = cluster.processes();
        let left = processes.instances();
        if left.is_empty() {
            return Ok(());
        }
        Err(format!("{left:#?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_can_be_discovered() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let config = cluster.as_user("operator");
    let ports = kork_cluster::connect_as(&config, Some("operator"))
        .await
        .unwrap();
    let found = ports.rpc.discover().await.unwrap();
    let names: Vec<&str> = found.iter().map(|service| service.name.as_str()).collect();
    let mut expected = SERVICES.to_vec();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(
        found.iter().all(|service| service.instances == 1),
        "{found:#?}"
    );
}
