//! When the next poll of a watched thing is due, and how the last one went. Pure: time and chance come in.

use kork_model::Timestamp;
use serde::Serialize;

use crate::{Error, Polled};

/// A failing source is asked this many times less often at most.
const SLOWER_MAX: u64 = 10;
/// An interval is shortened or lengthened by up to this part, so that sources are not asked in step.
const JITTER: f64 = 0.1;
/// A server that asks for a longer pause is asked again after this, milliseconds.
const PAUSE_MS_MAX: u64 = 3_600_000;

/// The schedule of one watched thing, as it is shown to people too.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    poll_ms: u64,
    /// When the next poll is due.
    pub next: Timestamp,
    /// When the last poll ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_poll: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// Polls that failed since the last success.
    pub failures: u32,
    /// Of the last poll, when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ScheduleError>,
    /// Of the last poll that did not fail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why a poll failed, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleError {
    pub message: String,
    /// It may go away by itself: the server is away or asks for patience.
    pub passing: bool,
}

impl Schedule {
    /// A thing that was not polled yet. `chance` in `0..1` spreads first polls over one interval of
    /// `poll_ms` milliseconds.
    pub fn new(poll_ms: u64, now: Timestamp, chance: f64) -> Self {
        Self {
            poll_ms,
            next: now.plus_ms((poll_ms as f64 * unit(chance)) as u64),
            last_poll: None,
            last_success: None,
            failures: 0,
            last_error: None,
            warnings: Vec::new(),
        }
    }

    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next <= now
    }

    /// A poll ended at `now`; `chance` in `0..1` jitters the next one.
    ///
    /// After failures the interval doubles up to ten times itself; a pause that the server asked for is
    /// kept, up to an hour.
    pub fn polled(&mut self, result: &Result<Polled, Error>, now: Timestamp, chance: f64) {
        match result {
            Ok(polled) => {
                self.last_poll = Some(now);
                self.last_success = Some(now);
                self.last_error = None;
                self.failures = 0;
                self.warnings = polled.warnings.iter().map(ToString::to_string).collect();
                let pause_ms = polled.not_before.map_or(0, |then| then.ms_since(now));
                self.next = self.after(pause_ms, now, chance);
            }
            Err(error) => {
                let shown = ScheduleError {
                    message: error.to_string(),
                    passing: error.is_passing(),
                };
                let pause_ms = error.retry_after_ms().unwrap_or(0);
                self.failed(shown, pause_ms, now, chance);
            }
        }
    }

    /// A poll failed at `now`, maybe for a reason of the caller's own: what it brought could not be stored.
    /// The next one is not before `pause_ms` milliseconds, up to an hour.
    pub fn failed(&mut self, error: ScheduleError, pause_ms: u64, now: Timestamp, chance: f64) {
        self.last_poll = Some(now);
        self.last_error = Some(error);
        self.failures = self.failures.saturating_add(1);
        self.next = self.after(pause_ms, now, chance);
    }

    fn after(&self, pause_ms: u64, now: Timestamp, chance: f64) -> Timestamp {
        let slower = 2_u64
            .checked_pow(self.failures)
            .map_or(SLOWER_MAX, |slower| slower.min(SLOWER_MAX));
        let interval_ms = self.poll_ms.saturating_mul(slower);
        let jittered = interval_ms as f64 * (1.0 + JITTER * (2.0 * unit(chance) - 1.0));
        now.plus_ms((jittered as u64).max(pause_ms.min(PAUSE_MS_MAX)))
    }
}

fn unit(chance: f64) -> f64 {
    if chance.is_finite() {
        chance.clamp(0.0, 1.0)
    } else {
        0.5
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Cursor, Warning};

    const MINUTE: u64 = 60_000;

    fn fine(not_before: Option<Timestamp>, warnings: Vec<Warning>) -> Polled {
        Polled {
            events: Vec::new(),
            cursor: Cursor::default(),
            warnings,
            not_before,
        }
    }

    fn failed(retry_after_ms: Option<u64>) -> Error {
        Error::Throttled {
            what: "registry.example".to_owned(),
            retry_after_ms,
        }
    }

    #[test]
    fn first_polls_are_spread_over_one_interval() {
        let now = Timestamp(1_000);
        assert!(Schedule::new(MINUTE, now, 0.0).is_due(now));
        let half = Schedule::new(MINUTE, now, 0.5);
        assert_eq!(half.next, now.plus_ms(MINUTE / 2));
        assert!(!half.is_due(now));
    }

    #[test]
    fn failures_double_the_interval_up_to_ten_times() {
        let mut schedule = Schedule::new(MINUTE, Timestamp(0), 0.0);
        let now = Timestamp(5);
        let mut intervals = Vec::new();
        for _ in 0..80 {
            schedule.polled(&Err(failed(None)), now, 0.5);
            intervals.push(schedule.next.ms_since(now) / MINUTE);
        }
        assert_eq!(intervals[..5], [2, 4, 8, 10, 10]);
        assert_eq!(intervals[79], 10);
        assert_eq!(schedule.failures, 80);
        assert!(schedule.last_error.as_ref().is_some_and(|e| e.passing));
        assert_eq!(schedule.last_success, None);

        schedule.polled(
            &Ok(fine(None, vec![Warning::Empty { polls: 1, of: 3 }])),
            now,
            0.5,
        );
        assert_eq!(schedule.next, now.plus_ms(MINUTE));
        assert_eq!((schedule.failures, &schedule.last_error), (0, &None));
        assert_eq!(schedule.warnings.len(), 1);
    }

    #[test]
    fn a_pause_that_was_asked_for_is_kept_within_reason() {
        let now = Timestamp(5);
        let mut schedule = Schedule::new(MINUTE, now, 0.0);
        for (asked, expected) in [
            (1, MINUTE * 2),
            (MINUTE * 7, MINUTE * 7),
            (u64::MAX, PAUSE_MS_MAX),
        ] {
            schedule.failures = 0;
            schedule.polled(&Err(failed(Some(asked))), now, 0.5);
            assert_eq!(schedule.next, now.plus_ms(expected), "{asked}");
        }
        schedule.polled(
            &Ok(fine(Some(now.plus_ms(MINUTE * 9)), Vec::new())),
            now,
            0.5,
        );
        assert_eq!(schedule.next, now.plus_ms(MINUTE * 9));
    }

    proptest! {
        #[test]
        fn the_next_poll_is_never_far_nor_in_the_past(
            poll_ms in 1_000_u64..86_400_000, now in 0_u64..4_000_000_000_000, chance in any::<f64>(),
            failures in 0_u32..200,
        ) {
            let now = Timestamp(now);
            let mut schedule = Schedule::new(poll_ms, now, chance);
            prop_assert!(schedule.next.ms_since(now) <= poll_ms);
            schedule.failures = failures;
            schedule.polled(&Err(failed(None)), now, chance);
            let waits = schedule.next.ms_since(now);
            prop_assert!(waits >= poll_ms * 18 / 10 - 1 && waits <= poll_ms * 11, "{waits}");
        }
    }
}
