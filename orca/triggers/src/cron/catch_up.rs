//! Fire times that passed while nobody was there.

use kork_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::Schedule;

/// Most fire times that are made up for at once; the newest are kept.
pub const CATCH_UP_MAX: usize = 100;

/// What becomes of missed fire times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// They are gone, as in Spinnaker without compensation.
    None,
    /// The last one fires.
    #[default]
    Latest,
    /// All of the last so many milliseconds fire.
    #[serde(rename_all = "camelCase")]
    All { within_ms: u64 },
}

/// The missed fire times after `last_seen` up to and with `now` that are to fire, oldest first.
pub fn catch_up(
    schedule: &Schedule,
    last_seen: Timestamp,
    now: Timestamp,
    policy: Policy,
) -> Vec<Timestamp> {
    let (after, max) = match policy {
        Policy::None => return Vec::new(),
        Policy::Latest => (last_seen, 1),
        Policy::All { within_ms } => {
            let from = Timestamp(now.millis().saturating_sub(within_ms));
            (last_seen.max(from), CATCH_UP_MAX)
        }
    };
    let mut fires = Vec::new();
    let mut until = now;
    while let (true, Some(at)) = (fires.len() < max, schedule.last_between(after, until)) {
        fires.push(at);
        until = Timestamp(at.millis().saturating_sub(1));
    }
    fires.reverse();
    fires
}
