//! The event stream over restarts: with the last id that a client saw, it misses nothing.

use std::{collections::BTreeSet, time::Duration};

use integration_tests::{
    harness::{Event, EventStream, Suite},
    pipeline::{judgment, pipeline, wait},
};
use serde_json::json;

/// Nothing new for this long means that all has come.
const QUIET: Duration = Duration::from_secs(2);
/// Everything of one application.
const QUERY: &str = "application=stream";

/// Reads until an event of this kind about this execution.
async fn until(stream: &mut EventStream, kind: &str, id: &str, seen: &mut Vec<Event>) {
    loop {
        let event = stream.next(Suite::PATIENCE).await;
        let event = event.unwrap_or_else(|| panic!("{kind} of {id} does not come: {seen:#?}"));
        assert_ne!(event.kind, "reset", "{event:?}");
        let found = event.kind == kind && event.data.to_string().contains(id);
        seen.push(event);
        if found {
            return;
        }
    }
}

async fn all_there_is(stream: &mut EventStream, seen: &mut Vec<Event>) {
    while let Some(event) = stream.next(QUIET).await {
        seen.push(event);
    }
}

/// Answers the judgment of an execution with yes.
async fn judge(suite: &Suite, id: &str) {
    let stage = suite.gate().stage(id, "2", "RUNNING").await;
    let path = format!("/pipelines/{id}/stages/{}", stage["id"].as_str().unwrap());
    let go = json!({"judgmentStatus": "continue"});
    let patched = suite.gate().patch(&path, &go).await.unwrap();
    patched.success().unwrap();
}

#[tokio::test]
async fn nothing_is_missing_over_a_kill_and_a_stop() {
    let mut suite = Suite::start().await;
    let stages = [
        wait("1", &[], 0),
        judgment("2", &["1"]),
        wait("3", &["2"], 1),
        wait("4", &["3"], 0),
    ];
    let mut stream = EventStream::connect(suite.gate().base(), QUERY, None).await;
    let mut seen = Vec::new();
    let first = suite.gate().start(&pipeline("stream", "a", &stages)).await;
    let first = first.unwrap();
    until(&mut stream, "orca:pipeline:starting", &first, &mut seen).await;
    drop(stream);

    // Things happen while nobody listens; then it is killed in the middle of them.
    let second = suite.gate().start(&pipeline("stream", "b", &stages)).await;
    let second = second.unwrap();
    judge(&suite, &first).await;
    suite.kill().await;
    suite.start_again().await;
    let last = seen.last().map(|e| e.cursor);
    let mut stream = EventStream::connect(suite.gate().base(), QUERY, last).await;
    until(&mut stream, "orca:pipeline:complete", &first, &mut seen).await;
    drop(stream);

    judge(&suite, &second).await;
    suite.stop().await;
    suite.start_again().await;
    let last = seen.last().map(|e| e.cursor);
    let mut stream = EventStream::connect(suite.gate().base(), QUERY, last).await;
    until(&mut stream, "orca:pipeline:complete", &second, &mut seen).await;
    all_there_is(&mut stream, &mut seen).await;

    // One reader who never went away would have seen the same.
    let mut stream = EventStream::connect(suite.gate().base(), QUERY, Some(0)).await;
    let mut all = Vec::new();
    all_there_is(&mut stream, &mut all).await;
    assert_eq!(seen, all);
    assert!(
        all.windows(2).all(|w| w[0].cursor < w[1].cursor),
        "{all:#?}"
    );
    for id in [&first, &second] {
        complete(id, &all, stages.len());
    }
}

/// The beginning and the end of the execution and of each of its stages, each told once.
fn complete(id: &str, all: &[Event], stages: usize) {
    let own: Vec<&Event> = all.iter().filter(|e| e.data["subject"] == id).collect();
    let count = |kind: &str| own.iter().filter(|e| e.kind == kind).count();
    for (kind, expected) in [
        ("orca:pipeline:starting", 1),
        ("orca:pipeline:complete", 1),
        ("orca:stage:starting", stages),
        ("orca:stage:complete", stages),
    ] {
        assert_eq!(count(kind), expected, "{kind} of {id}: {own:#?}");
    }
    let ids: BTreeSet<&str> = own.iter().filter_map(|e| e.data["id"].as_str()).collect();
    assert_eq!(ids.len(), own.len(), "an event is told twice: {own:#?}");
}
