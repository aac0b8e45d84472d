//! One delivery is one trace, whatever process works on it.

use std::{collections::BTreeSet, time::Duration};

use integration_tests::{
    cluster::Cluster,
    harness::{Answer, Gate, eventually},
    pipeline::{Deployment, pipeline, wait},
    servers::{CollectedSpan, Collector},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

const APPLICATION: &str = "traced";
const END_MAX: Duration = Duration::from_mins(2);
/// Spans are sent within a second or two.
const COLLECTED_MAX: Duration = Duration::from_secs(30);

async fn cluster(of_each: usize, collector: &Collector) -> Option<Cluster> {
    let endpoint = (
        "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
        collector.endpoint(),
    );
    Cluster::start_with(of_each, vec![endpoint]).await
}

/// Stores a pipeline and starts it: the id of its execution.
async fn start(gate: &Gate, name: &str, stages: &[Value]) -> String {
    let saved = gate
        .post("/pipelines", &pipeline(APPLICATION, name, stages))
        .await;
    saved.and_then(Answer::success).unwrap();
    let path = format!("/pipelines/{APPLICATION}/{name}");
    let started = gate.post(&path, &json!({"type": "manual"})).await.unwrap();
    let reference = started.reference().unwrap();
    reference.rsplit('/').next().unwrap().to_owned()
}

/// The spans of an execution's trace, once the span of the execution and one of each service are there
/// and every span has the one above it.
async fn trace(collector: &Collector, execution: &Value, services: &[&str]) -> Vec<CollectedSpan> {
    let told = execution["traceparent"].as_str().expect("a traceparent");
    let id = told.split('-').nth(1).unwrap();
    eventually("the trace is whole", COLLECTED_MAX, async || {
        let mut spans = collector.spans();
        spans.retain(|span| span.trace == id);
        let seen: BTreeSet<&str> = spans.iter().map(|s| s.service.as_str()).collect();
        let ids: BTreeSet<&str> = spans.iter().map(|s| s.id.as_str()).collect();
        let orphans: Vec<_> = spans
            .iter()
            .filter(|s| !s.parent.is_empty() && !ids.contains(s.parent.as_str()))
            .collect();
        let has_execution = spans.iter().any(|s| s.name == "orca.execution");
        let whole =
            has_execution && orphans.is_empty() && services.iter().all(|s| seen.contains(s));
        if whole {
            return Ok(spans);
        }
        Err(format!("services {seen:?}, orphans {orphans:#?}"))
    })
    .await
}

fn of<'a>(spans: &'a [CollectedSpan], name: &str) -> Vec<&'a CollectedSpan> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The one span of this name.
fn only<'a>(spans: &'a [CollectedSpan], name: &str) -> &'a CollectedSpan {
    let found = of(spans, name);
    assert_eq!(found.len(), 1, "{name}: {found:#?}");
    found[0]
}

/// Names of the spans above one, from below.
fn above(spans: &[CollectedSpan], of: &CollectedSpan) -> Vec<String> {
    let parent = spans.iter().find(|span| span.id == of.parent);
    parent.map_or_else(Vec::new, |parent| {
        let mut names = vec![format!("{} {}", parent.service, parent.name)];
        names.extend(above(spans, parent));
        names
    })
}

/// An address that answers one request, and the head of that request.
async fn called_once() -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(&mut stream);
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).await.unwrap() > 0, "{head}");
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        head
    });
    (url, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_one_trace_over_all_services() {
    let collector = Collector::start().await;
    let Some(cluster) = cluster(1, &collector).await else {
        return;
    };
    let gate = cluster.gates().remove(0);
    let starts = cluster.dir().join("starts");
    let deployment = Deployment {
        application: APPLICATION,
        stack: "one",
        version: "1",
        starts_file: &starts,
    };
    let stages = [deployment.stage("1", &[]), wait("2", &["1"], 1)];
    let id = start(&gate, "one", &stages).await;
    let execution = gate.ended(&id, END_MAX).await;
    assert_eq!(execution["status"], "SUCCEEDED", "{execution:#}");

    let services = ["gate", "orca", "clouddriver", "front50"];
    let spans = trace(&collector, &execution, &services).await;
    let of_execution = collector.spans().into_iter();
    let mut traces: Vec<String> = of_execution
        .filter(|span| span.attributes.get("execution.id") == Some(&id))
        .map(|span| span.trace)
        .collect();
    traces.dedup();
    assert_eq!(traces, [spans[0].trace.clone()]);

    let request = "POST /pipelines/{application}/{nameOrId}";
    let root = only(&spans, request);
    assert_eq!((root.service.as_str(), root.parent.as_str()), ("gate", ""));
    assert_eq!(root.attributes["http.response.status_code"], "202");
    let order = only(&spans, "clouddriver.createServerGroup");
    let line = above(&spans, order);
    let expected = [
        "orca orca.task.createServerGroup",
        "orca orca.stage.createServerGroup",
        "orca orca.stage.deploy",
        "orca orca.execution",
    ];
    assert_eq!(line[..4], expected, "{line:#?}");
    assert_eq!(line.last().unwrap(), &format!("gate {request}"));
    let pause = only(&spans, "orca.stage.wait");
    let took = pause.end_ns - pause.start_ns;
    assert!((900_000_000..30_000_000_000).contains(&took), "{took} ns");
    assert_eq!(above(&spans, pause)[0], "orca orca.execution");
    assert_eq!(order.attributes["application"], APPLICATION);
    let reads = spans.iter().filter(|s| s.service == "front50");
    assert!(reads.clone().all(|s| !s.parent.is_empty()), "{spans:#?}");
    gate.destroy_all(APPLICATION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_orca_goes_on_with_the_trace() {
    let collector = Collector::start().await;
    let Some(mut cluster) = cluster(1, &collector).await else {
        return;
    };
    let gate = cluster.gates().remove(0);
    let (url, called) = called_once().await;
    let webhook = json!({"refId": "2", "requisiteStageRefIds": ["1"], "type": "webhook",
                         "name": "call", "url": url, "method": "GET"});
    let id = start(
        &gate,
        "two",
        &[wait("1", &[], 6), webhook, wait("3", &["2"], 1)],
    )
    .await;
    let begun = eventually("the first stage runs", COLLECTED_MAX, async || {
        let found = gate.execution(&id).await.map_err(|t| t.to_string())?;
        match found["stages"][0]["status"].as_str() {
            Some("RUNNING")
                if !of(&collector.spans(), "orca.executions.startStored").is_empty() =>
            {
                Ok(found)
            }
            other => Err(format!("{other:?}, or the request is not collected yet")),
        }
    })
    .await;
    cluster.kill("orca-1");
    cluster.start_again("orca-1");
    let execution = gate.ended(&id, END_MAX).await;
    assert_eq!(execution["status"], "SUCCEEDED", "{execution:#}");
    assert_eq!(execution["traceparent"], begun["traceparent"]);
    let head = called.await.unwrap().to_ascii_lowercase();
    let sent = head
        .lines()
        .find_map(|line| line.strip_prefix("traceparent: "));
    let told = execution["traceparent"].as_str().unwrap();
    let trace_id = told.split('-').nth(1).unwrap();
    let spans = eventually("the rest of the trace", COLLECTED_MAX, async || {
        let spans = collector.spans();
        let rest = of(&spans, "orca.execution").len() == 1;
        if rest {
            Ok(spans)
        } else {
            Err(format!("{spans:#?}"))
        }
    })
    .await;
    let stages = of(&spans, "orca.stage.wait");
    assert_eq!(stages.len(), 2, "{stages:#?}");
    let run = only(&spans, "orca.execution");
    assert!(
        stages
            .iter()
            .all(|s| s.parent == run.id && s.trace == trace_id)
    );
    assert_eq!(run.trace, trace_id);
    let sent = sent.unwrap_or_else(|| panic!("{head}"));
    assert_eq!(sent.split('-').nth(1), Some(trace_id), "{head}");
    let work = only(&spans, "orca.createWebhook");
    assert_eq!(sent.split('-').nth(2), Some(work.id.as_str()));
    // The request began it under the first orca, another process ended it.
    let request = spans.iter().find(|s| s.id == run.parent).unwrap();
    assert_eq!(request.name, "orca.executions.startStored");
    assert_ne!(request.instance, run.instance);
}
