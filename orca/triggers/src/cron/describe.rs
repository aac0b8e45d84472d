//! A schedule as a sentence: `at 02:30 on Monday to Friday`.

use kork_model::time::MONTHS;

use super::{
    calendar::Calendar,
    days::Day,
    field::{Kind, MINUTE, Range, SECOND},
};

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
/// Most times of a day that are listed one by one.
const TIMES_MAX: usize = 6;

pub(super) fn sentence(calendar: &Calendar) -> String {
    let mut parts = vec![time(calendar), days(&calendar.days)];
    if !is_any(&calendar.months) {
        let month = |value: u16| MONTHS[usize::from(value - 1)].to_owned();
        parts.push(format!("in {}", values(&calendar.months, "month", month)));
    }
    if !is_any(&calendar.years) {
        parts.push(format!(
            "in {}",
            values(&calendar.years, "year", |year| year.to_string())
        ));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

fn time(calendar: &Calendar) -> String {
    let Calendar {
        seconds,
        minutes,
        hours,
        ..
    } = calendar;
    if let (Some(second), Some(minute)) = (single(seconds), single(minutes)) {
        let singles: Option<Vec<u16>> = hours
            .iter()
            .map(|hour| single(std::slice::from_ref(hour)))
            .collect();
        if let Some(hours) = singles.filter(|hours| hours.len() <= TIMES_MAX) {
            let clock = |hour: u16| match second {
                0 => format!("{hour:02}:{minute:02}"),
                _ => format!("{hour:02}:{minute:02}:{second:02}"),
            };
            return format!("at {}", listed(hours.into_iter().map(clock).collect()));
        }
    }
    let mut parts = Vec::new();
    if single(seconds) != Some(0) {
        parts.push(every(seconds, SECOND));
    }
    if !is_any(minutes) || parts.is_empty() {
        parts.push(every(minutes, MINUTE));
    }
    if is_any(hours) {
        if single(minutes).is_some() {
            parts.push("of every hour".to_owned());
        }
    } else {
        let hour = |hour: u16| format!("{hour:02}");
        parts.push(format!("in {}", values(hours, "hour", hour)));
    }
    parts.join(" ")
}

/// `every minute`, `every 5 minutes`, `at minute 3`, `at minutes 1, 2 and 10 to 20`.
fn every(ranges: &[Range], kind: Kind) -> String {
    let name = kind.name;
    match ranges {
        [range] if range.open && range.step == 1 && range.from == 0 => format!("every {name}"),
        [range] if range.open && range.from == 0 => format!("every {} {name}s", range.step),
        [range] if range.open && range.step > 1 => {
            format!("every {} {name}s from {name} {}", range.step, range.from)
        }
        [range] if range.from == range.to => format!("at {name} {}", range.from),
        ranges => format!(
            "at {name}s {}",
            values(ranges, name, |value| value.to_string())
        ),
    }
}

fn days(days: &[Day]) -> String {
    if days.contains(&Day::Any) {
        return "every day".to_owned();
    }
    let weekday = |value: u16| DAYS[usize::from(value - 1)].to_owned();
    let (mut plain, mut phrases) = (Vec::new(), Vec::new());
    let mut of_week = Vec::new();
    for day in days {
        phrases.push(match *day {
            Day::Any => continue,
            Day::Of(range) => {
                plain.push(range);
                continue;
            }
            Day::Weekdays(range) => {
                of_week.push(range);
                continue;
            }
            Day::BeforeLast(0) => "the last day of the month".to_owned(),
            Day::BeforeLast(1) => "the day before the last of the month".to_owned(),
            Day::BeforeLast(n) => format!("the day that is {n} days before the last of the month"),
            Day::Nearest(day) => format!("the weekday nearest to day {day} of the month"),
            Day::NearestLast(0) => "the weekday nearest to the last day of the month".to_owned(),
            Day::NearestLast(n) => {
                format!("the weekday nearest to {n} days before the last of the month")
            }
            Day::LastWeekday(day) => format!("the last {} of the month", weekday(day)),
            Day::NthWeekday(day, nth) => {
                let nth = ["first", "second", "third", "fourth", "fifth"][usize::from(nth - 1)];
                format!("the {nth} {} of the month", weekday(day))
            }
        });
    }
    if !plain.is_empty() {
        let days = values(&plain, "day", |day| day.to_string());
        let named = if days.starts_with("every") {
            days
        } else {
            format!("day {days}")
        };
        phrases.push(format!("{named} of the month"));
    }
    if !of_week.is_empty() {
        phrases.push(values(&of_week, "day of the week", weekday));
    }
    format!("on {}", listed(phrases))
}

/// `3`, `1 to 5`, `every 2nd month from 1 to 11`.
fn values(ranges: &[Range], name: &str, shown: impl Fn(u16) -> String) -> String {
    let one = |range: &Range| {
        let (from, to) = (shown(range.from), shown(range.to));
        match range.step {
            _ if range.from == range.to => from,
            1 => format!("{from} to {to}"),
            step => format!("every {} {name} from {from} to {to}", ordinal(step)),
        }
    };
    listed(ranges.iter().map(one).collect())
}

fn ordinal(n: u16) -> String {
    let suffix = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

fn listed(mut all: Vec<String>) -> String {
    match all.pop() {
        Some(last) if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        Some(only) => only,
        None => String::new(),
    }
}

fn single(ranges: &[Range]) -> Option<u16> {
    match ranges {
        [range] if range.from == range.to && !range.open => Some(range.from),
        _ => None,
    }
}

fn is_any(ranges: &[Range]) -> bool {
    matches!(ranges, [range] if range.is_every)
}
