//! Probes, and the state machine that makes "ready" out of their results.

use kork_model::Timestamp;
use serde::{Deserialize, Serialize};

/// Defaults of Kubernetes' probes, with a shorter period: a deployment on one machine is quick.
const PERIOD_MS: u64 = 1000;
const TIMEOUT_MS: u64 = 2000;
/// Consecutive failures that take an instance out of the traffic.
const FAILURE_THRESHOLD: u32 = 3;
/// Shortest period, milliseconds.
pub const PERIOD_MS_MIN: u64 = 20;

/// How an instance is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Probe {
    /// It runs.
    #[default]
    Running,
    /// GET answers 2xx or 3xx.
    Http { path: String, port: String },
    /// The port accepts a connection.
    Tcp { port: String },
    /// The command ends with 0.
    Exec { command: Vec<String> },
    /// A line of the output contains this text.
    Log { text: String },
}

/// A probe with its rhythm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    pub probe: Probe,
    pub initial_delay_ms: u64,
    pub period_ms: u64,
    pub timeout_ms: u64,
    pub success_threshold: u32,
    pub failure_threshold: u32,
    /// Successful for this long before it counts as ready.
    pub min_healthy_ms: u64,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            probe: Probe::Running,
            initial_delay_ms: 0,
            period_ms: PERIOD_MS,
            timeout_ms: TIMEOUT_MS,
            success_threshold: 1,
            failure_threshold: FAILURE_THRESHOLD,
            min_healthy_ms: 0,
        }
    }
}

/// What became of the probes so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Health {
    pub ready: bool,
    /// What the last probe said.
    pub message: String,
    successes: u32,
    failures: u32,
    /// First of the current row of successes.
    well_since: Option<Timestamp>,
}

impl Health {
    /// The state of an instance that was found running.
    pub fn known(ready: bool) -> Self {
        Self {
            ready,
            message: "taken over".to_owned(),
            ..Self::default()
        }
    }

    /// Takes one result; true when `ready` changed. An instance becomes ready after
    /// `success_threshold` successes in a row that span `min_healthy_ms`, and stops to be after
    /// `failure_threshold` failures in a row.
    pub fn observe(
        &mut self,
        now: Timestamp,
        check: &HealthCheck,
        result: Result<(), String>,
    ) -> bool {
        let before = self.ready;
        match result {
            Ok(()) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                let since = *self.well_since.get_or_insert(now);
                let long_enough = now.ms_since(since) >= check.min_healthy_ms;
                if self.successes >= check.success_threshold.max(1) && long_enough {
                    self.ready = true;
                }
                "ok".clone_into(&mut self.message);
            }
            Err(message) => {
                self.successes = 0;
                self.well_since = None;
                self.failures = self.failures.saturating_add(1);
                if self.failures >= check.failure_threshold.max(1) {
                    self.ready = false;
                }
                self.message = message;
            }
        }
        self.ready != before
    }

    /// Consecutive failures have reached the threshold: what liveness asks.
    pub fn has_failed(&self, check: &HealthCheck) -> bool {
        self.failures >= check.failure_threshold.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            success_threshold: 2,
            failure_threshold: 2,
            min_healthy_ms: 100,
            ..HealthCheck::default()
        }
    }

    #[test]
    fn ready_needs_a_row_of_successes_over_a_time() {
        let mut health = Health::default();
        assert!(!health.observe(Timestamp(0), &check(), Ok(())));
        assert!(
            !health.observe(Timestamp(50), &check(), Ok(())),
            "too early"
        );
        assert!(health.observe(Timestamp(100), &check(), Ok(())));
        assert!(health.ready);
    }

    #[test]
    fn a_failure_between_successes_starts_again() {
        let mut health = Health::default();
        health.observe(Timestamp(0), &check(), Ok(()));
        health.observe(Timestamp(90), &check(), Err("503".to_owned()));
        health.observe(Timestamp(110), &check(), Ok(()));
        assert!(!health.ready);
        assert!(!health.observe(Timestamp(150), &check(), Ok(())));
        assert!(health.observe(Timestamp(210), &check(), Ok(())));
    }

    #[test]
    fn one_failure_is_forgiven_two_are_not() {
        let mut health = Health::known(true);
        assert!(!health.observe(Timestamp(0), &check(), Err("a".to_owned())));
        assert!(health.ready);
        assert!(health.observe(Timestamp(1), &check(), Err("b".to_owned())));
        assert!(!health.ready && health.has_failed(&check()));
        assert_eq!(health.message, "b");
    }
}
