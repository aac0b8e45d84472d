//! How fast and how large the suite is, measured beside what this disk can do. `make bench` runs it.
//!
//! - [`raw`]: what the disk does when nothing but the bytes is written.
//! - [`steps`]: executions through orca in this process, on the embedded files.
//! - [`bare`]: what NATS and HTTP do when nothing but the shape of the work is there.
//! - [`cluster`]: the same executions on NATS, Redis and S3, and six processes.
//! - [`hooks`]: webhooks to six processes.
//! - [`parts`]: what the services wait for meanwhile.
//! - [`process`]: the real binary: memory, start, timers.
//!
//! `BENCH_RUNS` says how often the cheap ones are repeated; the median is shown. `BENCH_ONLY` names one
//! part: `steps`, `process`, `cluster` (orca alone on the servers), `six` (six processes) or `hooks` (their webhooks). `BENCH_IN_FLIGHT` and `BENCH_STORED` say how
//! much the cluster gets to do. `BENCH_LOG` shows the log, such as `warn,kork_cluster=trace`.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod bare;
mod cluster;
mod hooks;
mod parts;
mod process;
mod raw;
mod steps;

/// Steps of an execution.
pub(crate) const STEPS: usize = 5;
/// Executions that are in flight at the same time, and appends that wait for the same group.
pub(crate) const IN_FLIGHT: usize = 1_024;

/// One line of the table.
pub(crate) struct Row {
    what: String,
    value: String,
    /// What is wanted, if anything is.
    aim: &'static str,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            value: value.into(),
            aim: "",
        }
    }

    pub(crate) const fn aim(mut self, aim: &'static str) -> Self {
        self.aim = aim;
        self
    }
}

/// The table, printed as it grows.
#[derive(Default)]
pub(crate) struct Table {
    has_head: bool,
}

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        if !self.has_head {
            self.has_head = true;
            println!("| what | measured | aim |\n|---|---|---|");
        }
        let Row { what, value, aim } = row;
        println!("| {what} | {value} | {aim} |");
    }
}

/// The value in the middle; the later of two.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50)
}

/// The value below which so many percent lie.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (values.len() * percent / 100).min(last);
    values.get(at).copied().unwrap_or(f64::NAN)
}

#[tokio::main]
async fn main() {
    let runs = integration_tests::harness::number("BENCH_RUNS", 5);
    let mut rows = Table::default();
    let filter = std::env::var("BENCH_LOG").unwrap_or_else(|_| "off".to_owned());
    let _log = kork::service::telemetry::init(kork::service::telemetry::Format::Human, &filter);
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only == part;
    if wanted("steps") {
        steps::measure(runs, &mut rows).await;
    }
    if wanted("process") {
        process::measure(runs, &mut rows).await;
    }
    if wanted("cluster") {
        cluster::in_process(runs, &mut rows).await;
    }
    if only == "hooks" {
        cluster::hooks(&mut rows).await;
    }
    if wanted("six") {
        cluster::six(&mut rows).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_numbers() {
        let mut values: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert!((median(&mut values) - 50.0).abs() < f64::EPSILON);
        assert!((percentile(&mut values, 99) - 99.0).abs() < f64::EPSILON);
        assert!((percentile(&mut [7.0], 99) - 7.0).abs() < f64::EPSILON);
    }
}
