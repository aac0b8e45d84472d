//! Functions that look at the artifacts which the trigger or a stage resolved.

use serde_json::Value;

use super::super::error::Result;
use super::super::eval::Evaluator;
use super::super::value::Val;
use super::{failed, one_text};

/// Every function of this file.
pub(super) const NAMES: [&str; 3] = [
    "triggerResolvedArtifact",
    "triggerResolvedArtifactByType",
    "resolvedArtifacts",
];

/// Calls one of [`NAMES`].
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Val<'a>> {
    let execution = evaluator.scope.execution;
    let of_trigger = execution
        .trigger
        .get("resolvedExpectedArtifacts")
        .and_then(Value::as_array);
    let of_trigger = || {
        of_trigger
            .into_iter()
            .flatten()
            .filter_map(|e| e.get("boundArtifact"))
    };
    let field = match name {
        "triggerResolvedArtifact" => "name",
        "triggerResolvedArtifactByType" => "type",
        _ => {
            let of_stages = execution.stages.iter().filter_map(|stage| {
                stage
                    .outputs
                    .get("resolvedExpectedArtifacts")
                    .and_then(Value::as_array)
            });
            let of_stages = of_stages.flatten().filter_map(|e| e.get("boundArtifact"));
            let mut all: Vec<&Value> = Vec::new();
            for artifact in of_trigger().chain(of_stages) {
                evaluator.spend(1 + all.len())?;
                if !all.contains(&artifact) {
                    all.push(artifact);
                }
            }
            return Ok(Val::list(all.into_iter().map(Val::from_json).collect()));
        }
    };
    let wanted = one_text(name, arguments)?;
    of_trigger()
        .find(|artifact| artifact.get(field).and_then(Value::as_str) == Some(wanted.as_str()))
        .map(Val::from_json)
        .ok_or_else(|| {
            failed(format!(
                "#{name}: the trigger of execution {} resolved no artifact with {field} '{wanted}'",
                execution.id
            ))
        })
}
