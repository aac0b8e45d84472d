//! The dashboard asks for metrics that exist, and Prometheus looks at every service where it is.

use std::collections::BTreeSet;

use integration_tests::{figures::documented, harness::workspace_root};
use regex::Regex;
use serde_json::Value;

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace_root().join(path)).unwrap()
}

/// What a query asks for: the metric behind a name, its kind, and the labels it names.
fn check(query: &str) -> Result<(), String> {
    let metrics = documented();
    let names = Regex::new(r"\b(?:gennaker|process)_[a-z0-9_]+").unwrap();
    let mut labels = BTreeSet::from(["le", "job", "instance"].map(str::to_owned));
    for name in names.find_iter(query) {
        let name = name.as_str();
        let of_histogram = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|s| name.strip_suffix(s));
        let (base, kind) = match (of_histogram, name.strip_suffix("_total")) {
            (Some(base), _) => (base, "histogram"),
            (None, Some(base)) => (base, "counter"),
            (None, None) => (name, "gauge"),
        };
        let metric = metrics
            .get(base)
            .ok_or_else(|| format!("there is no metric {base}"))?;
        if metric.kind != kind {
            return Err(format!("{name} is asked of a {}", metric.kind));
        }
        labels.extend(metric.labels.iter().cloned());
    }
    let grouped = Regex::new(r"by \(([^)]*)\)").unwrap();
    let chosen = Regex::new(r#"[{,]\s*([a-z_]+)\s*=~?""#).unwrap();
    let by = grouped.captures_iter(query).flat_map(|found| {
        let all = found.get(1).map_or("", |m| m.as_str());
        all.split(',')
            .map(|label| label.trim().to_owned())
            .collect::<Vec<_>>()
    });
    let named = chosen.captures_iter(query).map(|found| found[1].to_owned());
    match by.chain(named).find(|label| !labels.contains(label)) {
        Some(unknown) => Err(format!("{unknown} is no label in {query}")),
        None => Ok(()),
    }
}

#[test]
fn the_dashboard_asks_for_what_is_served() {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/dashboards/gennaker.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    assert!(queries.len() >= panels.len() && panels.len() > 10);
    for query in queries {
        check(query).unwrap();
    }
    check("rate(gennaker_nothing_total[5m])").unwrap_err();
    check("gennaker_orca_commands").unwrap_err();
    check("sum by (queue) (gennaker_orca_timers)").unwrap_err();
}

#[test]
fn prometheus_looks_at_all_six() {
    let config = read("deploy/prometheus/prometheus.yaml");
    let target = Regex::new(r"names: \[([a-z0-9-]+)\], type: A, port: (\d+)").unwrap();
    let found: BTreeSet<(String, String)> = target
        .captures_iter(&config)
        .map(|found| (found[1].to_owned(), found[2].to_owned()))
        .collect();
    let expected = [
        ("gate", "7002"),
        ("orca", "7003"),
        ("clouddriver", "7004"),
        ("igor", "7005"),
        ("front50", "7006"),
        ("deck-api", "7007"),
    ];
    let expected = expected.map(|(name, port)| (name.to_owned(), port.to_owned()));
    assert_eq!(found, expected.into());
}
