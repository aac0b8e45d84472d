//! Two of each service on NATS, Redis and S3 deliver, while a seeded script kills and stops services and
//! servers: everything ends as without faults, no deployment starts twice, no process is left.
//!
//! `FIRE_PIPELINES`, `FIRE_FAULTS` and `FIRE_SEED` make it larger, or repeat a run.

use std::{collections::BTreeMap, time::Duration};

use camino::Utf8Path;
use integration_tests::{
    cluster::{Cluster, SERVICES},
    harness::{Answer, Gate, Random, Trouble, eventually, number, within},
    pipeline::{Deployment, pipeline, precondition, wait},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const APPLICATION: &str = "fire";
/// Longest pause between two faults.
const PAUSE_MAX_MS: u64 = 700;
/// Longest time for which something stands still or stays away.
const FAULT_MAX_MS: u64 = 2_500;
/// Time in which a request has to succeed at one of the gates.
const PATIENCE: Duration = Duration::from_secs(40);
/// Time for all executions to end behind the last fault.
const END_MAX: Duration = Duration::from_mins(3);

/// What goes wrong.
#[derive(Debug)]
enum Fault {
    Killed(String),
    Held(String),
    NatsKilled,
    /// It comes back empty.
    RedisKilled,
    S3Killed,
}

impl Fault {
    fn any(random: &mut Random, names: &[String]) -> Self {
        // Those of whom much depends, more often.
        let busy: Vec<&String> = names
            .iter()
            .filter(|n| !n.starts_with("igor") && !n.starts_with("deck"))
            .collect();
        let at = usize::try_from(random.below(busy.len() as u64)).unwrap();
        let name = busy[at].clone();
        match random.below(12) {
            0 => Self::NatsKilled,
            1 => Self::RedisKilled,
            2 => Self::S3Killed,
            3..=5 => Self::Held(name),
            _ => Self::Killed(name),
        }
    }

    async fn strike(&self, cluster: &mut Cluster, time: Duration) {
        match self {
            Self::Killed(name) => {
                cluster.kill(name);
                sleep(time / 4).await;
                cluster.start_again(name);
            }
            Self::Held(name) => {
                cluster.hold(name, true);
                sleep(time).await;
                cluster.hold(name, false);
            }
            Self::NatsKilled => cluster.nats.restart().await,
            Self::RedisKilled => cluster.redis.restart().await,
            Self::S3Killed => cluster.s3.restart().await,
        }
    }
}

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
    // Sent twice, it starts once.
    definition["trigger"] = json!({"type": "manual", "correlationId": format!("fire-{n}")});
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
    let mut random = Random(seed);
    let patient = Patient(cluster.gates());
    let starts = cluster.dir().join("starts");
    let mut started = Vec::new();
    for n in 0..faults.max(pipelines) {
        if n < pipelines {
            let answer = patient
                .post("/pipelines/start", &definition(n, &starts))
                .await;
            started.push(answer["ref"].as_str().unwrap().to_owned());
        }
        if n < faults {
            sleep(Duration::from_millis(random.below(PAUSE_MAX_MS))).await;
            let fault = Fault::any(&mut random, &cluster.names());
            let time = Duration::from_millis(random.below(FAULT_MAX_MS));
            println!("{fault:?} {time:?}");
            fault.strike(&mut cluster, time).await;
        }
    }
    let end = Instant::now() + END_MAX;
    for (n, reference) in started.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let done = patient.ended(reference, left).await;
        let expected = if fails(n as u64) {
            "TERMINAL"
        } else {
            "SUCCEEDED"
        };
        assert_eq!(done["status"], expected, "delivery {n}: {done:#}");
    }
    let path = format!("/applications/{APPLICATION}/pipelines?limit=500");
    let listed = patient.get(&path).await;
    assert_eq!(listed.as_array().unwrap().len(), started.len());
    started_once(&starts, pipelines);
    nothing_is_left(&cluster, &patient).await;
    // What every service may do is enough.
    assert_eq!(cluster.nats.refusals(), Vec::<String>::new());
}

/// Each deploy stage started its one instance once.
fn started_once(starts: &Utf8Path, pipelines: u64) {
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
