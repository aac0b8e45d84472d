//! What the demo did, for people and (`-o json`) for programs.

use kork_model::{Execution, Status};
use serde::Serialize;

use super::{RELEASES, Release, load::Counted};
use crate::output::{Paint, Table, Tone, duration, reasons};

/// Version that production has to serve at the end.
const LAST_GOOD: &str = "2";

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
        data_dir: Option<String>,
        executions: Vec<Delivery>,
        (counted, production_serves): (Counted, String),
        ms: u64,
    ) -> Self {
        let as_expected =
            executions.len() == RELEASES.len() && executions.iter().all(|e| e.status == e.expected);
        let served = production_serves == LAST_GOOD && counted.sent > 0 && counted.failed == 0;
        Self {
            ok: as_expected && served,
            gate: gate.to_owned(),
            data_dir,
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
        let mut table = Table::new(&["DELIVERY", "STATUS", "TOOK", "STAGES"], "");
        for delivery in &self.executions {
            let stages = delivery
                .stages
                .iter()
                .filter(|s| s.status != Status::NotStarted);
            let stages: Vec<String> = stages
                .map(|s| format!("{} {}", s.name, duration(s.ms)))
                .collect();
            table.row([
                delivery.name.clone(),
                paint.status(delivery.status),
                duration(delivery.ms),
                stages.join(", "),
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
            let text = format!("all as it has to be, in {}", duration(self.ms));
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
        match &self.data_dir {
            Some(dir) => lines.push(format!(
                "the history is in {dir}; look at it: gennaker up --data-dir {dir}, then gennaker execution list demo"
            )),
            None => lines.push(format!("the API was at {}; its data are gone", self.gate)),
        }
        lines.join("\n")
    }
}
