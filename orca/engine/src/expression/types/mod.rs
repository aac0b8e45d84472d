//! The Java types that expressions may name, their constructors, static methods and constants.

mod date_format;
mod numeric;
mod time;

use std::rc::Rc;

use super::error::{ErrorKind, ExpressionError, Result};
use super::eval::Evaluator;
use super::methods;
use super::value::Val;

pub(super) use numeric::{parse_double, parse_int};
pub(super) use time::{
    Unit, call_on_value, date_json, date_text, day_name, instant_text, local_date_time_json,
    local_date_time_text,
};

/// A type that `T(...)` and `new` accept. Everything else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JavaType {
    String,
    Integer,
    Long,
    Double,
    Byte,
    Boolean,
    Math,
    Random,
    Uuid,
    Date,
    SimpleDateFormat,
    Instant,
    LocalDate,
    LocalDateTime,
    DayOfWeek,
    ChronoUnit,
    UrlEncoder,
}

impl JavaType {
    const ALL: [(Self, &'static str); 17] = [
        (Self::String, "java.lang.String"),
        (Self::Integer, "java.lang.Integer"),
        (Self::Long, "java.lang.Long"),
        (Self::Double, "java.lang.Double"),
        (Self::Byte, "java.lang.Byte"),
        (Self::Boolean, "java.lang.Boolean"),
        (Self::Math, "java.lang.Math"),
        (Self::Random, "java.util.Random"),
        (Self::Uuid, "java.util.UUID"),
        (Self::Date, "java.util.Date"),
        (Self::SimpleDateFormat, "java.text.SimpleDateFormat"),
        (Self::Instant, "java.time.Instant"),
        (Self::LocalDate, "java.time.LocalDate"),
        (Self::LocalDateTime, "java.time.LocalDateTime"),
        (Self::DayOfWeek, "java.time.DayOfWeek"),
        (Self::ChronoUnit, "java.time.temporal.ChronoUnit"),
        (Self::UrlEncoder, "java.net.URLEncoder"),
    ];

    /// Finds a type by its full name; those of `java.lang` also by the short one.
    pub(super) fn find(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|(_, full)| {
            *full == name
                || full
                    .strip_prefix("java.lang.")
                    .is_some_and(|short| short == name)
        });
        found.map(|(java, _)| java).ok_or_else(|| {
            ExpressionError::evaluation(format!("type '{name}' is not allowed in expressions"))
        })
    }

    pub(super) fn full_name(self) -> &'static str {
        Self::ALL
            .into_iter()
            .find(|(java, _)| *java == self)
            .map_or("", |(_, full)| full)
    }

    /// `instanceof`.
    pub(super) const fn is_type_of(self, value: &Val<'_>) -> bool {
        match self {
            Self::String => matches!(value, Val::Text(_)),
            Self::Integer => matches!(value, Val::Int(_)),
            Self::Long => matches!(value, Val::Long(_)),
            Self::Double => matches!(value, Val::Double(_)),
            Self::Boolean => matches!(value, Val::Bool(_)),
            Self::Random => matches!(value, Val::Random),
            Self::Uuid => matches!(value, Val::Uuid(_)),
            Self::Date => matches!(value, Val::Date(_)),
            Self::SimpleDateFormat => matches!(value, Val::DateFormat(_)),
            Self::Instant => matches!(value, Val::Instant(_)),
            Self::LocalDate => matches!(value, Val::LocalDate(_)),
            Self::LocalDateTime => matches!(value, Val::LocalDateTime(_)),
            Self::DayOfWeek => matches!(value, Val::DayOfWeek(_)),
            Self::ChronoUnit => matches!(value, Val::Unit(_)),
            Self::Byte | Self::Math | Self::UrlEncoder => false,
        }
    }
}

fn illegal(message: impl Into<String>) -> ExpressionError {
    ExpressionError::new(ErrorKind::IllegalArgument, message)
}

/// Milliseconds since the epoch of the moment of the evaluation.
fn now_ms(evaluator: &Evaluator<'_>) -> i64 {
    i64::try_from(evaluator.scope.now.millis()).unwrap_or(i64::MAX)
}

/// `new Type(arguments)`.
pub(super) fn construct<'a>(
    evaluator: &Evaluator<'a>,
    java: JavaType,
    arguments: &[Val<'a>],
) -> Result<Val<'a>> {
    Ok(match (java, arguments) {
        (JavaType::String, []) => Val::text(""),
        (JavaType::String, [Val::Text(text)]) => Val::Text(text.clone()),
        (JavaType::Integer, [Val::Text(text)]) => parse_int(text, 10)?,
        (JavaType::Integer, [Val::Int(value)]) => Val::Int(*value),
        (JavaType::Long, [Val::Text(text)]) => numeric::parse_long(text, 10)?,
        (JavaType::Long, [Val::Int(value)]) => Val::Long(i64::from(*value)),
        (JavaType::Long, [Val::Long(value)]) => Val::Long(*value),
        (JavaType::Double, [Val::Text(text)]) => Val::Double(parse_double(text)?),
        (JavaType::Double, [Val::Double(value)]) => Val::Double(*value),
        (JavaType::Double, [Val::Int(value)]) => Val::Double(f64::from(*value)),
        (JavaType::Boolean, [Val::Bool(value)]) => Val::Bool(*value),
        (JavaType::Boolean, [Val::Text(text)]) => Val::Bool(text.eq_ignore_ascii_case("true")),
        (JavaType::Random, [] | [_]) => Val::Random,
        (JavaType::Date, []) => Val::Date(now_ms(evaluator)),
        (JavaType::Date, [Val::Int(ms)]) => Val::Date(i64::from(*ms)),
        (JavaType::Date, [Val::Long(ms)]) => Val::Date(*ms),
        (JavaType::SimpleDateFormat, [Val::Text(pattern), ..]) => {
            Val::DateFormat(Rc::from(&**pattern))
        }
        _ => {
            let kinds: Vec<_> = arguments.iter().map(Val::type_name).collect();
            return Err(ExpressionError::evaluation(format!(
                "there is no constructor {}({})",
                java.full_name(),
                kinds.join(", ")
            )));
        }
    })
}

/// A constant of a type, such as `T(Integer).MAX_VALUE`.
pub(super) fn constant<'a>(java: JavaType, name: &str) -> Option<Val<'a>> {
    Some(match (java, name) {
        (JavaType::Integer, "MAX_VALUE") => Val::Int(i32::MAX),
        (JavaType::Integer, "MIN_VALUE") => Val::Int(i32::MIN),
        (JavaType::Long, "MAX_VALUE") => Val::Long(i64::MAX),
        (JavaType::Long, "MIN_VALUE") => Val::Long(i64::MIN),
        (JavaType::Double, "MAX_VALUE") => Val::Double(f64::MAX),
        (JavaType::Double, "NaN") => Val::Double(f64::NAN),
        (JavaType::Math, "PI") => Val::Double(std::f64::consts::PI),
        (JavaType::Math, "E") => Val::Double(std::f64::consts::E),
        (JavaType::Boolean, "TRUE") => Val::Bool(true),
        (JavaType::Boolean, "FALSE") => Val::Bool(false),
        (JavaType::Instant, "EPOCH") => Val::Instant(0),
        (JavaType::ChronoUnit, _) => Val::Unit(Unit::find(name)?),
        (JavaType::DayOfWeek, _) => Val::DayOfWeek((1..=7).find(|day| day_name(*day) == name)?),
        _ => return None,
    })
}

/// A static method; none when the type has no such method.
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    java: JavaType,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    match java {
        JavaType::String => on_string(evaluator, name, arguments),
        JavaType::Integer | JavaType::Long | JavaType::Double | JavaType::Boolean => {
            numeric::call(evaluator, java, name, arguments)
        }
        JavaType::Math => numeric::math(evaluator, name, arguments),
        JavaType::Uuid => on_uuid(evaluator, name, arguments),
        JavaType::UrlEncoder => match (name, arguments) {
            ("encode", [text] | [text, Val::Text(_)]) => {
                url_encode(evaluator, &text.java_string()).map(Some)
            }
            _ => Ok(None),
        },
        JavaType::Instant
        | JavaType::LocalDate
        | JavaType::LocalDateTime
        | JavaType::DayOfWeek
        | JavaType::ChronoUnit => time::call(evaluator, java, name, arguments),
        JavaType::Byte | JavaType::Random | JavaType::Date | JavaType::SimpleDateFormat => Ok(None),
    }
}

fn on_string<'a>(
    evaluator: &Evaluator<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    Ok(Some(match (name, arguments) {
        ("valueOf" | "copyValueOf", [value]) => evaluator.text(value.java_string())?,
        ("format", [template, rest @ ..]) => {
            let Some(template) = template.joined_text().filter(|_| !template.is_null()) else {
                return Ok(None);
            };
            match rest {
                [one] if one.items().is_some() => {
                    methods::format(evaluator, &template, &one.items().unwrap_or_default())?
                }
                many => methods::format(evaluator, &template, many)?,
            }
        }
        ("join", [Val::Text(separator), rest @ ..]) => match rest {
            [one] if one.items().is_some() => {
                methods::join(evaluator, separator, &one.items().unwrap_or_default())?
            }
            many => methods::join(evaluator, separator, many)?,
        },
        _ => return Ok(None),
    }))
}

fn on_uuid<'a>(
    evaluator: &Evaluator<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    Ok(Some(match (name, arguments) {
        ("randomUUID", []) => {
            // Version 4, variant 1, as any reader of ids expects.
            let high = evaluator.random() & !0xf000 | 0x4000;
            let low = evaluator.random() & (u64::MAX >> 2) | (1 << 63);
            let text = format!(
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                (high >> 16) & 0xffff,
                high & 0xffff,
                low >> 48,
                low & 0xffff_ffff_ffff
            );
            Val::Uuid(Rc::from(text))
        }
        ("fromString", [Val::Text(text)]) => {
            let groups: Vec<usize> = text.split('-').map(str::len).collect();
            let hex = text.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
            if groups != [8, 4, 4, 4, 12] || !hex {
                return Err(illegal(format!("'{}' is no UUID", &**text)));
            }
            Val::Uuid(Rc::from(text.to_lowercase()))
        }
        _ => return Ok(None),
    }))
}

/// `application/x-www-form-urlencoded`, in UTF-8.
fn url_encode<'a>(evaluator: &Evaluator<'a>, text: &str) -> Result<Val<'a>> {
    use std::fmt::Write as _;
    evaluator.room_for(text.len().saturating_mul(3))?;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'.' | b'-' | b'*' | b'_' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    evaluator.text(encoded)
}
