//! Figures in the text format of Prometheus.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter, family::Family, gauge, histogram},
    registry::Registry,
};

use super::process::Process;

/// Label sets of one metric; further ones are counted together under `overflow="true"`.
const LABEL_SETS_MAX: usize = 2000;

/// Upper bounds of the buckets of a histogram of seconds.
const SECONDS: [f64; 15] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0,
];

/// Label names and values.
type Labels = Vec<(String, String)>;

/// All metrics of a process. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    registry: Registry,
    metrics: BTreeMap<String, Metric>,
}

enum Metric {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// Counts up, per label set.
#[derive(Clone, Default)]
pub struct Counter(Bounded<counter::Counter>);

/// Goes up and down, per label set.
#[derive(Clone, Default)]
pub struct Gauge(Bounded<gauge::Gauge>);

/// How often which size was seen, per label set.
#[derive(Clone)]
pub struct Histogram(Bounded<histogram::Histogram>);

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counter")
    }
}

impl Default for Histogram {
    fn default() -> Self {
        let family = Family::new_with_constructor((|| histogram::Histogram::new(SECONDS)) as _);
        Self(Bounded {
            family,
            label_sets: Arc::default(),
        })
    }
}

/// A metric per label set, of which there are at most [`LABEL_SETS_MAX`].
#[derive(Clone)]
struct Bounded<M> {
    family: Family<Labels, M>,
    label_sets: Arc<AtomicUsize>,
}

impl<M: Default> Default for Bounded<M> {
    fn default() -> Self {
        Self {
            family: Family::default(),
            label_sets: Arc::default(),
        }
    }
}

impl<M: Clone> Bounded<M> {
    fn with(&self, of: &[(&str, &str)], change: impl FnOnce(&M)) {
        let labels = labels(of);
        if let Some(known) = self.family.get(&labels) {
            return change(&known);
        }
        let labels = if self.label_sets.fetch_add(1, Ordering::Relaxed) < LABEL_SETS_MAX {
            labels
        } else {
            vec![("overflow".to_owned(), "true".to_owned())]
        };
        change(&self.family.get_or_create(&labels));
    }

    fn get<T: Default>(&self, of: &[(&str, &str)], read: impl FnOnce(&M) -> T) -> T {
        self.family
            .get(&labels(of))
            .map(|known| read(&known))
            .unwrap_or_default()
    }
}

fn labels(of: &[(&str, &str)]) -> Labels {
    of.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

impl Counter {
    /// One more.
    pub fn inc(&self, of: &[(&str, &str)]) {
        self.add(of, 1);
    }

    /// So many more.
    pub fn add(&self, of: &[(&str, &str)], count: u64) {
        self.0.with(of, |counter| {
            counter.inc_by(count);
        });
    }

    /// What was counted so far.
    pub fn get(&self, of: &[(&str, &str)]) -> u64 {
        self.0.get(of, counter::Counter::get)
    }
}

impl Gauge {
    pub fn set(&self, of: &[(&str, &str)], value: i64) {
        self.0.with(of, |gauge| {
            gauge.set(value);
        });
    }

    /// Adds; negative values subtract.
    pub fn add(&self, of: &[(&str, &str)], change: i64) {
        self.0.with(of, |gauge| {
            gauge.inc_by(change);
        });
    }

    pub fn get(&self, of: &[(&str, &str)]) -> i64 {
        self.0.get(of, gauge::Gauge::get)
    }
}

impl Histogram {
    /// Notes a value; the buckets are made for seconds.
    pub fn observe(&self, of: &[(&str, &str)], value: f64) {
        self.0.with(of, |histogram| histogram.observe(value));
    }
}

impl Metrics {
    /// The counter of this name. Counters are shown as `<name>_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let mut inner = self.lock();
        match inner.metrics.get(name) {
            Some(Metric::Counter(found)) => found.clone(),
            Some(Metric::Gauge(_) | Metric::Histogram(_)) => clash(name),
            None => {
                let new = Counter::default();
                inner.registry.register(name, help, new.0.family.clone());
                inner
                    .metrics
                    .insert(name.to_owned(), Metric::Counter(new.clone()));
                new
            }
        }
    }

    /// The gauge of this name.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let mut inner = self.lock();
        match inner.metrics.get(name) {
            Some(Metric::Gauge(found)) => found.clone(),
            Some(Metric::Counter(_) | Metric::Histogram(_)) => clash(name),
            None => {
                let new = Gauge::default();
                inner.registry.register(name, help, new.0.family.clone());
                inner
                    .metrics
                    .insert(name.to_owned(), Metric::Gauge(new.clone()));
                new
            }
        }
    }

    /// The histogram of this name; name it `..._seconds`.
    pub fn histogram(&self, name: &str, help: &str) -> Histogram {
        let mut inner = self.lock();
        match inner.metrics.get(name) {
            Some(Metric::Histogram(found)) => found.clone(),
            Some(Metric::Counter(_) | Metric::Gauge(_)) => clash(name),
            None => {
                let new = Histogram::default();
                inner.registry.register(name, help, new.0.family.clone());
                inner
                    .metrics
                    .insert(name.to_owned(), Metric::Histogram(new.clone()));
                new
            }
        }
    }

    /// Adds what belongs to every process: its version, memory and processor time. Once per process.
    pub fn add_process(&self) {
        let about = self.gauge("gennaker_build_info", "1, with the version of the suite");
        about.set(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.lock().registry.register_collector(Box::new(Process));
    }

    /// Everything, in the text format of Prometheus (`OpenMetrics`).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.lock().registry).expect("a string can be written");
        text
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two parts use one name for different things: the second one's figures are not shown.
fn clash<T: Default>(name: &str) -> T {
    tracing::error!(
        metric = name,
        "a metric has two kinds, the second is not shown"
    );
    T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_their_labels() {
        let metrics = Metrics::default();
        metrics
            .counter("orca_steps", "Steps")
            .add(&[("kind", "wait")], 2);
        metrics
            .counter("orca_steps", "Steps")
            .inc(&[("kind", "wait")]);
        metrics
            .gauge("orca_running", "Running executions")
            .set(&[], 4);
        metrics
            .histogram("orca_step_seconds", "Time")
            .observe(&[("kind", "wait")], 0.02);
        let text = metrics.encode();
        for line in [
            "orca_steps_total{kind=\"wait\"} 3",
            "orca_running{} 4",
            "orca_step_seconds_count{kind=\"wait\"} 1",
            "# HELP orca_steps Steps.",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn label_sets_are_bounded() {
        let counter = Metrics::default().counter("many", "Many");
        for number in 0..LABEL_SETS_MAX + 50 {
            counter.inc(&[("id", &number.to_string())]);
        }
        assert_eq!(counter.get(&[("id", "0")]), 1);
        assert_eq!(counter.get(&[("overflow", "true")]), 50);
    }
}
