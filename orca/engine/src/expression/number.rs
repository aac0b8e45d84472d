//! Arithmetic as Java does it: int wraps at 32 bits, long at 64, a whole division stays whole.

use super::ast::Arithmetic;
use super::error::{ExpressionError, Result};
use super::value::Val;

/// A number in the widest type that one of two operands has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pair {
    Ints(i32, i32),
    Longs(i64, i64),
    Doubles(f64, f64),
}

/// Both operands in their common type; none when one is not a number.
pub(super) fn pair(left: &Val<'_>, right: &Val<'_>) -> Option<Pair> {
    Some(match (left, right) {
        (Val::Int(l), Val::Int(r)) => Pair::Ints(*l, *r),
        (Val::Int(_) | Val::Long(_), Val::Int(_) | Val::Long(_)) => {
            Pair::Longs(long(left)?, long(right)?)
        }
        _ => Pair::Doubles(double(left)?, double(right)?),
    })
}

/// The number as a long; a double loses its fraction.
pub(super) fn long(value: &Val<'_>) -> Option<i64> {
    match value {
        Val::Int(value) => Some(i64::from(*value)),
        Val::Long(value) => Some(*value),
        Val::Double(value) => Some(*value as i64),
        _ => None,
    }
}

/// The number as a double.
pub(super) fn double(value: &Val<'_>) -> Option<f64> {
    match value {
        Val::Int(value) => Some(f64::from(*value)),
        Val::Long(value) => Some(*value as f64),
        Val::Double(value) => Some(*value),
        _ => None,
    }
}

/// Calculates with two numbers of one type.
pub(super) fn calculate<'a>(operator: Arithmetic, pair: Pair) -> Result<Val<'a>> {
    let by_zero = || ExpressionError::evaluation("division by zero");
    Ok(match pair {
        Pair::Ints(l, r) => Val::Int(match operator {
            Arithmetic::Add => l.wrapping_add(r),
            Arithmetic::Subtract => l.wrapping_sub(r),
            Arithmetic::Multiply => l.wrapping_mul(r),
            Arithmetic::Divide | Arithmetic::Remainder if r == 0 => return Err(by_zero()),
            Arithmetic::Divide => l.wrapping_div(r),
            Arithmetic::Remainder => l.wrapping_rem(r),
            Arithmetic::Power => {
                let power = f64::from(l).powf(f64::from(r));
                if power > f64::from(i32::MAX) {
                    return Ok(Val::Long(power as i64));
                }
                power as i32
            }
        }),
        Pair::Longs(l, r) => Val::Long(match operator {
            Arithmetic::Add => l.wrapping_add(r),
            Arithmetic::Subtract => l.wrapping_sub(r),
            Arithmetic::Multiply => l.wrapping_mul(r),
            Arithmetic::Divide | Arithmetic::Remainder if r == 0 => return Err(by_zero()),
            Arithmetic::Divide => l.wrapping_div(r),
            Arithmetic::Remainder => l.wrapping_rem(r),
            Arithmetic::Power => (l as f64).powf(r as f64) as i64,
        }),
        Pair::Doubles(l, r) => Val::Double(match operator {
            Arithmetic::Add => l + r,
            Arithmetic::Subtract => l - r,
            Arithmetic::Multiply => l * r,
            Arithmetic::Divide => l / r,
            Arithmetic::Remainder => l % r,
            Arithmetic::Power => l.powf(r),
        }),
    })
}

/// `Double.toString` of Java: always with a fraction, exponents below 0.001 and from ten million.
pub(super) fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        let text = value.to_string();
        return if text.contains('.') {
            text
        } else {
            text + ".0"
        };
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}
