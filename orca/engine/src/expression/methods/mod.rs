//! Methods on values. As in Spinnaker, a method whose Java result is a bare `Object` (`map.get`,
//! `list.get`, `getClass`, iterators, streams) does not exist: brackets read elements.

mod collection;
mod object;
mod string;

use super::compare::{equal, order};
use super::error::{ExpressionError, Result};
use super::eval::Evaluator;
use super::value::Val;
use super::{number, property, types};

pub(super) use string::{format, join, repeat};

/// Calls a method; `Ok(None)` inside the families means that there is none of that name and shape.
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    target: &Val<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Val<'a>> {
    if target.is_null() {
        let text = format!("method {name}() cannot be called on null");
        return Err(ExpressionError::evaluation(text));
    }
    evaluator.spend(1 + weight(target))?;
    let found = match target {
        Val::Text(text) => string::call(evaluator, text, name, arguments)?,
        Val::JsonList(_) | Val::List(_) => collection::on_list(evaluator, target, name, arguments)?,
        Val::Class(java) => types::call(evaluator, *java, name, arguments)?,
        _ if property::is_map(target) => collection::on_map(evaluator, target, name, arguments)?,
        _ => object::call(evaluator, target, name, arguments)?,
    };
    let found = match found {
        Some(value) => Some(value),
        None => on_anything(evaluator, target, name, arguments)?,
    };
    found.ok_or_else(|| {
        let kinds: Vec<_> = arguments.iter().map(Val::type_name).collect();
        let hint = match name {
            "get" | "getOrDefault" => "; read elements with brackets, such as ['key'] or [0]",
            _ => "",
        };
        ExpressionError::evaluation(format!(
            "{} has no method {name}({}){hint}",
            target.type_name(),
            kinds.join(", ")
        ))
    })
}

/// What a look through the whole value costs.
fn weight(value: &Val<'_>) -> usize {
    match value {
        Val::Text(text) => text.len() / 16,
        Val::JsonList(items) => items.len(),
        Val::List(items) => items.len(),
        Val::JsonMap(map) => map.len(),
        Val::Map(entries) => entries.len(),
        _ => 0,
    }
}

/// `equals`, `hashCode`, `toString`, `compareTo`: the methods of every Java object that are allowed.
fn on_anything<'a>(
    evaluator: &Evaluator<'a>,
    target: &Val<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    Ok(match (name, arguments) {
        ("equals", [other]) => {
            let same_kind = std::mem::discriminant(target) == std::mem::discriminant(other)
                || number::double(target).is_none();
            Some(Val::Bool(same_kind && equal(target, other)))
        }
        ("toString", []) => Some(evaluator.text(target.java_string())?),
        ("hashCode", []) => Some(Val::Int(hash(target))),
        ("compareTo", [other]) => Some(Val::Int(order(target, other)? as i32)),
        _ => None,
    })
}

/// `hashCode` of Java for texts and numbers; for others that of their text.
fn hash(value: &Val<'_>) -> i32 {
    match value {
        Val::Int(value) => *value,
        Val::Long(value) => (*value ^ ((*value as u64) >> 32) as i64) as i32,
        Val::Bool(value) => {
            if *value {
                1231
            } else {
                1237
            }
        }
        other => other
            .java_string()
            .encode_utf16()
            .fold(0_i32, |hash, unit| {
                hash.wrapping_mul(31).wrapping_add(i32::from(unit))
            }),
    }
}

/// A property that is a Java getter: `x.empty` is `x.isEmpty()`, `date.time` is `date.getTime()`.
pub(super) fn getter<'a>(
    evaluator: &Evaluator<'a>,
    target: &Val<'a>,
    name: &str,
) -> Option<Val<'a>> {
    let mut chars = name.chars();
    let first = chars.next()?.to_ascii_uppercase();
    let rest = chars.as_str();
    ["get", "is"]
        .into_iter()
        .find_map(|prefix| call(evaluator, target, &format!("{prefix}{first}{rest}"), &[]).ok())
}
