//! What six processes serve on `/metrics` is what `docs/metrics.md` lists, with no more labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use integration_tests::{
    cluster::Cluster,
    figures::{Metric, documented, served},
    harness::{Answer, eventually},
    pipeline::{Deployment, pipeline, wait},
    servers::Collector,
};
use serde_json::json;

const APPLICATION: &str = "counted";
const END_MAX: Duration = Duration::from_mins(2);
/// Streams and queues are looked at every few seconds.
const SEEN_MAX: Duration = Duration::from_secs(40);

async fn texts(cluster: &Cluster) -> BTreeMap<String, String> {
    let client = kork_http::client().no_proxy().build().unwrap();
    let mut texts = BTreeMap::new();
    for (name, url) in cluster.management() {
        let answer = client.get(format!("{url}/metrics")).send().await.unwrap();
        texts.insert(name, answer.text().await.unwrap());
    }
    texts
}

fn all(texts: &BTreeMap<String, String>) -> BTreeMap<String, Metric> {
    let mut found = BTreeMap::<String, Metric>::new();
    for (name, metric) in texts.values().flat_map(|text| served(text)) {
        let known = found.entry(name).or_default();
        known.kind = metric.kind;
        known.labels.extend(metric.labels);
    }
    found
}

/// Something of everything.
async fn deliver(cluster: &Cluster) {
    let gate = cluster.gates().remove(0);
    let starts = cluster.dir().join("starts");
    let deployment = Deployment {
        application: APPLICATION,
        stack: "one",
        version: "1",
        starts_file: &starts,
    };
    let stages = [deployment.stage("1", &[]), wait("2", &["1"], 1)];
    let saved = gate
        .post("/pipelines", &pipeline(APPLICATION, "one", &stages))
        .await;
    saved.and_then(Answer::success).unwrap();
    let started = gate
        .post(&format!("/pipelines/{APPLICATION}/one"), &json!({}))
        .await;
    let id = started.unwrap().reference().unwrap();
    let execution = gate.ended(&id, END_MAX).await;
    assert_eq!(execution["status"], "SUCCEEDED", "{execution:#}");
    gate.get(&format!("/applications/{APPLICATION}/pipelines"))
        .await
        .unwrap();
    let mut hooked = pipeline(APPLICATION, "hooked", &[wait("1", &[], 0)]);
    hooked["triggers"] = json!([{"type": "webhook", "enabled": true, "source": "figures"}]);
    let saved = gate.post("/pipelines", &hooked).await;
    saved.and_then(Answer::success).unwrap();
    gate.destroy_all(APPLICATION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_what_is_documented() {
    let collector = Collector::start().await;
    let endpoint = (
        "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
        collector.endpoint(),
    );
    let Some(cluster) = Cluster::start_with(1, vec![endpoint]).await else {
        return;
    };
    deliver(&cluster).await;
    let listed = documented();
    let names: BTreeSet<&String> = listed.keys().collect();
    let gate = cluster.gates().remove(0);
    let texts = eventually("every figure is there", SEEN_MAX, async || {
        // The first ones may come before orca has heard of the pipeline.
        let hook = gate.post("/webhooks/webhook/figures", &json!({})).await;
        hook.and_then(Answer::success).map_err(|t| t.to_string())?;
        let texts = texts(&cluster).await;
        let found = all(&texts);
        let missing: Vec<_> = names
            .iter()
            .filter(|name| !found.contains_key(**name))
            .collect();
        if missing.is_empty() {
            Ok(texts)
        } else {
            Err(format!("{missing:?}"))
        }
    })
    .await;
    let found = all(&texts);
    assert_eq!(found.keys().collect::<BTreeSet<_>>(), names);
    for (name, metric) in &found {
        assert_eq!(metric, &listed[name], "{name}");
    }
    let value = |service: &str, start: &str| -> f64 {
        let lines = texts[service].lines();
        let ours = lines.filter(|line| line.starts_with(start));
        ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    for (service, start) in [
        (
            "gate-1",
            "gennaker_http_request_duration_seconds_count{method=\"POST\",route=\"/pipelines\",status=\"200\"}",
        ),
        (
            "orca-1",
            "gennaker_rpc_server_duration_seconds_count{endpoint=\"orca.executions.startStored\",outcome=\"ok\"}",
        ),
        (
            "orca-1",
            "gennaker_orca_stage_duration_seconds_sum{type=\"wait\",status=\"SUCCEEDED\"}",
        ),
        (
            "orca-1",
            "gennaker_orca_executions_finished_total{application=\"counted\",status=\"SUCCEEDED\"}",
        ),
        (
            "orca-1",
            "gennaker_journal_append_duration_seconds_count{outcome=\"ok\"}",
        ),
        ("igor-1", "process_resident_memory_bytes"),
    ] {
        assert!(value(service, start) >= 1.0, "{start}\n{}", texts[service]);
    }
}
