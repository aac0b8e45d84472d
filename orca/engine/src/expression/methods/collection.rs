//! Methods of lists and maps that read.

use super::super::compare::equal;
use super::super::error::{ExpressionError, Result};
use super::super::eval::Evaluator;
use super::super::property;
use super::super::value::Val;

fn count<'a>(position: Option<usize>) -> Val<'a> {
    position.map_or(Val::Int(-1), Val::length)
}

/// Calls a method of a list; none when lists have no such method.
pub(super) fn on_list<'a>(
    evaluator: &Evaluator<'a>,
    target: &Val<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    let items = target.items().unwrap_or_default();
    Ok(Some(match (name, arguments) {
        ("size", []) => Val::length(items.len()),
        ("isEmpty", []) => Val::Bool(items.is_empty()),
        ("contains", [wanted]) => Val::Bool(items.iter().any(|item| equal(item, wanted))),
        ("indexOf", [wanted]) => count(items.iter().position(|item| equal(item, wanted))),
        ("lastIndexOf", [wanted]) => count(items.iter().rposition(|item| equal(item, wanted))),
        ("containsAll", [others]) => {
            let others = others.items().ok_or_else(|| {
                ExpressionError::evaluation("containsAll() needs a list".to_owned())
            })?;
            evaluator.spend(items.len().saturating_mul(others.len()))?;
            let has = |wanted: &Val<'a>| items.iter().any(|item| equal(item, wanted));
            Val::Bool(others.iter().all(has))
        }
        ("subList", [Val::Int(from), Val::Int(to)]) => {
            let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
            let part = range.and_then(|(from, to)| items.get(from..to));
            let part = part.ok_or_else(|| {
                let length = items.len();
                ExpressionError::evaluation(format!(
                    "elements {from} to {to} are outside of a list of {length}"
                ))
            })?;
            Val::list(part.to_vec())
        }
        _ => return Ok(None),
    }))
}

/// Calls a method of a map; none when maps have no such method.
pub(super) fn on_map<'a>(
    evaluator: &Evaluator<'a>,
    target: &Val<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    let entries = || property::entries(evaluator, target).unwrap_or_default();
    Ok(Some(match (name, arguments) {
        ("size", []) => Val::length(entries().len()),
        ("isEmpty", []) => Val::Bool(entries().is_empty()),
        ("containsKey", [key]) => {
            let key = key.java_string();
            Val::Bool(property::lookup(evaluator, target, &key)?.is_some())
        }
        ("containsValue", [wanted]) => {
            Val::Bool(entries().iter().any(|(_, value)| equal(value, wanted)))
        }
        ("keySet", []) => Val::list(
            entries()
                .into_iter()
                .map(|(key, _)| Val::Text(key))
                .collect(),
        ),
        ("values", []) => Val::list(entries().into_iter().map(|(_, value)| value).collect()),
        ("entrySet", []) => Val::list(
            entries()
                .into_iter()
                .map(|(key, value)| Val::Entry((key, value).into()))
                .collect(),
        ),
        _ => return Ok(None),
    }))
}
