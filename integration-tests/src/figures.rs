//! The list of metrics in `docs/metrics.md`, and the text that services serve, both as tables.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::workspace_root;

/// Kind and label names of a metric.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metric {
    pub kind: String,
    pub labels: BTreeSet<String>,
}

/// The documented metrics, by name.
pub fn documented() -> BTreeMap<String, Metric> {
    let path = workspace_root().join("docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("the list is there");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let metrics = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3]
            .split(',')
            .map(|label| label.trim().trim_matches('`'));
        let metric = Metric {
            kind: cells[2].to_owned(),
            labels: labels
                .filter(|l| !l.is_empty())
                .map(str::to_owned)
                .collect(),
        };
        (cells[1].trim_matches('`').to_owned(), metric)
    });
    metrics.collect()
}

/// The metrics in a text for Prometheus, by name.
pub fn served(text: &str) -> BTreeMap<String, Metric> {
    let mut found = BTreeMap::<String, Metric>::new();
    let mut last = String::new();
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("# TYPE ") {
            let (name, kind) = about.split_once(' ').unwrap_or((about, ""));
            name.clone_into(&mut last);
            kind.clone_into(&mut found.entry(last.clone()).or_default().kind);
        } else if let Some((_, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let labels = rest.rsplit_once('}').map_or("", |(labels, _)| labels);
            let metric = found.entry(last.clone()).or_default();
            metric.labels.extend(label_names(labels));
        }
    }
    for metric in found.values_mut() {
        metric.labels.remove("le");
    }
    found
}

/// Names before `="`; values may hold commas.
fn label_names(labels: &str) -> impl Iterator<Item = String> {
    let starts = labels
        .split("=\"")
        .map(|part| part.rsplit(['"', ',']).next().unwrap_or(part));
    let names = starts.map(str::trim).filter(|name| !name.is_empty());
    let plain = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    names
        .filter(plain)
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read() {
        let text = "# HELP a_seconds Time.\n# TYPE a_seconds histogram\n\
                    a_seconds_bucket{le=\"1\",route=\"/a,{b}\"} 1\na_seconds_sum{route=\"x\"} 1\n\
                    # TYPE b counter\nb_total{} 1\n# EOF\n";
        let found = served(text);
        assert_eq!(found["a_seconds"].kind, "histogram");
        assert_eq!(found["a_seconds"].labels, ["route".to_owned()].into());
        assert_eq!(found["b"].labels, BTreeSet::new());
    }
}
