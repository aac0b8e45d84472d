//! Expected artifacts: received, else from the execution before, else the default, else refused.

use kork_model::Context;
use serde_json::Value;

use super::{Request, error};
use crate::{
    artifact,
    command::Invalid,
    context::{flag, text},
};

/// Binds what the trigger asks for and sets `artifacts`, `expectedArtifacts` and
/// `resolvedExpectedArtifacts` of the trigger.
pub(super) fn resolve(request: &Request<'_>, trigger: &mut Context) -> Result<(), Invalid> {
    let named: Vec<&str> = trigger
        .get("expectedArtifactIds")
        .and_then(Value::as_array)
        .map(|ids| ids.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let expected = request
        .pipeline
        .get("expectedArtifacts")
        .and_then(Value::as_array);
    let wanted = expected
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter(|e| {
            text(e, "id").is_some_and(|id| named.contains(&id))
                || flag(e, "useDefaultArtifact") == Some(true)
                || flag(e, "usePriorArtifact") == Some(true)
        });
    let passed_on = request.pipeline.get("receivedArtifacts");
    let mut artifacts = artifact::all(passed_on.into_iter().chain(trigger.get("artifacts")));
    let received = artifacts.clone();
    let mut all_bound = Vec::new();
    for expected in wanted {
        let found = bind(expected, &received, request.prior_artifacts)?;
        if !artifacts.contains(&found) {
            artifacts.push(found.clone());
        }
        all_bound.push(artifact::bound(expected, found));
    }
    trigger.insert("artifacts".to_owned(), Value::Array(artifacts));
    if !all_bound.is_empty() {
        let bound = Value::Array(all_bound);
        trigger.insert("expectedArtifacts".to_owned(), bound.clone());
        trigger.insert("resolvedExpectedArtifacts".to_owned(), bound);
    }
    Ok(())
}

fn bind(expected: &Context, received: &[Value], prior: &[Value]) -> Result<Value, Invalid> {
    let name = artifact::name_of(expected);
    if let Some(artifact) = only_match(name, expected, received)? {
        return Ok(artifact);
    }
    if flag(expected, "usePriorArtifact") == Some(true) {
        let prior = artifact::all([&Value::Array(prior.to_vec())]);
        if let Some(artifact) = only_match(name, expected, &prior)? {
            return Ok(artifact);
        }
    }
    artifact::default_of(expected).ok_or_else(|| {
        refused(
            format!("Unmatched expected artifact {name} could not be resolved"),
            "send an artifact that matches, or give it a default artifact",
        )
    })
}

fn only_match(name: &str, expected: &Context, from: &[Value]) -> Result<Option<Value>, Invalid> {
    match artifact::matching(expected, from).as_slice() {
        [] => Ok(None),
        [only] => Ok(Some((*only).clone())),
        many => Err(refused(
            format!("Expected artifact {name} matches {} artifacts", many.len()),
            "exactly one artifact may match; make matchArtifact narrower",
        )),
    }
}

fn refused(detail: String, advice: &str) -> Invalid {
    Invalid {
        code: "ORCA-0014",
        detail,
        errors: vec![error("/trigger/artifacts", advice)],
    }
}
