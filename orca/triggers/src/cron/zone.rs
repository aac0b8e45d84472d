//! From local times to moments, across changes of the clock.

use jiff::{
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use kork_model::Timestamp;

use super::calendar::Calendar;

/// Most changes of the clock that are looked at for one fire time: four a year until 2099, and then some.
const CHANGES_MAX: usize = 1000;

/// A stretch of time in which the clock does not change.
struct Stretch {
    offset: Offset,
    /// The first moment after it, and the local time that it would have been.
    end: Option<(jiff::Timestamp, DateTime)>,
    /// The local time that the stretch before ended with.
    before: Option<DateTime>,
}

impl Stretch {
    fn at(zone: &TimeZone, moment: jiff::Timestamp) -> Option<Self> {
        let offset = zone.to_offset(moment);
        let second = jiff::SignedDuration::from_secs(1);
        let end = zone
            .following(moment)
            .next()
            .map(|change| change.timestamp());
        let start = zone.preceding(moment.checked_add(second).ok()?).next();
        let before = start.and_then(|change| {
            let last = zone.to_offset(change.timestamp().checked_sub(second).ok()?);
            Some(last.to_datetime(change.timestamp()))
        });
        Some(Self {
            offset,
            end: end.map(|end| (end, offset.to_datetime(end))),
            before,
        })
    }
}

pub(super) fn next_after(
    calendar: &Calendar,
    zone: &TimeZone,
    moment: Timestamp,
) -> Option<Timestamp> {
    let second = i64::try_from(moment.millis() / 1000).ok()?;
    let moment = jiff::Timestamp::from_second(second).ok()?;
    let mut stretch = Stretch::at(zone, moment)?;
    let next = jiff::Timestamp::from_second(second + 1).ok()?;
    let mut from = stretch.offset.to_datetime(next);
    for _ in 0..CHANGES_MAX {
        if let (true, Some(before)) = (calendar.names_hours, stretch.before) {
            // what was before the clock went back does not fire again
            from = from.max(before);
        }
        let local = calendar.next_local(from)?;
        let Some((end, end_local)) = stretch.end.filter(|(_, end)| local >= *end) else {
            return stamp(stretch.offset.to_timestamp(local).ok()?);
        };
        stretch = Stretch::at(zone, end)?;
        let start_local = stretch.offset.to_datetime(end);
        let is_in_gap = (end_local..start_local).contains(&local);
        if is_in_gap && !calendar.every_hour {
            return stamp(end);
        }
        from = start_local;
    }
    None
}

fn stamp(moment: jiff::Timestamp) -> Option<Timestamp> {
    u64::try_from(moment.as_millisecond()).ok().map(Timestamp)
}
