//! Moments and dates. There is one time zone, UTC, and one clock: the moment of the evaluation.

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use super::super::error::{ExpressionError, Result};
use super::super::eval::Evaluator;
use super::super::number::long;
use super::super::value::Val;
use super::{JavaType, date_format, illegal, now_ms};

/// `java.time.temporal.ChronoUnit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Unit {
    Millis,
    Seconds,
    Minutes,
    Hours,
    HalfDays,
    Days,
    Weeks,
    Months,
    Years,
}

impl Unit {
    const ALL: [(Self, &'static str, &'static str, i64); 9] = [
        (Self::Millis, "MILLIS", "Millis", 1),
        (Self::Seconds, "SECONDS", "Seconds", 1_000),
        (Self::Minutes, "MINUTES", "Minutes", 60_000),
        (Self::Hours, "HOURS", "Hours", 3_600_000),
        (Self::HalfDays, "HALF_DAYS", "HalfDays", 43_200_000),
        (Self::Days, "DAYS", "Days", 86_400_000),
        (Self::Weeks, "WEEKS", "Weeks", 604_800_000),
        // Months and years have no fixed length; a moment cannot be moved by them.
        (Self::Months, "MONTHS", "Months", 0),
        (Self::Years, "YEARS", "Years", 0),
    ];

    pub(in super::super) fn find(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|unit| unit.1 == name)
            .map(|unit| unit.0)
    }

    /// `plusDays`, `minusMonths`: the unit by the end of the method's name.
    fn of_method(ending: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|unit| unit.2 == ending)
            .map(|unit| unit.0)
    }

    fn row(self) -> (Self, &'static str, &'static str, i64) {
        Self::ALL
            .into_iter()
            .find(|unit| unit.0 == self)
            .expect("the table has every unit")
    }

    pub(in super::super) fn name(self) -> &'static str {
        self.row().1
    }

    pub(in super::super) fn label(self) -> &'static str {
        self.row().2
    }

    fn ms(self) -> Result<i64> {
        match self.row().3 {
            0 => Err(ExpressionError::evaluation(format!(
                "{} have no fixed length; use a LocalDate",
                self.label()
            ))),
            ms => Ok(ms),
        }
    }

    fn span(self, amount: i64) -> Result<Span> {
        let span = Span::new();
        let made = match self {
            Self::Millis => span.try_milliseconds(amount),
            Self::Seconds => span.try_seconds(amount),
            Self::Minutes => span.try_minutes(amount),
            Self::Hours => span.try_hours(amount),
            Self::HalfDays => span.try_hours(amount.saturating_mul(12)),
            Self::Days => span.try_days(amount),
            Self::Weeks => span.try_weeks(amount),
            Self::Months => span.try_months(amount),
            Self::Years => span.try_years(amount),
        };
        made.map_err(|e| illegal(format!("{amount} {} is too much: {e}", self.label())))
    }
}

/// `MONDAY` for 1.
pub(in super::super) fn day_name(day: u8) -> &'static str {
    const NAMES: [&str; 7] = [
        "MONDAY",
        "TUESDAY",
        "WEDNESDAY",
        "THURSDAY",
        "FRIDAY",
        "SATURDAY",
        "SUNDAY",
    ];
    NAMES[usize::from(day.clamp(1, 7)) - 1]
}

/// The moment in UTC; moments outside of the years that dates reach are clamped.
pub(super) fn civil(ms: i64) -> DateTime {
    let low = Timestamp::MIN.as_millisecond() + 1;
    let high = Timestamp::MAX.as_millisecond() - 1;
    let at = Timestamp::from_millisecond(ms.clamp(low, high)).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::UTC.to_datetime(at)
}

pub(super) fn millis(value: DateTime) -> i64 {
    Offset::UTC
        .to_timestamp(value)
        .map_or(0, Timestamp::as_millisecond)
}

fn fraction(ms: i16) -> String {
    if ms == 0 {
        String::new()
    } else {
        format!(".{ms:03}")
    }
}

/// `Instant.toString`.
pub(in super::super) fn instant_text(ms: i64) -> String {
    let value = civil(ms);
    format!(
        "{}T{:02}:{:02}:{:02}{}Z",
        value.date(),
        value.hour(),
        value.minute(),
        value.second(),
        fraction(value.millisecond())
    )
}

/// `LocalDateTime.toString`: seconds only when there are some.
pub(in super::super) fn local_date_time_text(value: DateTime) -> String {
    let start = format!("{}T{:02}:{:02}", value.date(), value.hour(), value.minute());
    if value.second() == 0 && value.millisecond() == 0 {
        return start;
    }
    format!(
        "{start}:{:02}{}",
        value.second(),
        fraction(value.millisecond())
    )
}

/// A day as the original writes it into a context: a list of its parts.
pub(in super::super) fn date_json(date: Date) -> Value {
    json!([date.year(), date.month(), date.day()])
}

/// A day and a time as a list of parts; seconds only when there are some.
pub(in super::super) fn local_date_time_json(value: DateTime) -> Value {
    let mut parts = vec![
        i32::from(value.year()),
        i32::from(value.month()),
        i32::from(value.day()),
        i32::from(value.hour()),
        i32::from(value.minute()),
    ];
    if value.second() > 0 || value.millisecond() > 0 {
        parts.push(i32::from(value.second()));
    }
    if value.millisecond() > 0 {
        parts.push(i32::from(value.millisecond()));
    }
    Value::from(parts)
}

/// `Date.toString`.
pub(in super::super) fn date_text(ms: i64) -> String {
    date_format::format("EEE MMM dd HH:mm:ss 'UTC' yyyy", ms).unwrap_or_default()
}

fn unreadable(kind: &str, text: &str, error: &jiff::Error) -> ExpressionError {
    illegal(format!("'{text}' is no {kind}: {error}"))
}

/// Static methods.
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    java: JavaType,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    let now = now_ms(evaluator);
    Ok(Some(match (java, name, arguments) {
        (JavaType::Instant, "now", []) => Val::Instant(now),
        (JavaType::Instant, "parse", [Val::Text(text)]) => {
            let at: Timestamp = text.parse().map_err(|e| unreadable("Instant", text, &e))?;
            Val::Instant(at.as_millisecond())
        }
        (JavaType::Instant, "ofEpochMilli", [Val::Int(_) | Val::Long(_)]) => {
            Val::Instant(long(&arguments[0]).unwrap_or(0))
        }
        (JavaType::Instant, "ofEpochSecond", [Val::Int(_) | Val::Long(_)]) => {
            Val::Instant(long(&arguments[0]).unwrap_or(0).saturating_mul(1_000))
        }
        (JavaType::LocalDate, "now", []) => Val::LocalDate(civil(now).date()),
        (JavaType::LocalDate, "parse", [Val::Text(text)]) => Val::LocalDate(
            text.parse()
                .map_err(|e| unreadable("LocalDate", text, &e))?,
        ),
        (JavaType::LocalDate, "of", [_, _, _]) => Val::LocalDate(date(arguments)?),
        (JavaType::LocalDate, "ofEpochDay", [Val::Int(day)]) => {
            Val::LocalDate(civil(i64::from(*day).saturating_mul(86_400_000)).date())
        }
        (JavaType::LocalDateTime, "now", []) => Val::LocalDateTime(civil(now)),
        (JavaType::LocalDateTime, "parse", [Val::Text(text)]) => Val::LocalDateTime(
            text.parse()
                .map_err(|e| unreadable("LocalDateTime", text, &e))?,
        ),
        (JavaType::LocalDateTime, "of", [_, _, _, Val::Int(hour), Val::Int(minute), rest @ ..]) => {
            let second = match rest {
                [] => 0,
                [Val::Int(second)] => *second,
                _ => return Ok(None),
            };
            let part = |value: i32| i8::try_from(value).unwrap_or(-1);
            let time = jiff::civil::Time::new(part(*hour), part(*minute), part(second), 0)
                .map_err(|e| illegal(format!("there is no such time: {e}")))?;
            Val::LocalDateTime(date(&arguments[..3])?.to_datetime(time))
        }
        (JavaType::DayOfWeek, "of", [Val::Int(day @ 1..=7)]) => Val::DayOfWeek(*day as u8),
        (JavaType::DayOfWeek | JavaType::ChronoUnit, "valueOf", [Val::Text(text)]) => {
            return Ok(super::constant(java, text));
        }
        _ => return Ok(None),
    }))
}

fn date(arguments: &[Val<'_>]) -> Result<Date> {
    let [Val::Int(year), Val::Int(month), Val::Int(day)] = arguments else {
        return Err(illegal(
            "a date is made of three whole numbers: year, month, day",
        ));
    };
    let year = i16::try_from(*year).map_err(|_| illegal(format!("year {year} is too far away")))?;
    let small = |value: i32| i8::try_from(value).unwrap_or(-1);
    Date::new(year, small(*month), small(*day))
        .map_err(|e| illegal(format!("there is no such date: {e}")))
}

/// Methods of moments, dates, units and their formats.
pub(in super::super) fn call_on_value<'a>(
    evaluator: &Evaluator<'a>,
    target: &Val<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    if let Some(moved) = moved(target, name, arguments)? {
        return Ok(Some(moved));
    }
    if let ([other], "isBefore" | "before" | "isAfter" | "after" | "isEqual") = (arguments, name) {
        let order = super::super::compare::order(target, other)?;
        return Ok(Some(Val::Bool(match name {
            "isBefore" | "before" => order.is_lt(),
            "isAfter" | "after" => order.is_gt(),
            _ => order.is_eq(),
        })));
    }
    Ok(match target {
        Val::Date(ms) => match (name, arguments) {
            ("getTime", []) => Some(Val::Long(*ms)),
            ("toInstant", []) => Some(Val::Instant(*ms)),
            _ => None,
        },
        Val::Instant(ms) => match (name, arguments) {
            ("toEpochMilli", []) => Some(Val::Long(*ms)),
            ("getEpochSecond", []) => Some(Val::Long(ms.div_euclid(1_000))),
            ("truncatedTo", [Val::Unit(unit)]) => {
                let unit = unit.ms()?;
                Some(Val::Instant(ms.div_euclid(unit).saturating_mul(unit)))
            }
            _ => None,
        },
        Val::LocalDate(date) => on_date(*date, name, arguments),
        Val::LocalDateTime(value) => match (name, arguments) {
            ("getHour", []) => Some(Val::Int(value.hour().into())),
            ("getMinute", []) => Some(Val::Int(value.minute().into())),
            ("getSecond", []) => Some(Val::Int(value.second().into())),
            ("toLocalDate", []) => Some(Val::LocalDate(value.date())),
            ("atStartOfDay" | "lengthOfMonth" | "toEpochDay", _) => None,
            _ => on_date(value.date(), name, arguments),
        },
        Val::DayOfWeek(day) => match (name, arguments) {
            ("getValue", []) => Some(Val::Int((*day).into())),
            ("ordinal", []) => Some(Val::Int(i32::from(*day) - 1)),
            ("name", []) => Some(Val::borrowed(day_name(*day))),
            ("plus" | "minus", [Val::Int(days)]) => {
                let days = if name == "plus" {
                    i64::from(*days)
                } else {
                    -i64::from(*days)
                };
                Some(Val::DayOfWeek(
                    ((i64::from(*day) - 1 + days).rem_euclid(7) + 1) as u8,
                ))
            }
            _ => None,
        },
        Val::Unit(unit) => match (name, arguments) {
            ("name", []) => Some(Val::borrowed(unit.name())),
            ("between", [from, to]) => between(*unit, from, to)?,
            _ => None,
        },
        Val::DateFormat(pattern) => match (name, arguments) {
            ("format", [Val::Date(ms) | Val::Long(ms)]) => {
                Some(evaluator.text(date_format::format(pattern, *ms)?)?)
            }
            ("parse", [Val::Text(text)]) => Some(Val::Date(date_format::parse(pattern, text)?)),
            ("toPattern", []) => Some(evaluator.text(&**pattern)?),
            _ => None,
        },
        Val::Random => random(evaluator, name, arguments)?,
        _ => None,
    })
}

/// `plusDays(1)`, `minus(2, unit)` and their kin.
fn moved<'a>(target: &Val<'a>, name: &str, arguments: &[Val<'a>]) -> Result<Option<Val<'a>>> {
    let (forward, ending) = match (name.strip_prefix("plus"), name.strip_prefix("minus")) {
        (Some(ending), _) => (true, ending),
        (_, Some(ending)) => (false, ending),
        _ => return Ok(None),
    };
    let unit = match (ending, arguments) {
        ("", [_, Val::Unit(unit)]) => Some(*unit),
        (ending, [_]) => Unit::of_method(ending),
        _ => None,
    };
    let (Some(unit), Some(amount)) = (unit, arguments.first().and_then(long)) else {
        return Ok(None);
    };
    let amount = if forward {
        amount
    } else {
        amount.saturating_neg()
    };
    let far = |e: jiff::Error| illegal(format!("the date is too far away: {e}"));
    Ok(match target {
        Val::Instant(ms) => Some(Val::Instant(
            ms.saturating_add(unit.ms()?.saturating_mul(amount)),
        )),
        Val::LocalDate(date) => {
            if matches!(
                unit,
                Unit::Millis | Unit::Seconds | Unit::Minutes | Unit::Hours
            ) {
                return Ok(None);
            }
            Some(Val::LocalDate(
                date.checked_add(unit.span(amount)?).map_err(far)?,
            ))
        }
        Val::LocalDateTime(value) => Some(Val::LocalDateTime(
            value.checked_add(unit.span(amount)?).map_err(far)?,
        )),
        _ => None,
    })
}

fn on_date<'a>(date: Date, name: &str, arguments: &[Val<'a>]) -> Option<Val<'a>> {
    Some(match (name, arguments) {
        ("getYear", []) => Val::Int(date.year().into()),
        ("getMonthValue", []) => Val::Int(date.month().into()),
        ("getDayOfMonth", []) => Val::Int(date.day().into()),
        ("getDayOfYear", []) => Val::Int(date.day_of_year().into()),
        ("getDayOfWeek", []) => {
            Val::DayOfWeek(date.weekday().to_monday_one_offset().unsigned_abs())
        }
        ("lengthOfMonth", []) => Val::Int(date.days_in_month().into()),
        ("isLeapYear", []) => Val::Bool(date.in_leap_year()),
        ("atStartOfDay", []) => Val::LocalDateTime(date.to_datetime(jiff::civil::Time::midnight())),
        ("toEpochDay", []) => {
            let midnight = date.to_datetime(jiff::civil::Time::midnight());
            Val::Long(millis(midnight).div_euclid(86_400_000))
        }
        ("withDayOfMonth", [Val::Int(day)]) => {
            Val::LocalDate(date.with().day(i8::try_from(*day).ok()?).build().ok()?)
        }
        _ => return None,
    })
}

fn between<'a>(unit: Unit, from: &Val<'a>, to: &Val<'a>) -> Result<Option<Val<'a>>> {
    let moment = |value: &Val<'_>| match value {
        Val::LocalDate(date) => Some(date.to_datetime(jiff::civil::Time::midnight())),
        Val::LocalDateTime(value) => Some(*value),
        Val::Instant(ms) | Val::Date(ms) => Some(civil(*ms)),
        _ => None,
    };
    let (Some(from), Some(to)) = (moment(from), moment(to)) else {
        return Ok(None);
    };
    let whole = match unit {
        Unit::Months | Unit::Years => {
            let months = (i64::from(to.year()) - i64::from(from.year())) * 12
                + i64::from(to.month())
                - i64::from(from.month());
            let rest = |at: DateTime| (at.day(), at.time());
            let months = match months {
                m if m > 0 && rest(to) < rest(from) => m - 1,
                m if m < 0 && rest(to) > rest(from) => m + 1,
                m => m,
            };
            if unit == Unit::Years {
                months / 12
            } else {
                months
            }
        }
        _ => (millis(to) - millis(from)) / unit.ms()?,
    };
    Ok(Some(Val::Long(whole)))
}

fn random<'a>(
    evaluator: &Evaluator<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    let next = evaluator.random();
    Ok(Some(match (name, arguments) {
        ("nextInt", []) => Val::Int(next as i32),
        ("nextInt", [Val::Int(bound)]) => {
            let bound = u64::try_from(*bound).ok().filter(|bound| *bound > 0);
            let bound = bound.ok_or_else(|| illegal("the bound must be positive"))?;
            Val::Int((next % bound) as i32)
        }
        ("nextLong", []) => Val::Long(next as i64),
        ("nextBoolean", []) => Val::Bool(next & 1 == 1),
        ("nextDouble", []) => Val::Double((next >> 11) as f64 / (1_u64 << 53) as f64),
        _ => return Ok(None),
    }))
}
