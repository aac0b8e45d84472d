//! A stage of one's own, carried out by a process that is no part of the suite: plain NATS, and a login
//! that can do nothing else.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, HeaderMap, Message};
use futures_util::StreamExt;
use integration_tests::{
    cluster::Cluster,
    harness::{Answer, eventually},
    pipeline::pipeline,
};
use kork_model::{WorkOrder, WorkReport, WorkResult};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_MAX: Duration = Duration::from_millis(500);
const NEXT: &str = "$JS.API.CONSUMER.MSG.NEXT.gennaker_custom.greet";

/// The next order. Until the first one is there, there is no consumer, and nobody answers.
async fn order(client: &Client) -> Message {
    eventually("there is an order", PATIENCE, async || {
        // Not a request of the client: what comes has the subject of the stored message.
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.unwrap();
        let ask = json!({"batch": 1, "no_wait": true}).to_string();
        let asked = client.publish_with_reply(NEXT, inbox, ask.into()).await;
        asked.unwrap();
        let answer = tokio::time::timeout(ANSWER_MAX, answers.next()).await;
        let message = answer.map_err(|e| e.to_string())?.unwrap();
        match message.status {
            None => Ok(message),
            Some(status) => Err(status.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_ones_own_carries_out_a_stage() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let seed = std::fs::read_to_string(cluster.login("worker", "nats.nkey")).unwrap();
    let client = ConnectOptions::with_nkey(seed.trim().to_owned())
        .custom_inbox_prefix("_INBOX_worker")
        .connect(cluster.nats.url())
        .await
        .unwrap();
    let gate = &cluster.gates()[0];
    let stage = json!({"refId": "1", "requisiteStageRefIds": [], "type": "custom.greet",
                       "name": "greet", "who": "world"});
    let definition = pipeline("shop", "greeting", &[stage]);
    let started = gate.post("/pipelines/start", &definition).await;
    let started = started.and_then(Answer::success).unwrap();
    let message = order(&client).await;
    let work: WorkOrder = serde_json::from_slice(&message.payload).unwrap();
    let outputs = json!({"greeting": format!("hello {}", work.payload["who"].as_str().unwrap())});
    let result = WorkResult::succeeded(serde_json::from_value(outputs).unwrap());
    let report = serde_json::to_vec(&WorkReport::done(&work, result)).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Gennaker-Id", work.execution.to_string().as_str());
    let to = format!("gennaker.queue.orca.reports.{}", work.execution);
    let stored = client.request_with_headers(to, headers, report.into());
    let stored = stored.await.unwrap();
    assert!(!stored.payload.is_empty());
    let acknowledged = client.request(message.reply.unwrap(), "+ACK".into());
    acknowledged.await.unwrap();
    let reference = started["ref"].as_str().unwrap();
    let done = eventually("the execution ends", PATIENCE, async || {
        let found = gate.get(reference).await.map_err(|t| t.to_string())?;
        let ended = found["status"] == "SUCCEEDED";
        ended.then(|| found.clone()).ok_or(format!("{found:#}"))
    })
    .await;
    assert_eq!(done["stages"][0]["outputs"]["greeting"], "hello world");
    assert_eq!(cluster.nats.refusals(), Vec::<String>::new());
}
