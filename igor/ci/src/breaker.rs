//! A circuit breaker: a server that fails is left alone for a while.

use serde::Serialize;

/// Failures in a row that open it.
pub const FAILURES_MAX: u32 = 5;
/// How long it stays open.
pub const OPEN_MS: u64 = 10_000;

/// What it is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum BreakerState {
    /// Calls go out; so many failed in a row.
    Closed { failures: u32 },
    /// Calls are refused until then.
    Open {
        #[serde(rename = "untilMs")]
        until_ms: u64,
    },
    /// One call is out that decides.
    Trying {
        #[serde(rename = "sinceMs")]
        since_ms: u64,
    },
}

/// Counts failures that are the server's: no answer, or a status from 500 on.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    state: BreakerState,
    /// How long a trial may take before another one is let out; its caller may have gone away.
    trial_ms: u64,
}

impl Breaker {
    pub(crate) const fn new(trial_ms: u64) -> Self {
        Self {
            state: BreakerState::Closed { failures: 0 },
            trial_ms,
        }
    }

    pub(crate) const fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether a call may go out; if not, milliseconds until it may.
    pub(crate) fn admit(&mut self, now_ms: u64) -> Result<(), u64> {
        let until_ms = match self.state {
            BreakerState::Closed { .. } => return Ok(()),
            BreakerState::Open { until_ms } => until_ms,
            BreakerState::Trying { since_ms } => since_ms + self.trial_ms,
        };
        if now_ms < until_ms {
            return Err(until_ms - now_ms);
        }
        self.state = BreakerState::Trying { since_ms: now_ms };
        Ok(())
    }

    /// What came of a call.
    pub(crate) const fn record(&mut self, now_ms: u64, well: bool) {
        self.state = match (well, self.state) {
            (true, _) => BreakerState::Closed { failures: 0 },
            (false, BreakerState::Closed { failures }) if failures + 1 < FAILURES_MAX => {
                BreakerState::Closed {
                    failures: failures + 1,
                }
            }
            (false, BreakerState::Closed { .. } | BreakerState::Trying { .. }) => {
                BreakerState::Open {
                    until_ms: now_ms.saturating_add(OPEN_MS),
                }
            }
            // A call that went out before it opened says nothing new.
            (false, open @ BreakerState::Open { .. }) => open,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_trial_decides() {
        let mut breaker = Breaker::new(30_000);
        for _ in 0..FAILURES_MAX - 1 {
            breaker.record(0, false);
        }
        breaker.record(0, true);
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.admit(0), Ok(()));
            breaker.record(0, false);
        }
        assert_eq!(breaker.admit(1), Err(OPEN_MS - 1));
        assert_eq!(breaker.admit(OPEN_MS), Ok(()));
        assert!(breaker.admit(OPEN_MS).is_err(), "only one is tried");
        breaker.record(OPEN_MS, false);
        assert_eq!(breaker.admit(2 * OPEN_MS), Ok(()));
        breaker.record(2 * OPEN_MS, true);
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
    }

    #[test]
    fn a_trial_whose_caller_went_away_is_followed_by_another() {
        let mut breaker = Breaker::new(30_000);
        (0..FAILURES_MAX).for_each(|_| breaker.record(0, false));
        assert_eq!(breaker.admit(OPEN_MS), Ok(()));
        assert!(breaker.admit(OPEN_MS + 29_999).is_err());
        assert_eq!(breaker.admit(OPEN_MS + 30_000), Ok(()));
    }

    proptest! {
        #[test]
        fn a_refusal_never_lasts_longer_than_it_says(steps in proptest::collection::vec((any::<bool>(), 0u64..40_000), 0..60)) {
            let mut breaker = Breaker::new(30_000);
            let mut now = 0;
            for (well, ms) in steps {
                now += ms;
                match breaker.admit(now) {
                    Ok(()) => breaker.record(now, well),
                    Err(wait) => {
                        prop_assert!(wait <= 30_000);
                        prop_assert_eq!(breaker.clone().admit(now + wait), Ok(()));
                    }
                }
            }
        }
    }
}
