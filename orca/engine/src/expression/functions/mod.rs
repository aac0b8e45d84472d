//! The `#functions`: Spinnaker's helper functions, except those that would reach out of the engine.

mod artifacts;
mod convert;
mod stages;

use super::error::{ErrorKind, ExpressionError, Result};
use super::eval::Evaluator;
use super::property;
use super::value::Val;

/// Calls `#name(arguments)`.
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Val<'a>> {
    // `#stage(#root.execution, 'x')` is how Spinnaker rewrites `#stage('x')`; both are taken.
    let arguments = match arguments {
        [Val::Execution(_), rest @ ..] => rest,
        all => all,
    };
    let needs_execution = stages::NAMES.contains(&name) || artifacts::NAMES.contains(&name);
    if needs_execution && !property::execution_is_known(evaluator) {
        return Err(failed(format!(
            "#{name}: the execution has not started yet"
        )));
    }
    if stages::NAMES.contains(&name) {
        return stages::call(evaluator, name, arguments);
    }
    if artifacts::NAMES.contains(&name) {
        return artifacts::call(evaluator, name, arguments);
    }
    match name {
        "fromUrl" | "jsonFromUrl" | "yamlFromUrl" | "propertiesFromUrl" | "fetchReference" => {
            Err(failed(format!(
                "#{name}: expressions do not fetch anything; use a webhook stage and read its result"
            )))
        }
        _ => convert::call(evaluator, name, arguments)?
            .ok_or_else(|| ExpressionError::evaluation(format!("there is no function '#{name}'"))),
    }
}

fn failed(message: impl Into<String>) -> ExpressionError {
    ExpressionError::new(ErrorKind::Function, message)
}

fn wrong_arguments(name: &str, wanted: &str) -> ExpressionError {
    ExpressionError::evaluation(format!("#{name} takes {wanted}"))
}

/// The only argument as text; numbers and lists are converted as Spring does it.
fn one_text(name: &str, arguments: &[Val<'_>]) -> Result<String> {
    match arguments {
        [value] if !value.is_null() => value
            .joined_text()
            .ok_or_else(|| wrong_arguments(name, &format!("a text, not {}", value.type_name()))),
        [_] => Err(failed(format!("#{name} cannot take null"))),
        _ => Err(wrong_arguments(name, "one text")),
    }
}
