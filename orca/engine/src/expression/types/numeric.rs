//! Static methods of the number types and of `Math`.

use super::super::compare::order;
use super::super::error::{ErrorKind, ExpressionError, Result};
use super::super::eval::Evaluator;
use super::super::number::{Pair, double, long, pair};
use super::super::value::Val;
use super::{JavaType, illegal};

fn no_number(text: &str) -> ExpressionError {
    ExpressionError::new(
        ErrorKind::NumberFormat,
        format!("'{text}' is not a number of this type"),
    )
}

/// `Integer.parseInt`: no blanks, an optional sign.
pub(in super::super) fn parse_int<'a>(text: &str, radix: u32) -> Result<Val<'a>> {
    i32::from_str_radix(text, radix)
        .map(Val::Int)
        .map_err(|_| no_number(text))
}

/// `Long.parseLong`.
pub(super) fn parse_long<'a>(text: &str, radix: u32) -> Result<Val<'a>> {
    i64::from_str_radix(text, radix)
        .map(Val::Long)
        .map_err(|_| no_number(text))
}

/// `Double.parseDouble`: blanks around and a final f or d are fine.
pub(in super::super) fn parse_double(text: &str) -> Result<f64> {
    let trimmed = text.trim();
    let digits = trimmed
        .strip_suffix(['f', 'F', 'd', 'D'])
        .unwrap_or(trimmed);
    match trimmed {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(f64::INFINITY),
        "-Infinity" => return Ok(f64::NEG_INFINITY),
        _ => {}
    }
    if digits.contains(|c: char| c.is_ascii_alphabetic() && !c.eq_ignore_ascii_case(&'e')) {
        return Err(no_number(text));
    }
    digits.parse().map_err(|_| no_number(text))
}

fn radix(value: i32) -> Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|radix| (2..=36).contains(radix))
        .ok_or_else(|| illegal(format!("{value} is not a base of numbers")))
}

/// Static methods of Integer, Long, Double and Boolean.
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    java: JavaType,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    let value = match (java, name, arguments) {
        (JavaType::Integer, "parseInt" | "valueOf", [Val::Text(text)]) => parse_int(text, 10)?,
        (JavaType::Integer, "parseInt" | "valueOf", [Val::Text(text), Val::Int(base)]) => {
            parse_int(text, radix(*base)?)?
        }
        (JavaType::Integer, "valueOf", [Val::Int(value)]) => Val::Int(*value),
        (JavaType::Long, "parseLong" | "valueOf", [Val::Text(text)]) => parse_long(text, 10)?,
        (JavaType::Long, "parseLong" | "valueOf", [Val::Text(text), Val::Int(base)]) => {
            parse_long(text, radix(*base)?)?
        }
        (JavaType::Long, "valueOf", [value]) => match long(value) {
            Some(value) => Val::Long(value),
            None => return Ok(None),
        },
        (JavaType::Double, "parseDouble" | "valueOf", [Val::Text(text)]) => {
            Val::Double(parse_double(text)?)
        }
        (JavaType::Double, "valueOf", [value]) => match double(value) {
            Some(value) => Val::Double(value),
            None => return Ok(None),
        },
        (JavaType::Boolean, "parseBoolean" | "valueOf", [Val::Text(text)]) => {
            Val::Bool(text.eq_ignore_ascii_case("true"))
        }
        (JavaType::Boolean, "parseBoolean", [Val::Null]) => Val::Bool(false),
        (JavaType::Boolean, "valueOf", [Val::Bool(value)]) => Val::Bool(*value),
        (_, "toString", [value]) => evaluator.text(value.java_string())?,
        (_, "compare", [left, right]) => Val::Int(order(left, right)? as i32),
        (JavaType::Integer, "toHexString", [Val::Int(value)]) => {
            evaluator.text(format!("{value:x}"))?
        }
        (JavaType::Integer, "toBinaryString", [Val::Int(value)]) => {
            evaluator.text(format!("{value:b}"))?
        }
        (JavaType::Integer, "toOctalString", [Val::Int(value)]) => {
            evaluator.text(format!("{value:o}"))?
        }
        (JavaType::Integer | JavaType::Long, "signum", [value]) => match long(value) {
            Some(value) => Val::Int(value.signum() as i32),
            None => return Ok(None),
        },
        (JavaType::Integer | JavaType::Long | JavaType::Double, "max" | "min" | "sum", [_, _]) => {
            return Ok(two(name, arguments));
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// Static methods of `java.lang.Math`.
pub(super) fn math<'a>(
    evaluator: &Evaluator<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    match arguments {
        [] if name == "random" => {
            let fraction = (evaluator.random() >> 11) as f64 / (1_u64 << 53) as f64;
            Ok(Some(Val::Double(fraction)))
        }
        [value] => Ok(one(name, value)),
        [_, divisor] if matches!(name, "floorDiv" | "floorMod") && long(divisor) == Some(0) => {
            Err(ExpressionError::evaluation("division by zero"))
        }
        [_, _] => Ok(two(name, arguments)),
        _ => Ok(None),
    }
}

fn one<'a>(name: &str, value: &Val<'a>) -> Option<Val<'a>> {
    let number = double(value)?;
    Some(match (name, value) {
        ("abs", Val::Int(value)) => Val::Int(value.wrapping_abs()),
        ("abs", Val::Long(value)) => Val::Long(value.wrapping_abs()),
        ("abs", _) => Val::Double(number.abs()),
        ("round", _) => Val::Long((number + 0.5).floor() as i64),
        ("floor", _) => Val::Double(number.floor()),
        ("ceil", _) => Val::Double(number.ceil()),
        ("rint", _) => Val::Double(number.round_ties_even()),
        ("sqrt", _) => Val::Double(number.sqrt()),
        ("cbrt", _) => Val::Double(number.cbrt()),
        ("exp", _) => Val::Double(number.exp()),
        ("log", _) => Val::Double(number.ln()),
        ("log10", _) => Val::Double(number.log10()),
        ("sin", _) => Val::Double(number.sin()),
        ("cos", _) => Val::Double(number.cos()),
        ("tan", _) => Val::Double(number.tan()),
        ("signum", _) => Val::Double(if number == 0.0 {
            number
        } else {
            number.signum()
        }),
        ("toIntExact", _) => Val::Int(i32::try_from(long(value)?).ok()?),
        _ => return None,
    })
}

fn two<'a>(name: &str, arguments: &[Val<'a>]) -> Option<Val<'a>> {
    let [left, right] = arguments else {
        return None;
    };
    Some(match (name, pair(left, right)?) {
        ("max", Pair::Ints(l, r)) => Val::Int(l.max(r)),
        ("max", Pair::Longs(l, r)) => Val::Long(l.max(r)),
        ("max", Pair::Doubles(l, r)) => Val::Double(l.max(r)),
        ("min", Pair::Ints(l, r)) => Val::Int(l.min(r)),
        ("min", Pair::Longs(l, r)) => Val::Long(l.min(r)),
        ("min", Pair::Doubles(l, r)) => Val::Double(l.min(r)),
        ("sum", Pair::Ints(l, r)) => Val::Int(l.wrapping_add(r)),
        ("sum", Pair::Longs(l, r)) => Val::Long(l.wrapping_add(r)),
        ("sum", Pair::Doubles(l, r)) => Val::Double(l + r),
        ("pow", _) => Val::Double(double(left)?.powf(double(right)?)),
        ("hypot", _) => Val::Double(double(left)?.hypot(double(right)?)),
        ("atan2", _) => Val::Double(double(left)?.atan2(double(right)?)),
        ("floorDiv", Pair::Ints(l, r)) => Val::Int(floor_div(l.into(), r.into()) as i32),
        ("floorDiv", Pair::Longs(l, r)) => Val::Long(floor_div(l, r)),
        ("floorMod", Pair::Ints(l, r)) => Val::Int(floor_mod(l.into(), r.into()) as i32),
        ("floorMod", Pair::Longs(l, r)) => Val::Long(floor_mod(l, r)),
        ("addExact", Pair::Ints(l, r)) => Val::Int(l.checked_add(r)?),
        ("addExact", Pair::Longs(l, r)) => Val::Long(l.checked_add(r)?),
        ("subtractExact", Pair::Ints(l, r)) => Val::Int(l.checked_sub(r)?),
        ("subtractExact", Pair::Longs(l, r)) => Val::Long(l.checked_sub(r)?),
        ("multiplyExact", Pair::Ints(l, r)) => Val::Int(l.checked_mul(r)?),
        ("multiplyExact", Pair::Longs(l, r)) => Val::Long(l.checked_mul(r)?),
        _ => return None,
    })
}

/// The divisor is not zero: the caller has looked.
fn floor_div(left: i64, right: i64) -> i64 {
    let quotient = left.wrapping_div(right);
    let remainder = left.wrapping_rem(right);
    if remainder != 0 && (remainder < 0) != (right < 0) {
        quotient - 1
    } else {
        quotient
    }
}

fn floor_mod(left: i64, right: i64) -> i64 {
    let remainder = left.wrapping_rem(right);
    if remainder != 0 && (remainder < 0) != (right < 0) {
        remainder + right
    } else {
        remainder
    }
}
