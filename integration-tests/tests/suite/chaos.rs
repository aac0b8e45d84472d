//! Deliveries while the suite is killed again and again: they all end as if nothing had happened.
//!
//! `CHAOS_PIPELINES`, `CHAOS_KILLS` and `CHAOS_SEED` make it larger, or repeat a run.

use std::{collections::BTreeMap, time::Duration};

use camino::Utf8Path;
use integration_tests::{
    harness::{Counted, Gate, Load, Random, Suite, eventually, number},
    pipeline::{Deployment, pipeline, precondition, wait},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

/// Application of everything that is deployed here.
const APPLICATION: &str = "chaos";
/// Longest time between an answer of the suite and the next kill.
const KILL_AFTER_MAX_MS: u64 = 1_200;
/// Longest time between the start of the process and a kill before it is ready.
const KILL_EARLY_MAX_MS: u64 = 120;
/// Time for all executions to end behind the last kill.
const END_MAX: Duration = Duration::from_mins(3);

/// Numbers of the deliveries that run before the first kill, one of each kind.
const FAULTLESS: std::ops::Range<u64> = 1_001..1_004;

/// The kinds of deliveries, and how many of them run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    /// A cluster of its own: deploy, wait, deploy the next version.
    Own,
    /// The cluster that the load calls: one after the other, as red/black.
    Front,
    /// A cluster of its own, and a check that fails at the end.
    Failing,
}

impl Delivery {
    const fn of(n: u64) -> Self {
        match n % 4 {
            1 => Self::Front,
            3 => Self::Failing,
            _ => Self::Own,
        }
    }

    /// The definition of the n-th delivery, whose execution has an id that is chosen here: starting it
    /// twice starts it once.
    fn definition(self, n: u64, starts: &Utf8Path) -> Value {
        let (name, stack) = match self {
            Self::Front => ("front".to_owned(), "front".to_owned()),
            Self::Own | Self::Failing => (format!("p{n}"), format!("p{n}")),
        };
        let versions = [format!("{n}a"), format!("{n}b")];
        let [first, second] = &versions.each_ref().map(|version| Deployment {
            application: APPLICATION,
            stack: &stack,
            version,
            starts_file: starts,
        });
        let last = match self {
            Self::Failing => precondition("4", &["3"], "${1 > 2}"),
            Self::Own | Self::Front => wait("4", &["3"], 0),
        };
        let stages = [
            first.stage("1", &[]),
            wait("2", &["1"], 1),
            second.stage("3", &["2"]),
            last,
        ];
        let mut definition = pipeline(APPLICATION, &name, &stages);
        definition["limitConcurrent"] = json!(self == Self::Front);
        definition["trigger"] = json!({"type": "manual", "executionId": execution_id(n)});
        definition
    }
}

fn execution_id(n: u64) -> String {
    format!("CHAOS-{n:04}")
}

/// What must be the same with and without faults: the status, and each stage with its status. Stages
/// that belong to another one are told by its refId.
fn outcome(execution: &Value) -> Value {
    let stages = execution["stages"].as_array().unwrap();
    let mut told: Vec<Value> = stages
        .iter()
        .map(|s| {
            let tasks = s["tasks"].as_array().into_iter().flatten();
            let tasks: Vec<String> = tasks
                .map(|t| format!("{} {}", t["name"], t["status"]))
                .collect();
            json!([s["refId"], s["type"], s["status"], tasks])
        })
        .collect();
    told.sort_by_key(Value::to_string);
    json!([execution["status"], told])
}

/// Starts what is not started yet, until the moment; false when the suite went away.
async fn start_until(gate: &Gate, waiting: &mut Vec<Value>, count: usize, moment: Instant) {
    for _ in 0..count {
        let Some(definition) = waiting.last() else {
            break;
        };
        if gate.start(definition).await.is_ok() {
            waiting.pop();
        }
    }
    sleep_until(moment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_ends_as_if_nothing_had_happened() {
    let (kills, pipelines) = (number("CHAOS_KILLS", 20), number("CHAOS_PIPELINES", 20));
    let seed = number("CHAOS_SEED", u64::from(std::process::id()));
    println!("CHAOS_SEED={seed} CHAOS_KILLS={kills} CHAOS_PIPELINES={pipelines}");
    let mut random = Random(seed);
    let mut suite = Suite::start().await;
    let starts = suite.beside("starts");

    // One of each kind without faults; the front is deployed from here on.
    let mut expected = BTreeMap::new();
    for n in FAULTLESS {
        let definition = Delivery::of(n).definition(n, &starts);
        let id = suite.gate().start(&definition).await.unwrap();
        let done = suite.gate().ended(&id, Suite::PATIENCE).await;
        expected.insert(n, (Delivery::of(n), outcome(&done)));
    }
    let expected = |delivery: Delivery| {
        let mut all = expected.values();
        all.find(|(d, _)| *d == delivery).map(|(_, o)| o).unwrap()
    };
    assert_eq!(expected(Delivery::Own)[0], "SUCCEEDED");
    assert_eq!(expected(Delivery::Failing)[0], "TERMINAL");

    let load = Load::start(&front(&suite).await);
    let mut waiting: Vec<Value> = (0..pipelines)
        .rev()
        .map(|n| Delivery::of(n).definition(n, &starts))
        .collect();
    let at_once = usize::try_from(pipelines.div_ceil(kills.max(1))).unwrap();
    for n in 0..kills {
        let after = Duration::from_millis(random.below(KILL_AFTER_MAX_MS));
        let moment = Instant::now() + after;
        start_until(suite.gate(), &mut waiting, at_once, moment).await;
        load.suite_is_up(false);
        suite.kill().await;
        if random.below(3) == 0 {
            let after = Duration::from_millis(random.below(KILL_EARLY_MAX_MS));
            suite.start_and_kill(after).await;
            println!("killed once more {after:?} after the start");
        }
        let took = suite.start_again().await;
        load.suite_is_up(true);
        println!("kill {n} after {after:?}; up again within {took:?}");
    }
    let count = waiting.len();
    start_until(suite.gate(), &mut waiting, count, Instant::now()).await;
    assert!(waiting.is_empty(), "{} did not start", waiting.len());

    let end = Instant::now() + END_MAX;
    for n in 0..pipelines {
        let left = end.saturating_duration_since(Instant::now());
        let done = suite.gate().ended(&execution_id(n), left).await;
        let seen = outcome(&done);
        assert_eq!(&seen, expected(Delivery::of(n)), "delivery {n}: {done:#}");
    }
    served(&load.stop().await);
    deployed_once(&suite, pipelines).await;
    started_once(&starts, pipelines);
    nothing_is_left(&mut suite).await;
}

/// Address of the load balancer in front of the front.
async fn front(suite: &Suite) -> String {
    let path = format!("/applications/{APPLICATION}/loadBalancers");
    let all = suite.gate().get(&path).await.unwrap();
    let found = all.as_array().unwrap().iter();
    let found = found.clone().find(|lb| lb["name"] == "chaos-front");
    let address = found.and_then(|lb| lb["address"].as_str());
    let address = address.unwrap_or_else(|| panic!("the front has no address: {all:#}"));
    format!("http://{address}")
}

/// No request failed, neither while the suite was up nor while it was down: the proxy and the instances
/// live on without it. The front was delivered under the eyes of the callers.
fn served(counted: &Counted) {
    println!(
        "{} requests, {} failed while the suite was up, {} while it was down",
        counted.sent, counted.failed_while_up, counted.failed_while_down
    );
    assert_eq!(counted.failed_while_up, 0, "{:#?}", counted.reasons);
    assert_eq!(counted.failed_while_down, 0, "{:#?}", counted.reasons);
    assert!(counted.sent > 0, "nobody called");
    assert!(counted.answers.len() > 1, "{:?}", counted.answers);
}

/// Each deploy stage left one server group: one that ran twice would have left two.
async fn deployed_once(suite: &Suite, pipelines: u64) {
    let path = format!("/applications/{APPLICATION}/serverGroups");
    let groups = suite.gate().get(&path).await.unwrap();
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    let names = groups.as_array().unwrap().iter();
    for name in names.map(|g| g["name"].as_str().unwrap()) {
        let (cluster, _version) = name.rsplit_once("-v").unwrap();
        *found.entry(cluster).or_default() += 1;
    }
    for n in (0..pipelines).chain(FAULTLESS) {
        if Delivery::of(n) != Delivery::Front {
            let left = found.remove(format!("{APPLICATION}-p{n}").as_str());
            assert_eq!(left, Some(2), "delivery {n}: {groups:#}");
        }
    }
    let front: Vec<_> = found.keys().collect();
    assert_eq!(front, [&"chaos-front"], "{groups:#}");
}

/// Each deployment started its one instance once, also when the suite died between the start of the
/// process and the note about it.
fn started_once(starts: &Utf8Path, pipelines: u64) {
    let text = std::fs::read_to_string(starts).unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (version, _pid) in text.lines().map(|l| l.split_once(' ').unwrap()) {
        *counts.entry(version).or_default() += 1;
    }
    let wrong: Vec<_> = counts.iter().filter(|(_, n)| **n != 1).collect();
    assert!(wrong.is_empty(), "not started once: {wrong:?}\n{text}");
    let all = (0..pipelines).chain(FAULTLESS);
    let all: Vec<String> = all
        .flat_map(|n| [format!("{n}a"), format!("{n}b")])
        .collect();
    let missing: Vec<_> = all
        .iter()
        .filter(|v| !counts.contains_key(v.as_str()))
        .collect();
    assert!(missing.is_empty(), "never started: {missing:?}");
    assert_eq!(counts.len(), all.len(), "others were started: {counts:?}");
}

/// Every instance goes with its server group, and the rest with the suite, but for the proxy.
async fn nothing_is_left(suite: &mut Suite) {
    suite.gate().destroy_all(APPLICATION).await;
    eventually("the instances are gone", Suite::PATIENCE, async || {
        let processes = suite.processes();
        let left = processes.instances();
        if left.is_empty() {
            return Ok(());
        }
        Err(format!("{left:#?}"))
    })
    .await;
    let status = suite.stop().await;
    assert!(status.success(), "{status}");
    let left = suite.processes();
    let others = left.0.iter().filter(|p| !p.command.contains(" proxy "));
    let others: Vec<_> = others.collect();
    assert!(others.is_empty(), "{others:#?}");
}
