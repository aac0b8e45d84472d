//! What waits goes on after the process was stopped or killed and started again.

use std::time::Duration;

use integration_tests::{
    harness::Suite,
    pipeline::{judgment, pipeline, wait},
};
use serde_json::{Value, json};

/// Seconds that the wait stage lasts: longer than a stop and a start.
const WAIT_S: u64 = 4;

/// How the suite ends before it is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
}

async fn again(suite: &mut Suite, end: End) {
    match end {
        End::Stopped => {
            let status = suite.stop().await;
            assert!(status.success(), "{status}: {}", suite.log());
        }
        End::Killed => suite.kill().await,
    }
    suite.start_again().await;
}

fn time(stage: &Value, member: &str) -> u64 {
    let time = stage[member].as_u64();
    time.unwrap_or_else(|| panic!("{member} is missing: {stage:#}"))
}

async fn goes_on(end: End) {
    let mut suite = Suite::start().await;
    let then = || wait("2", &["1"], 0);
    let waiting = pipeline("again", "wait", &[wait("1", &[], WAIT_S), then()]);
    let judged = pipeline("again", "judge", &[judgment("1", &[]), then()]);
    let over = pipeline("again", "late", &[wait("1", &[], 1), then()]);
    let waiting = suite.gate().start(&waiting).await.unwrap();
    let judged = suite.gate().start(&judged).await.unwrap();
    let over = suite.gate().start(&over).await.unwrap();
    suite.gate().stage(&judged, "1", "RUNNING").await;
    let before = suite.gate().stage(&waiting, "1", "RUNNING").await;
    again(&mut suite, end).await;

    // What was running is still the same run of the same stage.
    let after = suite.gate().execution(&waiting).await.unwrap();
    let since = &after["stages"][0]["startTime"];
    assert_eq!(*since, before["startTime"], "{after:#}");
    let done = suite.gate().ended(&waiting, Suite::PATIENCE).await;
    assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
    let first = &done["stages"][0];
    let lasted = time(first, "endTime") - time(first, "startTime");
    assert!(
        lasted >= WAIT_S * 1000,
        "the wait was cut short: {lasted} ms"
    );
    // A time that may have come while nobody was there is caught up with.
    let late = suite.gate().ended(&over, Suite::PATIENCE).await;
    assert_eq!(late["status"], "SUCCEEDED", "{late:#}");

    // A judgment waits for its person as long as it takes, over another restart.
    again(&mut suite, end).await;
    let stage = suite.gate().stage(&judged, "1", "RUNNING").await;
    let stage = stage["id"].as_str().unwrap();
    let path = format!("/pipelines/{judged}/stages/{stage}");
    let go = json!({"judgmentStatus": "continue"});
    let patched = suite.gate().patch(&path, &go).await.unwrap();
    patched.success().unwrap();
    let done = suite.gate().ended(&judged, Suite::PATIENCE).await;
    assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
    again(&mut suite, end).await;
    let kept = suite.gate().execution(&judged).await.unwrap();
    assert_eq!(kept, done, "a finished execution changed over a restart");
}

#[tokio::test]
async fn waits_and_judgments_go_on_after_a_stop() {
    goes_on(End::Stopped).await;
}

#[tokio::test]
async fn waits_and_judgments_go_on_after_a_kill() {
    goes_on(End::Killed).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill_at_once() {
    let mut suite = Suite::start().await;
    let mut ids = Vec::new();
    for n in 0..10 {
        let name = format!("kept{n}");
        let job = json!([{"type": "createApplication",
                          "application": {"name": name, "email": "a@example.com"}}]);
        let task = suite.gate().task(&name, &job).await;
        assert_eq!(task["status"], "SUCCEEDED", "{task:#}");
        let definition = pipeline(&name, "p", &[wait("1", &[], 0)]);
        let saved = suite.gate().post("/pipelines", &definition).await.unwrap();
        saved.success().unwrap();
        let path = format!("/pipelines/{name}/p");
        let started = suite.gate().post(&path, &json!({})).await.unwrap();
        ids.push(started.reference().unwrap());
    }
    // Right behind the last answer.
    suite.kill().await;
    suite.start_again().await;
    for (n, id) in ids.iter().enumerate() {
        let path = format!("/applications/kept{n}");
        let application = suite.gate().get(&path).await.unwrap();
        assert_eq!(application["name"], format!("kept{n}"));
        let done = suite.gate().ended(id, Duration::from_secs(30)).await;
        assert_eq!(done["status"], "SUCCEEDED", "{done:#}");
    }
}
