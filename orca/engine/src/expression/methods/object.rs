//! Methods of everything that is neither text, list nor map: numbers, states, stages, entries.

use kork_model::Status;

use super::super::error::Result;
use super::super::eval::Evaluator;
use super::super::value::{Text, Val};
use super::super::{number, property, types};

/// Calls a method; none when values of this kind have no such method.
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    target: &Val<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Option<Val<'a>>> {
    match target {
        Val::Int(_) | Val::Long(_) | Val::Double(_) => Ok(on_number(target, name, arguments)),
        Val::Bool(value) => Ok((name == "booleanValue").then_some(Val::Bool(*value))),
        Val::Status(status) => Ok(on_status(*status, name, arguments)),
        Val::Stage(stage) if arguments.is_empty() && name == "ancestors" => {
            let before = crate::ancestors(evaluator.scope.execution, stage);
            Ok(Some(Val::list(
                before.into_iter().map(Val::Stage).collect(),
            )))
        }
        Val::Execution(execution) if matches!(name, "stageById" | "stageByRef") => {
            let Some(Val::Text(wanted)) = arguments.first() else {
                return Ok(None);
            };
            let found = execution.stages.iter().find(|stage| {
                stage.id.as_str() == &**wanted || name == "stageByRef" && *stage.ref_id == **wanted
            });
            Ok(found.map(Val::Stage))
        }
        Val::Stage(_) | Val::Execution(_) | Val::Task(_) | Val::Entry(_) => {
            let Some(property) = property_of_getter(name).filter(|_| arguments.is_empty()) else {
                return Ok(None);
            };
            Ok(property::read(evaluator, target, &property).ok())
        }
        Val::Literal(inner) => super::call(evaluator, inner, name, arguments).map(Some),
        _ => types::call_on_value(evaluator, target, name, arguments),
    }
}

/// `getRefId` is `refId`, `isCanceled` is `canceled`.
fn property_of_getter(name: &str) -> Option<String> {
    let rest = name
        .strip_prefix("get")
        .or_else(|| name.strip_prefix("is"))?;
    let mut chars = rest.chars();
    let first = chars.next().filter(char::is_ascii_uppercase)?;
    Some(format!("{}{}", first.to_ascii_lowercase(), chars.as_str()))
}

fn on_number<'a>(target: &Val<'a>, name: &str, arguments: &[Val<'a>]) -> Option<Val<'a>> {
    if !arguments.is_empty() {
        return None;
    }
    let (long, double) = (number::long(target)?, number::double(target)?);
    Some(match name {
        "intValue" => Val::Int(match target {
            Val::Double(value) => *value as i32,
            _ => long as i32,
        }),
        "longValue" => Val::Long(long),
        "doubleValue" | "floatValue" => Val::Double(double),
        "isNaN" => Val::Bool(double.is_nan()),
        "isInfinite" => Val::Bool(double.is_infinite()),
        _ => return None,
    })
}

fn on_status<'a>(status: Status, name: &str, arguments: &[Val<'a>]) -> Option<Val<'a>> {
    if !arguments.is_empty() {
        return None;
    }
    Some(match name {
        "name" => Val::Text(Text::Borrowed(status.name())),
        "ordinal" => Val::length(Status::ALL.iter().position(|s| *s == status)?),
        "isComplete" => Val::Bool(status.is_complete()),
        "isHalt" => Val::Bool(status.is_halt()),
        "isSuccessful" => Val::Bool(status.is_successful()),
        "isFailure" => Val::Bool(status.is_failure()),
        "isSkipped" => Val::Bool(status == Status::Skipped),
        _ => return None,
    })
}
