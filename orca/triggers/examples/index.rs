//! How much memory the triggers of many pipelines take, and how long an event is matched.
//!
//! `cargo run --release -p orca-triggers --example index [pipelines]`

use std::time::{Duration, Instant};

use kork_model::{Context, InboundEvent};
use orca_triggers::TriggerIndex;
use serde_json::{Value, json};

/// One in so many pipelines listens to the one busy webhook.
const BUSY_EVERY: usize = 10;
const EVENTS: usize = 20_000;

#[expect(
    clippy::print_stdout,
    reason = "the figures are what this program is for"
)]
fn main() {
    let count = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(20_000);
    let figures = measure(count);
    println!("pipelines            {count} with 3 triggers each");
    println!(
        "memory               {:.1} MiB",
        figures.bytes as f64 / 1_048_576.0
    );
    println!(
        "memory per pipeline  {} bytes",
        figures.bytes / count as u64
    );
    println!("filing all           {:?}", figures.filing);
    for (name, times) in [("event", &figures.event), ("busy event", &figures.busy)] {
        println!(
            "{name:<20} p50 {:?}  p99 {:?}  longest {:?}",
            times.p50, times.p99, times.longest
        );
    }
}

struct Figures {
    /// What the resident memory grew by.
    bytes: u64,
    filing: Duration,
    /// Builds, commits and images, each for a few pipelines.
    event: Times,
    /// A webhook that a tenth of all pipelines look at, of which one matches.
    busy: Times,
}

struct Times {
    p50: Duration,
    p99: Duration,
    longest: Duration,
}

fn measure(count: usize) -> Figures {
    let before = resident();
    let start = Instant::now();
    let mut index = TriggerIndex::default();
    for n in 0..count {
        index.put(&pipeline(n));
    }
    let filing = start.elapsed();
    let bytes = resident().saturating_sub(before);
    let event = times(
        EVENTS,
        |n| event(n * 7919 % count),
        |event| assert!(!index.matches(event).is_empty()),
    );
    let busy = times(
        EVENTS / 20,
        |n| busy(n * BUSY_EVERY % count),
        |event| assert_eq!(index.matches(event).len(), 1),
    );
    Figures {
        bytes,
        filing,
        event,
        busy,
    }
}

/// What each of some events takes, without what making the event takes.
fn times(count: usize, make: impl Fn(usize) -> InboundEvent, run: impl Fn(&InboundEvent)) -> Times {
    let mut all: Vec<Duration> = (0..count)
        .map(|n| {
            let event = make(n);
            let start = Instant::now();
            run(&event);
            start.elapsed()
        })
        .collect();
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    Times {
        p50: at(0.5),
        p99: at(0.99),
        longest: at(1.0),
    }
}

/// A pipeline as people have them: stages that matching does not need, and three triggers.
fn pipeline(n: usize) -> Context {
    let stages: Vec<Value> = (0..5)
        .map(|at| json!({"refId": at, "type": "deployManifest", "account": "prod", "manifests": [{"kind": "Deployment", "metadata": {"name": format!("app-{n}")}}]}))
        .collect();
    let third = if n.is_multiple_of(BUSY_EVERY) {
        json!({"type": "webhook", "enabled": true, "source": "busy", "payloadConstraints": {"service": format!("^service-{n}$"), "$..branch": "^(main|release/.*)$"}})
    } else {
        json!({"type": "docker", "enabled": true, "account": "registry", "organization": "team", "registry": "registry.example.com",
            "repository": format!("team/app-{}", n / 2), "tag": "^v\\d+\\.\\d+$", "expectedArtifactIds": [format!("artifact-{n}")]})
    };
    let pipeline = json!({
        "id": format!("0d7b7a2e-31c4-4f4b-9f0e-{n:012}"), "name": format!("deploy {n}"), "application": format!("app{}", n / 20),
        "stages": stages,
        "expectedArtifacts": [{"id": format!("artifact-{n}"), "matchArtifact": {"type": "docker/image", "name": format!("registry.example.com/team/app-{}", n / 2)}}],
        "triggers": [
            {"type": "jenkins", "enabled": true, "id": format!("trigger-{n}"), "master": format!("ci-{}", n % 10), "job": format!("team/job/app-{}/job/main", n / 3), "propertyFile": "build.properties"},
            {"type": "git", "enabled": true, "source": "github", "project": "team", "slug": format!("app-{}", n / 4), "branch": "main|release/.*", "secret": "", "events": ["push:push"]},
            third,
        ],
    });
    let Value::Object(pipeline) = pipeline else {
        unreachable!("it is written as an object")
    };
    pipeline
}

/// A build, a commit or an image that some pipeline waits for.
fn event(n: usize) -> InboundEvent {
    let event = match n % 3 {
        0 => {
            json!({"id": format!("build-{n}"), "kind": "build", "source": format!("ci-{}", n % 10), "job": format!("team/app-{}/main", n / 3), "result": "SUCCESS"})
        }
        1 if !n.is_multiple_of(BUSY_EVERY) => {
            json!({"id": format!("image-{n}"), "kind": "image", "image": format!("registry.example.com/team/app-{}", n / 2), "tag": "v1.7"})
        }
        _ => {
            json!({"id": format!("push-{n}"), "kind": "git", "sender": "github", "repository": format!("team/app-{}", n / 4), "branch": "release/7", "action": "push:push"})
        }
    };
    serde_json::from_value(event).unwrap_or_default()
}

/// A webhook with a body of some 100 KiB.
fn busy(n: usize) -> InboundEvent {
    let commits: Vec<Value> = (0..1000)
        .map(|at| json!({"id": format!("{at:040}"), "message": format!("change {at} of {n}")}))
        .collect();
    let event = json!({"id": format!("busy-{n}"), "kind": "webhook", "source": "busy",
        "payload": {"service": format!("service-{n}"), "commits": commits, "push": {"branch": "release/1"}}});
    serde_json::from_value(event).unwrap_or_default()
}

/// Resident memory of this process in bytes; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
