//! Equality, order, and the conversions that operators make by themselves.

use std::cmp::Ordering;

use super::error::{ExpressionError, Result};
use super::number::{Pair, pair};
use super::value::Val;

/// `==`: numbers by value, texts by content, anything of different kinds is unequal.
pub(super) fn equal(left: &Val<'_>, right: &Val<'_>) -> bool {
    if let Some(pair) = pair(left, right) {
        return match pair {
            Pair::Ints(l, r) => l == r,
            Pair::Longs(l, r) => l == r,
            Pair::Doubles(l, r) => l.partial_cmp(&r) == Some(Ordering::Equal),
        };
    }
    if let (Some(left), Some(right)) = (left.items(), right.items()) {
        return left.len() == right.len() && left.iter().zip(&right).all(|(l, r)| equal(l, r));
    }
    if let (Some(left), Some(right)) = (left.entries(), right.entries()) {
        return left.len() == right.len()
            && left.iter().all(|(key, value)| {
                right
                    .iter()
                    .any(|(other, found)| **key == **other && equal(value, found))
            });
    }
    match (left, right) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(l), Val::Bool(r)) => l == r,
        (Val::Text(l), Val::Text(r)) => **l == **r,
        (Val::Status(l), Val::Status(r)) => l == r,
        (Val::Class(l), Val::Class(r)) => l == r,
        (Val::Date(l), Val::Date(r)) | (Val::Instant(l), Val::Instant(r)) => l == r,
        (Val::LocalDate(l), Val::LocalDate(r)) => l == r,
        (Val::LocalDateTime(l), Val::LocalDateTime(r)) => l == r,
        (Val::DayOfWeek(l), Val::DayOfWeek(r)) => l == r,
        (Val::Unit(l), Val::Unit(r)) => l == r,
        (Val::Uuid(l), Val::Uuid(r)) => l == r,
        (Val::Stage(l), Val::Stage(r)) => l.id == r.id,
        (Val::Execution(l), Val::Execution(r)) => l.id == r.id,
        _ => false,
    }
}

/// `<` and its kin; null comes before everything.
pub(super) fn order(left: &Val<'_>, right: &Val<'_>) -> Result<Ordering> {
    if let Some(pair) = pair(left, right) {
        return Ok(match pair {
            Pair::Ints(l, r) => l.cmp(&r),
            Pair::Longs(l, r) => l.cmp(&r),
            Pair::Doubles(l, r) => l.partial_cmp(&r).unwrap_or_else(|| l.total_cmp(&r)),
        });
    }
    Ok(match (left, right) {
        (Val::Null, Val::Null) => Ordering::Equal,
        (Val::Null, _) => Ordering::Less,
        (_, Val::Null) => Ordering::Greater,
        (Val::Bool(l), Val::Bool(r)) => l.cmp(r),
        (Val::Text(l), Val::Text(r)) => l.encode_utf16().cmp(r.encode_utf16()),
        (Val::Status(l), Val::Status(r)) => l.cmp(r),
        (Val::Date(l), Val::Date(r)) | (Val::Instant(l), Val::Instant(r)) => l.cmp(r),
        (Val::LocalDate(l), Val::LocalDate(r)) => l.cmp(r),
        (Val::LocalDateTime(l), Val::LocalDateTime(r)) => l.cmp(r),
        (Val::DayOfWeek(l), Val::DayOfWeek(r)) => l.cmp(r),
        (Val::Uuid(l), Val::Uuid(r)) => l.cmp(r),
        _ => {
            return Err(ExpressionError::evaluation(format!(
                "{} cannot be compared with {}",
                left.type_name(),
                right.type_name()
            )));
        }
    })
}

/// What a condition takes for true or false: booleans, and the texts that Spring converts.
pub(super) fn truth(value: &Val<'_>) -> Result<bool> {
    let converted = match value {
        Val::Bool(value) => Some(*value),
        Val::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    };
    converted.ok_or_else(|| {
        ExpressionError::evaluation(format!("{} is neither true nor false", value.type_name()))
    })
}
