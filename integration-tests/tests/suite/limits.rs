//! Limits and ids that must be exact however many ask at the same moment.

use futures_util::future::join_all;
use integration_tests::{
    harness::Suite,
    pipeline::{pipeline, wait},
};
use serde_json::{Value, json};

/// Starts at the same moment.
const STARTS: usize = 30;

/// Starts all at once; the ids in the order of the requests.
async fn start_all(suite: &Suite, definition: &Value) -> Vec<String> {
    let starts = (0..STARTS).map(|_| suite.gate().start(definition));
    let answers = join_all(starts).await;
    answers.into_iter().map(|a| a.unwrap()).collect()
}

/// Start and end of each, in milliseconds, the earliest first.
async fn spans(suite: &Suite, ids: &[String]) -> Vec<(u64, u64)> {
    let mut spans = Vec::new();
    for id in ids {
        let done = suite.gate().ended(id, Suite::PATIENCE).await;
        assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
        let time = |member: &str| done[member].as_u64().unwrap();
        spans.push((time("startTime"), time("endTime")));
    }
    spans.sort_unstable();
    spans
}

/// The most that ran at one moment. One that starts in the millisecond in which another ends does not
/// overlap it.
fn most_at_once(spans: &[(u64, u64)]) -> usize {
    let running = |at: u64| spans.iter().filter(|s| s.0 <= at && at < s.1).count();
    spans.iter().map(|s| running(s.0)).max().unwrap_or_default()
}

#[tokio::test]
async fn one_at_a_time_is_one_at_a_time() {
    let suite = Suite::start().await;
    let stages = [wait("1", &[], 0), wait("2", &["1"], 0)];
    let mut definition = pipeline("limit", "one", &stages);
    definition["limitConcurrent"] = json!(true);
    let ids = start_all(&suite, &definition).await;
    let spans = spans(&suite, &ids).await;
    assert_eq!(spans.len(), STARTS);
    for pair in spans.windows(2) {
        assert!(pair[1].0 >= pair[0].1, "two ran at once: {spans:?}");
    }
}

#[tokio::test]
async fn at_most_three_are_three_and_not_fewer() {
    let suite = Suite::start().await;
    let mut definition = pipeline("limit", "three", &[wait("1", &[], 1)]);
    definition["maxConcurrentExecutions"] = json!(3);
    let ids = start_all(&suite, &definition).await;
    let query = "/executions?pipelineConfigIds=limit-three&limit=100&statuses=RUNNING";
    let running = suite.gate().get(query).await.unwrap();
    let running = running.as_array().unwrap().len();
    assert!(running <= 3, "{running} run at once");
    let spans = spans(&suite, &ids).await;
    assert_eq!(most_at_once(&spans), 3, "{spans:?}");
}

#[tokio::test]
async fn without_keeping_only_the_newest_waits() {
    let suite = Suite::start().await;
    let mut definition = pipeline("limit", "newest", &[wait("1", &[], 5)]);
    definition["limitConcurrent"] = json!(true);
    definition["keepWaitingPipelines"] = json!(false);
    let ids = start_all(&suite, &definition).await;
    let mut statuses = Vec::new();
    for id in &ids {
        let done = suite.gate().ended(id, Suite::PATIENCE).await;
        statuses.push(done["status"].as_str().unwrap().to_owned());
    }
    let count = |status: &str| statuses.iter().filter(|s| *s == status).count();
    let counts = (count("SUCCEEDED"), count("CANCELED"));
    assert_eq!(counts, (2, STARTS - 2), "{statuses:?}");
}

#[tokio::test]
async fn a_correlation_id_starts_once() {
    let mut suite = Suite::start().await;
    let mut definition = pipeline("limit", "once", &[wait("1", &[], 3600)]);
    definition["trigger"] = json!({"type": "manual", "correlationId": "delivery-7"});
    let ids = start_all(&suite, &definition).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let list = "/executions?pipelineConfigIds=limit-once&limit=100";
    let listed = suite.gate().get(list).await.unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed:#}");
    // The same request once more, after a kill.
    suite.kill().await;
    suite.start_again().await;
    let again = suite.gate().start(&definition).await.unwrap();
    assert_eq!(again, ids[0]);
}
