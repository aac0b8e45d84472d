//! When an instance that ended is started again.

use kork_model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an end calls for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    Never,
    /// Not after exit code 0.
    #[serde(alias = "onFailure", alias = "on_failure")]
    OnFailure,
    #[default]
    Always,
}

/// The policy with its rhythm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Restart {
    pub policy: Policy,
    /// Wait before the first restart; doubles with each, milliseconds.
    pub backoff_ms: u64,
    pub backoff_ms_max: u64,
    /// An instance that ran this long starts again at the first wait, milliseconds.
    pub reset_after_ms: u64,
    /// This many ends within `crash_loop_window_ms` make a crash loop.
    pub crash_loop_ends: u32,
    pub crash_loop_window_ms: u64,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: Policy::Always,
            backoff_ms: 500,
            backoff_ms_max: 60_000,
            reset_after_ms: 60_000,
            crash_loop_ends: 3,
            crash_loop_window_ms: 120_000,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Exit {
    Code {
        code: i32,
    },
    Signal {
        signal: i32,
    },
    /// It ended while nobody was there to be told how.
    Unknown,
    /// It could not be started at all.
    NotStarted,
}

impl Exit {
    /// Exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code { code: 0 }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code { code } => write!(f, "ended with exit code {code}"),
            Self::Signal { signal } => write!(f, "was ended by signal {signal}"),
            Self::Unknown => {
                f.write_str("ended with an unknown exit code while clouddriver was away")
            }
            Self::NotStarted => f.write_str("could not be started"),
        }
    }
}

/// The ends of one instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Ends in a row without a long run between.
    row: u32,
    ends: Vec<Timestamp>,
    pub restarts: u32,
}

/// What to do after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays down.
    Stay,
    /// Start it again at this moment.
    At(Timestamp),
}

impl History {
    /// Takes an end at `now` of a run that began at `started`.
    pub fn ended(
        &mut self,
        now: Timestamp,
        started: Timestamp,
        exit: Exit,
        restart: &Restart,
    ) -> Verdict {
        if now.ms_since(started) >= restart.reset_after_ms {
            self.row = 0;
        }
        self.ends
            .retain(|end| now.ms_since(*end) < restart.crash_loop_window_ms);
        self.ends.push(now);
        let again = match restart.policy {
            Policy::Never => false,
            Policy::OnFailure => !exit.is_success(),
            Policy::Always => true,
        };
        if !again {
            return Verdict::Stay;
        }
        let doubled = restart.backoff_ms.saturating_mul(1_u64 << self.row.min(32));
        self.row = self.row.saturating_add(1);
        self.restarts = self.restarts.saturating_add(1);
        Verdict::At(now.plus_ms(doubled.min(restart.backoff_ms_max)))
    }

    /// It ended too often in too short a time.
    pub fn is_crash_loop(&self, now: Timestamp, restart: &Restart) -> bool {
        let recent = |end: &&Timestamp| now.ms_since(**end) < restart.crash_loop_window_ms;
        self.ends.iter().filter(recent).count() >= restart.crash_loop_ends.max(1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Exit = Exit::Code { code: 1 };

    #[test]
    fn waits_double_up_to_the_limit_and_begin_again_after_a_long_run() {
        let restart = Restart {
            backoff_ms: 100,
            backoff_ms_max: 350,
            reset_after_ms: 1000,
            ..Restart::default()
        };
        let mut history = History::default();
        let mut now = Timestamp(0);
        for wait in [100, 200, 350, 350] {
            assert_eq!(
                history.ended(now, now, FAILED, &restart),
                Verdict::At(now.plus_ms(wait))
            );
            now = now.plus_ms(10);
        }
        let later = now.plus_ms(5000);
        assert_eq!(
            history.ended(later, now, FAILED, &restart),
            Verdict::At(later.plus_ms(100))
        );
        assert_eq!(history.restarts, 5);
    }

    #[test]
    fn the_policy_decides() {
        let zero = Exit::Code { code: 0 };
        for (policy, exit, again) in [
            (Policy::Never, FAILED, false),
            (Policy::OnFailure, zero, false),
            (Policy::OnFailure, Exit::Signal { signal: 9 }, true),
            (Policy::OnFailure, Exit::Unknown, true),
            (Policy::Always, zero, true),
        ] {
            let restart = Restart {
                policy,
                ..Restart::default()
            };
            let verdict = History::default().ended(Timestamp(0), Timestamp(0), exit, &restart);
            assert_eq!(verdict != Verdict::Stay, again, "{policy:?} {exit:?}");
        }
    }

    #[test]
    fn a_crash_loop_is_many_ends_in_a_short_time() {
        let restart = Restart {
            crash_loop_ends: 3,
            crash_loop_window_ms: 1000,
            ..Restart::default()
        };
        let mut history = History::default();
        for at in [0, 400, 1100] {
            history.ended(Timestamp(at), Timestamp(at), FAILED, &restart);
        }
        assert!(
            !history.is_crash_loop(Timestamp(1100), &restart),
            "the first is too long ago"
        );
        history.ended(Timestamp(1200), Timestamp(1200), FAILED, &restart);
        assert!(history.is_crash_loop(Timestamp(1200), &restart));
        assert!(!history.is_crash_loop(Timestamp(5000), &restart));
    }
}
