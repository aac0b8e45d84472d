//! When cron triggers fire: Quartz expressions, each in its own time zone.
//!
//! Six or seven fields: second, minute, hour, day of month, month, day of week (1 = Sunday), and a year.
//! `?` stands in one of the two day fields; `*` there counts as `?`. Understood are lists, ranges
//! (`22-2`, `FRI-MON` go over the end), steps (`*/5`, `3/10`, `10-40/5`), names of months and days, `L`,
//! `L-3`, `LW`, `15W`, `L-3W`, `6L`, `6#3`, and `H` in the first three fields: a fixed value that spreads
//! triggers by their id.
//!
//! **When clocks change.** An expression names its hours (`2`, `1-3`, `8,20`, `8-18/2`, `H`), or it does
//! not (`*`, `*/2`, `3/6`, all 24).
//!
//! - Clocks go forward: a time that does not exist that day fires at the first moment after the gap:
//!   `0 30 2 * * ?` fires at 03:00 where 02:00 to 03:00 is left out. Several times in one gap fire
//!   together, once, and together with what is due then anyway. Only what fires in every hour of the day
//!   leaves the gap out, since its next time is near.
//! - Clocks go back: a time that comes twice fires the first time only if the expression names its hours,
//!   and both times otherwise.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use kork_model::Timestamp;

mod calendar;
mod catch_up;
mod days;
mod describe;
mod error;
mod field;
mod fire;
mod zone;

pub use catch_up::{CATCH_UP_MAX, Policy, catch_up};
pub use error::Error;
pub use fire::CronTrigger;

use calendar::Calendar;

/// The time zone of triggers that name none, as in Spinnaker.
pub const DEFAULT_ZONE: &str = "America/Los_Angeles";
/// The rules that came with the program: what the machine has may be another version, or nothing.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
/// Longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 512;

/// When something fires, in one time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    calendar: Calendar,
    zone: TimeZone,
    zone_name: Box<str>,
}

impl Schedule {
    /// Reads an expression. `zone` is a name of the IANA database, whose rules are part of the program;
    /// `trigger_id` decides what `H` is.
    pub fn parse(expression: &str, zone: &str, trigger_id: &str) -> Result<Self, Error> {
        let calendar = Calendar::parse(expression, trigger_id)?;
        let time_zone = ZONES.get(zone.trim()).map_err(|source| Error::Zone {
            zone: zone.to_owned(),
            source,
        })?;
        Ok(Self {
            calendar,
            zone: time_zone,
            zone_name: Box::from(zone.trim()),
        })
    }

    /// The first fire time after a moment; `None` when there is none until the end of 2099.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        zone::next_after(&self.calendar, &self.zone, moment)
    }

    /// Fire times after `after` up to and with `until`, oldest first, at most `max`.
    pub fn fires_between(&self, after: Timestamp, until: Timestamp, max: usize) -> Vec<Timestamp> {
        let next = |at: &Timestamp| self.next_after(*at);
        std::iter::successors(self.next_after(after), next)
            .take_while(|at| *at <= until)
            .take(max)
            .collect()
    }

    /// The last fire time after `after` up to and with `until`.
    pub fn last_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let fires = |from: u64| self.next_after(Timestamp(from)).filter(|at| *at <= until);
        let (mut low, mut high) = (after.millis(), until.millis());
        let mut found = fires(low)?;
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match fires(middle) {
                Some(at) => (low, found) = (middle, at),
                None => high = middle,
            }
        }
        Some(found)
    }

    /// The schedule in a sentence, with its time zone.
    pub fn describe(&self) -> String {
        format!(
            "{} ({})",
            describe::sentence(&self.calendar),
            self.zone_name
        )
    }
}

/// Describes a good expression in a sentence; says what is wrong with a bad one.
pub fn check(expression: &str) -> Result<String, Error> {
    let schedule = Schedule::parse(expression, DEFAULT_ZONE, "")?;
    Ok(describe::sentence(&schedule.calendar))
}

#[cfg(test)]
mod tests;
