//! An expression as sets of local times, without any time zone.

use jiff::civil::{Date, DateTime, Time};

use super::{
    EXPRESSION_BYTES_MAX,
    days::Day,
    error::Error,
    field::{HOUR, Kind, MINUTE, MONTH, Range, SECOND, YEAR, YEAR_MAX},
};

#[derive(Debug, Clone)]
pub(super) struct Calendar {
    pub seconds: Vec<Range>,
    pub minutes: Vec<Range>,
    pub hours: Vec<Range>,
    /// Of whichever day field is not `?`.
    pub days: Vec<Day>,
    pub months: Vec<Range>,
    pub years: Vec<Range>,
    second_set: u64,
    minute_set: u64,
    hour_set: u64,
    month_set: u64,
    /// Whether the expression names its hours: these fire once a day each.
    pub names_hours: bool,
    /// Whether it fires in every hour of the day.
    pub every_hour: bool,
}

impl Calendar {
    pub(super) fn parse(expression: &str, id: &str) -> Result<Self, Error> {
        if expression.len() > EXPRESSION_BYTES_MAX {
            return Err(Error::Length {
                max: EXPRESSION_BYTES_MAX,
            });
        }
        let upper = expression.to_ascii_uppercase();
        let fields: Vec<&str> = upper.split_whitespace().collect();
        let &[second, minute, hour, day, month, weekday, ref rest @ ..] = &fields[..] else {
            return Err(field_count(expression, &fields));
        };
        let year = match rest {
            [] => "*",
            [year] => year,
            _ => return Err(field_count(expression, &fields)),
        };
        let list = |kind: Kind, field: &str| {
            field
                .split(',')
                .map(|part| kind.range(part, id))
                .collect::<Result<Vec<_>, _>>()
        };
        let (seconds, minutes, hours) = (
            list(SECOND, second)?,
            list(MINUTE, minute)?,
            list(HOUR, hour)?,
        );
        let months = list(MONTH, month)?;
        let hour_set = set(&hours, HOUR);
        let every_hour = hour_set.count_ones() == 24;
        Ok(Self {
            second_set: set(&seconds, SECOND),
            minute_set: set(&minutes, MINUTE),
            hour_set,
            month_set: set(&months, MONTH),
            days: days(day, weekday, id)?,
            years: list(YEAR, year)?,
            names_hours: !every_hour && !hours.iter().any(|range| range.open),
            every_hour,
            seconds,
            minutes,
            hours,
            months,
        })
    }

    /// The first local time that fires, from a moment on with it.
    pub(super) fn next_local(&self, from: DateTime) -> Option<DateTime> {
        let today = from.date();
        match self.time_from(from.time()) {
            Some(time) if self.mask(today.year(), today.month()) >> today.day() & 1 == 1 => {
                Some(today.to_datetime(time))
            }
            _ => {
                let first = self.time_from(Time::midnight())?;
                Some(self.next_date(today.tomorrow().ok()?)?.to_datetime(first))
            }
        }
    }

    /// The first day that fires, from a day on with it.
    fn next_date(&self, from: Date) -> Option<Date> {
        let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
        while year <= YEAR_MAX as i16 {
            let left = self.mask(year, month) >> day << day;
            if left != 0 {
                return Date::new(year, month, left.trailing_zeros() as i8).ok();
            }
            (month, day) = (month + 1, 1);
            if month > 12 || !self.has_year(year) {
                (year, month) = (year + 1, 1);
            }
        }
        None
    }

    /// The days of a month that fire, bit 1 for the first.
    fn mask(&self, year: i16, month: i8) -> u32 {
        if !self.has_year(year) || !has(self.month_set, month as u16) {
            return 0;
        }
        self.days
            .iter()
            .fold(0, |mask, day| mask | day.mask(year, month))
    }

    fn has_year(&self, year: i16) -> bool {
        self.years.iter().any(|range| {
            let year = year as u16;
            (range.from..=range.to).contains(&year)
                && (year - range.from).is_multiple_of(range.step)
        })
    }

    /// The first time of a day that fires, from a time on with it.
    fn time_from(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (
            from.hour() as u16,
            from.minute() as u16,
            from.second() as u16,
        );
        let first = |set: u64| first_from(set, 0);
        let build = |h: u16, m: u16, s: u16| Time::new(h as i8, m as i8, s as i8, 0).ok();
        if has(self.hour_set, hour) {
            if let (true, Some(second)) = (
                has(self.minute_set, minute),
                first_from(self.second_set, second),
            ) {
                return build(hour, minute, second);
            }
            if let Some(minute) = first_from(self.minute_set, minute + 1) {
                return build(hour, minute, first(self.second_set)?);
            }
        }
        let hour = first_from(self.hour_set, hour + 1)?;
        build(hour, first(self.minute_set)?, first(self.second_set)?)
    }
}

fn field_count(expression: &str, fields: &[&str]) -> Error {
    let hint = match fields {
        [minute, hour, day, month, "*"] => format!("; perhaps `0 {minute} {hour} {day} {month} ?`"),
        [minute, hour, "*", month, weekday] => {
            format!("; perhaps `0 {minute} {hour} ? {month} {weekday}`, where 1 is Sunday")
        }
        _ => String::new(),
    };
    Error::FieldCount {
        text: expression.to_owned(),
        found: fields.len(),
        hint,
    }
}

/// One of the two fields says which days; the other one is `?`, or `*`, which says nothing.
fn days(month: &str, week: &str, id: &str) -> Result<Vec<Day>, Error> {
    let by_month = || {
        month
            .split(',')
            .map(|part| Day::of_month(part, id))
            .collect()
    };
    let by_week = || week.split(',').map(|part| Day::of_week(part, id)).collect();
    match (month, week) {
        ("?", "?") => Err(Error::Days {
            month: month.to_owned(),
            week: week.to_owned(),
        }),
        (_, "?" | "*") if month != "?" => by_month(),
        ("?" | "*", _) => by_week(),
        (month, week) => {
            // what is wrong in one of them is said first
            let _: Vec<Day> = by_month()?;
            let _: Vec<Day> = by_week()?;
            Err(Error::Days {
                month: month.to_owned(),
                week: week.to_owned(),
            })
        }
    }
}

fn set(ranges: &[Range], kind: Kind) -> u64 {
    let values = ranges.iter().flat_map(|range| range.values(kind));
    values.fold(0, |set, value| set | 1 << value)
}

const fn has(set: u64, value: u16) -> bool {
    set >> value & 1 == 1
}

fn first_from(set: u64, from: u16) -> Option<u16> {
    let left = set.checked_shr(u32::from(from))?;
    (left != 0).then(|| from + left.trailing_zeros() as u16)
}
