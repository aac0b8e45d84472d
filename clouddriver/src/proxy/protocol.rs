//! What is said on the control socket: one JSON line each way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::routing::{Metrics, Table};

/// A request of clouddriver.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "command")]
pub enum Command {
    /// Replaces the table; the answer has the ports of all listeners.
    Apply { table: Table },
    /// Waits until nothing is in flight to these targets, at most `timeout_ms`; the answer has what
    /// is left.
    Idle {
        targets: Vec<String>,
        timeout_ms: u64,
    },
    /// Cuts what is in flight to these targets; the answer has how many that were.
    Cut { targets: Vec<String> },
    /// Requests so far, by server group.
    Metrics,
    /// Ends the proxy.
    Stop,
}

/// What the proxy answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Answer {
    /// What could not be done, in a sentence each.
    pub problems: Vec<String>,
    /// Listener -> port.
    pub ports: BTreeMap<String, u16>,
    pub in_flight: u64,
    pub cut: u64,
    /// Server group -> requests so far.
    pub metrics: BTreeMap<String, Metrics>,
}
