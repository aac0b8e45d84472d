//! `gennaker doctor` on six processes: it names what is missing, and says what to do.

use std::time::Duration;

use integration_tests::{
    cluster::Cluster,
    harness::{command, eventually},
};
use serde_json::Value;

/// Servers are looked at every few seconds.
const SEEN_MAX: Duration = Duration::from_mins(1);
/// Exit status when a part is not available.
const UNREACHABLE: i32 = 3;

/// What the command says, and its exit status.
async fn doctor(gate: &str) -> (Vec<Value>, i32) {
    let ran = command(&["doctor", "--gate", gate, "-o", "json"])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let findings = serde_json::from_str(&text);
    (
        findings.unwrap_or_else(|e| panic!("{e}: {text}")),
        ran.status.code().unwrap(),
    )
}

fn of<'a>(findings: &'a [Value], part: &str) -> Option<&'a Value> {
    findings
        .iter()
        .find(|finding| finding["part"] == part && finding["tookMs"].is_null())
        .or_else(|| findings.iter().find(|finding| finding["part"] == part))
}

/// Waits until the command says this of a part, with this status: the finding.
async fn says(gate: &str, part: &str, state: &str, status: i32) -> Value {
    eventually(&format!("{part} is {state}"), SEEN_MAX, async || {
        let (findings, code) = doctor(gate).await;
        match of(&findings, part) {
            Some(found) if found["state"] == state && code == status => Ok(found.clone()),
            _ => Err(format!("{code}: {findings:#?}")),
        }
    })
    .await
}

fn contains(finding: &Value, key: &str, text: &str) {
    let said = finding[key].as_str().unwrap_or_default();
    assert!(said.contains(text), "{text:?} is not in {finding:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_missing() {
    let Some(mut cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.gates().remove(0);
    let gate = client.base().to_owned();

    // All is well, and what cannot be known about the disk is said.
    let nats = says(&gate, "nats", "warning", 0).await;
    contains(&nats, "detail", "cannot be seen from here");
    contains(&nats, "next", "sync_interval: always");
    let (findings, _) = doctor(&gate).await;
    for part in [
        "orca",
        "clouddriver",
        "front50",
        "igor",
        "deck-api",
        "redis",
        "s3",
    ] {
        let timed = |finding: &&Value| finding["part"] == part && finding["tookMs"].is_u64();
        let found = findings.iter().find(timed);
        assert!(
            found.is_some_and(|f| f["state"] != "missing"),
            "{part}: {findings:#?}"
        );
    }

    cluster.redis.kill();
    let redis = says(&gate, "redis", "missing", UNREACHABLE).await;
    contains(&redis, "next", "start Redis");
    let told = client.get("/health/parts").await.unwrap();
    let told = told.as_array().unwrap();
    let same = told
        .iter()
        .find(|finding| finding["part"] == "redis")
        .unwrap();
    assert_eq!(same["next"], redis["next"]);
    cluster.redis.restart().await;
    says(&gate, "redis", "ok", 0).await;

    cluster.s3.kill();
    let s3 = says(&gate, "s3", "missing", UNREACHABLE).await;
    contains(&s3, "next", "s3Endpoint");
    cluster.s3.restart().await;
    says(&gate, "nats", "warning", 0).await;

    cluster.kill("clouddriver-1");
    let driver = says(&gate, "clouddriver", "missing", UNREACHABLE).await;
    contains(&driver, "detail", "nobody answers clouddriver.health");
    contains(&driver, "next", "start clouddriver");
    cluster.start_again("clouddriver-1");
    says(&gate, "nats", "warning", 0).await;

    cluster.hold("igor-1", true);
    let held = says(&gate, "igor", "missing", UNREACHABLE).await;
    contains(&held, "detail", "did not answer within 2000 ms");
    contains(&held, "next", "stopped, overloaded or cut off");
    cluster.hold("igor-1", false);

    cluster.nats.kill();
    let gone = says(&gate, "nats", "missing", UNREACHABLE).await;
    contains(&gone, "detail", "there is no connection");
    contains(&gone, "next", "start NATS");
}
