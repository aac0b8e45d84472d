//! How far a poller has come, by job.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Build, JobPath};

/// Builds of a job that appears between two looks are reported when they started so long before the
/// earlier one, in milliseconds: clocks differ.
const LOOK_BACK_MS: u64 = 600_000;
/// Running builds of a job that are remembered; of more, the newest.
const RUNNING_MAX: usize = 100;

/// What was seen of a controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cursor {
    /// When the last look began; 0 before the first.
    pub polled_ms: u64,
    pub jobs: BTreeMap<JobPath, JobCursor>,
}

/// What was seen of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobCursor {
    /// The newest build that was seen.
    pub last: u64,
    /// Builds up to it that were still running; all others are done with.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub running: BTreeSet<u64>,
}

/// What a look at a job makes of its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub cursor: JobCursor,
    pub reported: BTreeSet<u64>,
    pub skipped: u64,
}

impl Cursor {
    /// Nothing was seen yet.
    pub const fn is_new(&self) -> bool {
        self.polled_ms == 0
    }

    /// Builds of a job that is new to us count from then on.
    pub(super) const fn seen_since_ms(&self) -> u64 {
        self.polled_ms.saturating_sub(LOOK_BACK_MS)
    }
}

impl JobCursor {
    /// All up to this build are done with.
    pub(super) const fn at(last: u64) -> Self {
        Self {
            last,
            running: BTreeSet::new(),
        }
    }

    /// Goes on with builds of the job: those that came since, and those that were running. Those that started
    /// before `since_ms` are done with without a report, and of the others only the newest `cap` are reported.
    pub(super) fn step(&self, builds: &[Build], since_ms: u64, cap: usize) -> Step {
        let is_new =
            |build: &&Build| build.number > self.last || self.running.contains(&build.number);
        let (ended, running): (Vec<&Build>, Vec<&Build>) = builds
            .iter()
            .filter(is_new)
            .partition(|build| build.finished().is_some());
        let to_report = ended.iter().filter(|build| build.started_ms >= since_ms);
        let numbers: BTreeSet<u64> = to_report.map(|build| build.number).collect();
        let reported: BTreeSet<u64> = numbers.iter().rev().take(cap).copied().collect();
        let running: BTreeSet<u64> = running.iter().map(|build| build.number).collect();
        let newest = builds.iter().map(|build| build.number).max();
        let kept = running.iter().rev().take(RUNNING_MAX).copied().collect();
        let skipped = numbers.len() - reported.len() + running.len().saturating_sub(RUNNING_MAX);
        Step {
            cursor: Self {
                last: newest.unwrap_or(0).max(self.last),
                running: kept,
            },
            reported,
            skipped: skipped as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::BuildResult;

    fn build(number: u64, ended: bool) -> Build {
        Build {
            number,
            running: !ended,
            result: ended.then_some(BuildResult::Success),
            started_ms: number * 10,
            ..Build::default()
        }
    }

    #[test]
    fn a_running_build_is_remembered_and_not_what_ended_after_it() {
        let builds = [build(9, true), build(8, false), build(7, true)];
        let step = JobCursor::at(6).step(&builds, 0, 50);
        assert_eq!(step.reported, BTreeSet::from([7, 9]));
        assert_eq!(
            step.cursor,
            JobCursor {
                last: 9,
                running: BTreeSet::from([8])
            }
        );
        let builds = [build(9, true), build(8, true)];
        let step = step.cursor.step(&builds, 0, 50);
        assert_eq!(
            (step.reported, step.cursor),
            (BTreeSet::from([8]), JobCursor::at(9))
        );
    }

    #[test]
    fn only_the_newest_are_reported_and_the_old_ones_not() {
        let builds: Vec<_> = (1..=20).map(|n| build(n, true)).collect();
        let step = JobCursor::default().step(&builds, 55, 3);
        assert_eq!(
            (step.reported, step.skipped),
            (BTreeSet::from([18, 19, 20]), 12)
        );
        assert_eq!(step.cursor, JobCursor::at(20));
    }

    proptest! {
        /// Whatever is seen when, every build is reported exactly once, after it ended.
        #[test]
        fn every_build_is_reported_once(ends in proptest::collection::vec(0usize..30, 1..30), looks in proptest::collection::btree_set(0usize..60, 1..20)) {
            let mut cursor = JobCursor::default();
            let mut reported = Vec::new();
            for moment in looks.into_iter().chain([60]) {
                let there = ends.iter().enumerate().take(moment);
                let builds: Vec<_> = there.map(|(at, end)| build(at as u64 + 1, at + end <= moment)).collect();
                let step = cursor.step(&builds, 0, 100);
                prop_assert!(step.reported.iter().all(|n| builds[*n as usize - 1].finished().is_some()));
                prop_assert!(step.cursor.last >= cursor.last && step.cursor.running.len() <= builds.len());
                reported.extend(step.reported);
                cursor = serde_json::from_value(serde_json::to_value(step.cursor).unwrap()).unwrap();
            }
            reported.sort_unstable();
            prop_assert_eq!(reported, (1..=ends.len() as u64).collect::<Vec<_>>());
            prop_assert!(cursor.running.is_empty());
        }
    }
}
