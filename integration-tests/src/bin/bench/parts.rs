//! What the services count while something is done, as milliseconds of one of them.

use std::collections::BTreeMap;

use integration_tests::cluster::Cluster;

/// Histograms that are looked at: the waits of one service for another one or for a server.
const WAITS: [(&str, &str); 4] = [
    ("gennaker_rpc_client_duration_seconds", "endpoint"),
    ("gennaker_journal_append_duration_seconds", ""),
    ("gennaker_object_store_duration_seconds", "operation"),
    ("gennaker_topic_publish_duration_seconds", ""),
];

/// Number and seconds of each wait, by service and what it waits for.
pub(crate) struct Parts(BTreeMap<String, (f64, f64)>);

impl Parts {
    pub(crate) async fn read(cluster: &Cluster) -> Self {
        let client = kork_http::client().no_proxy().build();
        let client = client.expect("a client can be made");
        let mut parts = BTreeMap::new();
        for (name, url) in cluster.management() {
            let answer = client.get(format!("{url}/metrics")).send().await;
            let text = answer.expect("the service answers").text().await;
            let text = text.expect("the figures are text");
            let service = name.split('-').next().unwrap_or(&name);
            for line in text.lines() {
                add(&mut parts, service, line);
            }
        }
        Self(parts)
    }

    /// What came since, for each of `count` that were done: how often, and how long each took.
    pub(crate) fn of_each(&self, before: &Self, count: usize) -> String {
        let all = self.0.iter().filter_map(|(what, (number, seconds))| {
            let (known, spent) = before.0.get(what).copied().unwrap_or_default();
            let (number, seconds) = (number - known, seconds - spent);
            let each = number / count as f64;
            let ms = seconds * 1_000.0 / number;
            (each >= 0.5).then(|| format!("{what} {each:.1} x {ms:.2} ms"))
        });
        all.collect::<Vec<_>>().join(", ")
    }
}

fn add(parts: &mut BTreeMap<String, (f64, f64)>, service: &str, line: &str) {
    let Some((histogram, label)) = WAITS.iter().find(|(name, _)| line.starts_with(name)) else {
        return;
    };
    let (Some((_, rest)), Some((_, value))) = (line.split_once('{'), line.rsplit_once(' ')) else {
        return;
    };
    let Ok(value) = value.parse::<f64>() else {
        return;
    };
    let of = format!("{label}=\"");
    let of = rest.split_once(&of).and_then(|(_, v)| v.split('"').next());
    let word = histogram
        .trim_start_matches("gennaker_")
        .trim_end_matches("_duration_seconds")
        .replace('_', " ");
    let what = match of.filter(|_| !label.is_empty()) {
        Some(of) if *label == "endpoint" => format!("{service} asks {of}"),
        Some(of) => format!("{service} {word} {of}"),
        None => format!("{service} {word}"),
    };
    let (number, seconds) = parts.entry(what).or_default();
    if line.starts_with(&format!("{histogram}_count")) {
        *number += value;
    } else if line.starts_with(&format!("{histogram}_sum")) {
        *seconds += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_of_each_are_told() {
        let mut before = BTreeMap::new();
        add(
            &mut before,
            "orca",
            "gennaker_journal_append_duration_seconds_count{outcome=\"ok\"} 10",
        );
        add(
            &mut before,
            "orca",
            "gennaker_journal_append_duration_seconds_sum{outcome=\"ok\"} 1.0",
        );
        let mut after = BTreeMap::new();
        for line in [
            "gennaker_journal_append_duration_seconds_count{outcome=\"ok\"} 30",
            "gennaker_journal_append_duration_seconds_sum{outcome=\"ok\"} 1.04",
            "gennaker_journal_append_duration_seconds_bucket{le=\"1.0\",outcome=\"ok\"} 30",
            "gennaker_rpc_client_duration_seconds_count{endpoint=\"front50.pipelines.get\",outcome=\"ok\"} 10",
            "gennaker_rpc_client_duration_seconds_sum{endpoint=\"front50.pipelines.get\",outcome=\"ok\"} 0.02",
        ] {
            add(&mut after, "orca", line);
        }
        let told = Parts(after).of_each(&Parts(before), 10);
        assert_eq!(
            told,
            "orca asks front50.pipelines.get 1.0 x 2.00 ms, orca journal append 2.0 x 2.00 ms"
        );
    }
}
