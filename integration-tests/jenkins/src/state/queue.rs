//! Items of the queue.

use std::collections::BTreeMap;

/// How far an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemState {
    /// In the quiet period until this moment.
    Waiting { until_ms: u64 },
    /// Another build of the job has to end first.
    Blocked,
    /// Only an executor is missing.
    Buildable,
    /// Out of the queue: it became a build, or was cancelled. Forgotten a while after `left_ms`.
    Left { left_ms: u64, number: Option<u64> },
}

/// A request to build that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub id: u64,
    /// Names of the folders and of the job.
    pub path: Vec<String>,
    pub parameters: BTreeMap<String, String>,
    pub since_ms: u64,
    pub state: ItemState,
}

impl Item {
    /// It may still become a build.
    pub const fn is_queued(&self) -> bool {
        !matches!(self.state, ItemState::Left { .. })
    }
}
