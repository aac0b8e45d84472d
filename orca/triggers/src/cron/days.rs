//! The days of a month that fire.

use jiff::civil::Date;

use super::{
    error::Error,
    field::{DAY, Range, WEEKDAY},
};

/// One part of a day field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Day {
    /// Every day.
    Any,
    /// `1-5`, `*/2`.
    Of(Range),
    /// `L-n`: so many days before the last; 0 is the last day.
    BeforeLast(u16),
    /// `nW`: the weekday nearest to a day, in the same month. A month without that day has none.
    Nearest(u16),
    /// `LW`, `L-nW`: the weekday nearest to so many days before the last.
    NearestLast(u16),
    /// `1-5` or `MON-FRI` as days of the week, 1 is Sunday.
    Weekdays(Range),
    /// `6L`: the last of a day of the week.
    LastWeekday(u16),
    /// `6#3`: the third of a day of the week. A month without it has none.
    NthWeekday(u16, u16),
}

impl Day {
    /// Reads a part of the day-of-month field.
    pub(super) fn of_month(part: &str, id: &str) -> Result<Self, Error> {
        if let Some(rest) = part.strip_prefix('L') {
            let (offset, weekday) = match rest.strip_suffix('W') {
                Some(offset) => (offset, true),
                None => (rest, false),
            };
            let before = match offset.strip_prefix('-') {
                Some(number) => DAY.value(number, part)?,
                None if offset.is_empty() => 0,
                None => {
                    return Err(
                        DAY.wrong(part, "after `L` only `W` or `-` with a number may stand")
                    );
                }
            };
            if before > 30 {
                return Err(DAY.wrong(part, "no month has a day that far before its last"));
            }
            return Ok(if weekday {
                Self::NearestLast(before)
            } else {
                Self::BeforeLast(before)
            });
        }
        if let Some(day) = part.strip_suffix('W') {
            return DAY.value(day, part).map(Self::Nearest);
        }
        if part == "*" {
            return Ok(Self::Any);
        }
        DAY.range(part, id).map(Self::Of)
    }

    /// Reads a part of the day-of-week field.
    pub(super) fn of_week(part: &str, id: &str) -> Result<Self, Error> {
        if part == "*" {
            return Ok(Self::Any);
        }
        if part == "L" {
            return Ok(Self::Weekdays(Range::only(7)));
        }
        if let Some((day, nth)) = part.split_once('#') {
            let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
            let nth = nth.ok_or_else(|| {
                WEEKDAY.wrong(part, "after `#` a number from 1 to 5 has to stand")
            })?;
            return Ok(Self::NthWeekday(WEEKDAY.value(day, part)?, nth));
        }
        if let Some(day) = part.strip_suffix('L') {
            return WEEKDAY.value(day, part).map(Self::LastWeekday);
        }
        WEEKDAY.range(part, id).map(Self::Weekdays)
    }

    /// The days of a month, bit 1 for the first.
    pub(super) fn mask(self, year: i16, month: i8) -> u32 {
        let Ok(first) = Date::new(year, month, 1) else {
            return 0;
        };
        let last = first.days_in_month() as u16;
        let bit = |day: u16| {
            if (1..=last).contains(&day) {
                1 << day
            } else {
                0
            }
        };
        // 1 is Sunday
        let weekday = |day: u16| (first.weekday().to_sunday_zero_offset() as u16 + day - 1) % 7 + 1;
        let all = |wanted: u16| (1..=last).filter(move |day| weekday(*day) == wanted);
        match self {
            Self::Any => (1..=last).map(bit).sum(),
            Self::Of(range) => range.values(DAY).fold(0, |mask, day| mask | bit(day)),
            Self::BeforeLast(before) => bit(last.saturating_sub(before)),
            Self::Nearest(day) if day <= last => bit(nearest(day, last, weekday(day))),
            Self::NearestLast(before) if before < last => {
                bit(nearest(last - before, last, weekday(last - before)))
            }
            Self::Nearest(_) | Self::NearestLast(_) => 0,
            Self::Weekdays(range) => range.values(WEEKDAY).fold(0, |mask, wanted| {
                all(wanted).fold(mask, |mask, day| mask | bit(day))
            }),
            Self::LastWeekday(wanted) => all(wanted).next_back().map_or(0, bit),
            Self::NthWeekday(wanted, nth) => all(wanted).nth(usize::from(nth) - 1).map_or(0, bit),
        }
    }
}

/// The weekday nearest to a day that is the `weekday`th of its week, without leaving the month.
const fn nearest(day: u16, last: u16, weekday: u16) -> u16 {
    match weekday {
        7 if day == 1 => 3,
        7 => day - 1,
        1 if day == last => day - 2,
        1 => day + 1,
        _ => day,
    }
}
