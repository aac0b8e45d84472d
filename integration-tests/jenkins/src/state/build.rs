//! Builds and how they go on with time.

use std::collections::BTreeMap;

use super::{Force, Kind, Script};

/// A build that started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub number: u64,
    pub queue_id: u64,
    pub path: Vec<String>,
    pub kind: Kind,
    pub parameters: BTreeMap<String, String>,
    pub script: Script,
    pub queued_ms: u64,
    pub start_ms: u64,
    /// When the result was fixed.
    pub end_ms: Option<u64>,
    pub finalized: bool,
    pub aborted: bool,
    pub description: Option<String>,
}

impl Build {
    /// `building` of the API.
    pub const fn is_building(&self) -> bool {
        self.end_ms.is_none()
    }

    /// `result` of the API.
    pub fn result(&self, now_ms: u64) -> Option<&str> {
        if self.aborted && self.end_ms.is_some() {
            return Some("ABORTED");
        }
        let early = self.start_ms + self.script.duration_ms - self.script.result_early_ms;
        let shown = self.end_ms.is_some() || (self.script.result_early_ms > 0 && now_ms >= early);
        shown.then_some(self.script.result.as_str())
    }

    /// `duration` of the API: 0 while it runs.
    pub fn duration_ms(&self) -> u64 {
        self.end_ms.map_or(0, |end| end - self.start_ms)
    }

    /// The next moment at which something changes by itself.
    pub(super) fn next_ms(&self) -> Option<u64> {
        match self.end_ms {
            None => Some(self.start_ms + self.script.duration_ms),
            Some(end) if !self.finalized => Some(end + self.script.finalize_ms),
            Some(_) => None,
        }
    }

    /// Stops it; false when this way is too mild.
    pub(super) fn stop(&mut self, how: Force, now_ms: u64) -> bool {
        if self.end_ms.is_some() {
            return true;
        }
        if how < self.script.stopped_by {
            return false;
        }
        self.aborted = true;
        self.end_ms = Some(now_ms);
        true
    }

    /// What the log holds by now: it grows evenly while the build runs.
    pub fn console(&self, now_ms: u64) -> &[u8] {
        let all = self.script.console.as_bytes();
        if self.finalized {
            return all;
        }
        let past = now_ms
            .saturating_sub(self.start_ms)
            .min(self.script.duration_ms);
        let share = all.len() as u64 * past / self.script.duration_ms.max(1);
        &all[..share as usize]
    }
}
