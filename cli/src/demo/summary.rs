//! What the demo did, for people and (`-o json`) for programs.

use kork_model::{Execution, Status};
use serde::Serialize;

use super::{RELEASES, Release, load::Counted};
use crate::output::{Paint, Table, Tone, duration, reasons};

/// Version that production has to serve at the end.
const LAST_GOOD: &str = "2";

/// Version that must not answer a single request.
const BROKEN: &str = "3";

/// Where the executions can be looked at afterwards.
#[derive(Debug)]
pub(super) enum History {
    /// In this directory.
    In(String),
    /// Behind the gate that was named.
    BehindGate,
    /// Nowhere: the suite was ephemeral.
    Gone,
}

/// One delivery.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivery {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) expected: Status,
    /// The person said no to production.
    pub(super) declined: bool,
    pub(super) ms: u64,
    pub(super) stages: Vec<StageTime>,
    /// Why it failed, if it did.
    pub(super) reasons: Vec<String>,
}

/// How long a stage took.
#[derive(Debug, Serialize)]
pub(super) struct StageTime {
    name: String,
    status: Status,
    ms: u64,
}

/// What the demo did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    /// All went as it has to go.
    pub(super) ok: bool,
    gate: String,
    data_dir: Option<String>,
    /// The data were removed at the end.
    #[serde(skip)]
    is_gone: bool,
    ms: u64,
    requests_sent: u64,
    requests_failed: u64,
    /// Why the first few requests failed.
    request_failures: Vec<String>,
    requests_by_version: std::collections::BTreeMap<String, u64>,
    /// Version that production served at the end.
    production_serves: String,
    executions: Vec<Delivery>,
}

impl Delivery {
    pub(super) fn new(release: &Release, execution: &Execution, declined: bool) -> Self {
        let took = |start: Option<kork_model::Timestamp>, end: Option<kork_model::Timestamp>| {
            start.zip(end).map_or(0, |(start, end)| end.ms_since(start))
        };
        let own = || {
            execution
                .stages
                .iter()
                .filter(|s| s.parent_stage_id.is_none())
        };
        let stages = own().map(|s| StageTime {
            name: s.name.clone(),
            status: s.status,
            ms: took(s.start_time, s.end_time),
        });
        let failed = execution.stages.iter().filter(|s| s.status.is_failure());
        let mut why: Vec<String> = failed.flat_map(reasons).collect();
        why.dedup();
        Self {
            name: format!("version {}", release.version),
            id: execution.id.to_string(),
            status: execution.status,
            expected: release.expected,
            declined,
            ms: took(execution.start_time, execution.end_time),
            stages: stages.collect(),
            reasons: why,
        }
    }
}

impl Summary {
    pub(super) fn new(
        gate: &str,
        history: History,
        executions: Vec<Delivery>,
        (counted, production_serves): (Counted, String),
        ms: u64,
    ) -> Self {
        let as_expected =
            executions.len() == RELEASES.len() && executions.iter().all(|e| e.status == e.expected);
        let spared = !counted.by_version.contains_key(BROKEN);
        let served = production_serves == LAST_GOOD && counted.sent > 0 && counted.failed == 0;
        let (data_dir, is_gone) = match history {
            History::In(dir) => (Some(dir), false),
            History::BehindGate => (None, false),
            History::Gone => (None, true),
        };
        Self {
            ok: as_expected && served && spared,
            gate: gate.to_owned(),
            data_dir,
            is_gone,
            ms,
            requests_sent: counted.sent,
            requests_failed: counted.failed,
            request_failures: counted.reasons,
            requests_by_version: counted.by_version,
            production_serves,
            executions,
        }
    }

    /// The summary as people read it.
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(&["DELIVERY", "STATUS", "EXPECTED", "TOOK"], "");
        for delivery in &self.executions {
            table.row([
                delivery.name.clone(),
                paint.status(delivery.status),
                delivery.expected.name().to_owned(),
                duration(delivery.ms),
            ]);
        }
        let tone = if self.requests_failed == 0 {
            Tone::Good
        } else {
            Tone::Bad
        };
        let mut lines = vec![
            format!("\n{}", paint.tone(Tone::Strong, "Summary")),
            table.render(paint, None),
            String::new(),
            format!(
                "production: {} requests, {}; it serves version {}",
                self.requests_sent,
                paint.tone(tone, &format!("{} failed", self.requests_failed)),
                self.production_serves
            ),
        ];
        lines.extend(
            self.request_failures
                .iter()
                .map(|reason| format!("  failed: {reason}")),
        );
        lines.push(if self.ok {
            let took = duration(self.ms);
            let text = format!(
                "all as it has to be, in {took}: version {BROKEN} was refused and answered no request"
            );
            paint.tone(Tone::Good, &text)
        } else if let Some(declined) = self.executions.iter().find(|e| e.declined) {
            let text = format!(
                "you kept {} from production, and so it stopped there; answer yes to see all of it",
                declined.name
            );
            paint.tone(Tone::Warn, &text)
        } else {
            paint.tone(
                Tone::Bad,
                "this is not how it has to go; the table above says where it differs",
            )
        });
        let gate = &self.gate;
        lines.push(match (&self.data_dir, self.is_gone) {
            (Some(dir), _) => format!(
                "the history: gennaker up --data-dir {dir}, then gennaker execution list demo"
            ),
            (None, true) => format!("the API was at {gate}; its data are gone"),
            (None, false) => format!("the history: gennaker execution list demo --gate {gate}"),
        });
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(counted: Counted, serves: &str) -> Summary {
        let deliveries = RELEASES.iter().map(|release| Delivery {
            name: format!("version {}", release.version),
            id: String::new(),
            status: release.expected,
            expected: release.expected,
            declined: false,
            ms: 0,
            stages: Vec::new(),
            reasons: Vec::new(),
        });
        let executions = deliveries.collect();
        Summary::new(
            "http://g",
            History::Gone,
            executions,
            (counted, serves.to_owned()),
            0,
        )
    }

    fn counted(failed: u64, version: &str) -> Counted {
        Counted {
            sent: 10,
            failed,
            reasons: Vec::new(),
            by_version: [(version.to_owned(), 10 - failed)].into(),
        }
    }

    #[test]
    fn it_is_well_only_without_a_failed_request_and_without_the_broken_version() {
        assert!(summary(counted(0, "2"), "2").ok);
        assert!(!summary(counted(1, "2"), "2").ok);
        assert!(!summary(counted(0, BROKEN), "2").ok);
        assert!(!summary(counted(0, "2"), "1").ok);
        assert!(!summary(Counted::default(), "2").ok);
    }

    #[test]
    fn a_delivery_that_ends_otherwise_is_not_well() {
        let mut all = summary(counted(0, "2"), "2");
        all.executions[2].status = Status::Succeeded;
        let history = History::BehindGate;
        let again = (counted(0, "2"), "2".to_owned());
        assert!(!Summary::new("http://g", history, all.executions, again, 0).ok);
    }
}
