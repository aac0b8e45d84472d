//! `java.text.SimpleDateFormat` in UTC and English: the letters that pipelines use.

use jiff::civil::DateTime;
use kork_model::time::MONTHS;

use super::super::error::Result;
use super::illegal;
use super::time::{civil, millis};

/// Characters of a pattern.
const MAX_PATTERN_LENGTH: usize = 200;

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A piece of a pattern.
enum Piece {
    Literal(String),
    Field(char, usize),
}

fn pieces(pattern: &str) -> Result<Vec<Piece>> {
    if pattern.chars().count() > MAX_PATTERN_LENGTH {
        return Err(illegal(format!(
            "the pattern has more than {MAX_PATTERN_LENGTH} characters"
        )));
    }
    let mut pieces = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            let mut literal = String::new();
            loop {
                match chars.next() {
                    Some('\'') if chars.next_if_eq(&'\'').is_some() => literal.push('\''),
                    Some('\'') => break,
                    Some(c) => literal.push(c),
                    None => return Err(illegal(format!("a quote in '{pattern}' does not end"))),
                }
            }
            // Two quotes outside of a text are one.
            pieces.push(Piece::Literal(if literal.is_empty() {
                "'".into()
            } else {
                literal
            }));
        } else if c.is_ascii_alphabetic() {
            let mut count = 1;
            while chars.next_if_eq(&c).is_some() {
                count += 1;
            }
            pieces.push(Piece::Field(c, count));
        } else {
            pieces.push(Piece::Literal(c.to_string()));
        }
    }
    Ok(pieces)
}

/// Writes a moment.
pub(super) fn format(pattern: &str, ms: i64) -> Result<String> {
    let at = civil(ms);
    let mut text = String::new();
    for piece in pieces(pattern)? {
        match piece {
            Piece::Literal(literal) => text.push_str(&literal),
            Piece::Field(letter, count) => text.push_str(&field(at, letter, count)?),
        }
    }
    Ok(text)
}

fn named(name: &str, count: usize) -> String {
    if count >= 4 {
        name.to_owned()
    } else {
        name.chars().take(3).collect()
    }
}

fn field(at: DateTime, letter: char, count: usize) -> Result<String> {
    let number = |value: i64| format!("{value:0count$}");
    let weekday = at.weekday();
    Ok(match letter {
        'y' | 'u' | 'Y' if letter != 'u' => {
            let year = if letter == 'Y' {
                week_year(at)
            } else {
                i64::from(at.year())
            };
            if count == 2 {
                format!("{:02}", year.rem_euclid(100))
            } else {
                number(year)
            }
        }
        'M' | 'L' if count >= 3 => named(MONTHS[usize::from(at.month().unsigned_abs()) - 1], count),
        'M' | 'L' => number(at.month().into()),
        'd' => number(at.day().into()),
        'D' => number(at.day_of_year().into()),
        'E' => named(
            DAYS[usize::from(weekday.to_monday_zero_offset().unsigned_abs())],
            count,
        ),
        'u' => number(weekday.to_monday_one_offset().into()),
        'w' => number((i64::from(at.day_of_year()) + first_week_shift(at) - 1) / 7 + 1),
        'H' => number(at.hour().into()),
        'k' => number(if at.hour() == 0 { 24 } else { at.hour().into() }),
        'K' => number(i64::from(at.hour()) % 12),
        'h' => number(match i64::from(at.hour()) % 12 {
            0 => 12,
            hour => hour,
        }),
        'a' => if at.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'm' => number(at.minute().into()),
        's' => number(at.second().into()),
        'S' => number(at.millisecond().into()),
        'z' if count >= 4 => "Coordinated Universal Time".to_owned(),
        'z' => "UTC".to_owned(),
        'Z' => "+0000".to_owned(),
        'X' => "Z".to_owned(),
        'G' => "AD".to_owned(),
        other => {
            return Err(illegal(format!(
                "the pattern letter '{other}' is not known"
            )));
        }
    })
}

/// Days of the first week (which starts on a Sunday) that lie in the year before.
fn first_week_shift(at: DateTime) -> i64 {
    at.date()
        .first_of_year()
        .weekday()
        .to_sunday_zero_offset()
        .into()
}

/// In the American calendar of Java, the week that holds 1 January belongs to the new year.
fn week_year(at: DateTime) -> i64 {
    let last = at.date().last_of_year();
    let in_last_week =
        last.day_of_year() - at.day_of_year() <= i16::from(last.weekday().to_sunday_zero_offset());
    let ends_before_saturday = last.weekday().to_sunday_zero_offset() < 6;
    i64::from(at.year()) + i64::from(in_last_week && ends_before_saturday)
}

/// Reads a moment; text after the pattern's end is ignored, as Java does.
pub(super) fn parse(pattern: &str, text: &str) -> Result<i64> {
    let wrong = || illegal(format!("'{text}' does not have the form '{pattern}'"));
    let mut rest = text;
    let (mut year, mut month, mut day) = (1970_i64, 1_i64, 1_i64);
    let (mut hour, mut minute, mut second, mut ms, mut offset) = (0_i64, 0, 0, 0, 0);
    let mut afternoon = None;
    let all = pieces(pattern)?;
    for (at, piece) in all.iter().enumerate() {
        let (letter, count) = match piece {
            Piece::Literal(literal) => {
                rest = rest.strip_prefix(literal.as_str()).ok_or_else(wrong)?;
                continue;
            }
            Piece::Field(letter, count) => (*letter, *count),
        };
        // Only a number that touches another is cut at its width.
        let width = matches!(all.get(at + 1), Some(Piece::Field(..))).then_some(count);
        let value = match letter {
            'M' | 'L' if count >= 3 => name_at(&mut rest, &MONTHS).ok_or_else(wrong)? + 1,
            'E' => name_at(&mut rest, &DAYS).ok_or_else(wrong)?,
            'a' => name_at(&mut rest, &["AM", "PM"]).ok_or_else(wrong)?,
            'z' | 'Z' | 'X' => offset_at(&mut rest).ok_or_else(wrong)?,
            _ => number_at(&mut rest, width).ok_or_else(wrong)?,
        };
        match letter {
            'y' if count <= 2 && value < 100 => {
                year = if value < 70 {
                    2000 + value
                } else {
                    1900 + value
                }
            }
            'y' => year = value,
            'M' | 'L' => month = value,
            'd' => day = value,
            'H' | 'h' => hour = value,
            'k' | 'K' => hour = value % 24,
            'a' => afternoon = Some(value == 1),
            'm' => minute = value,
            's' => second = value,
            'S' => ms = value,
            'z' | 'Z' | 'X' => offset = value,
            'E' => {}
            other => return Err(illegal(format!("'{other}' cannot be read from a text"))),
        }
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    // Java is lenient: the 32nd of a month is the first of the next one.
    let months = year * 12 + month - 1;
    let first = jiff::civil::Date::new(
        i16::try_from(months.div_euclid(12)).map_err(|_| wrong())?,
        months.rem_euclid(12) as i8 + 1,
        1,
    )
    .map_err(|_| wrong())?;
    let start = millis(first.to_datetime(jiff::civil::Time::midnight()));
    let minutes = hour * 60 + minute - offset;
    Ok(start + (day - 1) * 86_400_000 + minutes * 60_000 + second * 1_000 + ms)
}

fn number_at(rest: &mut &str, width: Option<usize>) -> Option<i64> {
    *rest = rest.trim_start();
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let length = width.map_or(digits, |width| digits.min(width)).min(9);
    let value = rest[..length].parse().ok()?;
    *rest = &rest[length..];
    Some(value)
}

fn name_at(rest: &mut &str, names: &[&str]) -> Option<i64> {
    for (at, name) in names.iter().enumerate() {
        let short = &name[..name.len().min(3)];
        for candidate in [name, short] {
            let found = rest.get(..candidate.len());
            if found.is_some_and(|found| found.eq_ignore_ascii_case(candidate)) {
                *rest = &rest[candidate.len()..];
                return i64::try_from(at).ok();
            }
        }
    }
    None
}

/// Minutes east of Greenwich.
fn offset_at(rest: &mut &str) -> Option<i64> {
    for name in ["UTC", "GMT", "Z"] {
        if let Some(after) = rest.strip_prefix(name) {
            *rest = after;
            return Some(0);
        }
    }
    let sign = match rest.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    *rest = &rest[1..];
    let hours = number_at(rest, Some(2))?;
    *rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes = number_at(rest, Some(2)).unwrap_or(0);
    Some(sign * (hours * 60 + minutes))
}
