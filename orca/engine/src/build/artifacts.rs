//! Expected artifacts: received, else from the execution before, else the default, else refused.

use kork_model::Context;
use regex::Regex;
use serde_json::{Value, json};

use super::{Request, error};
use crate::{
    command::Invalid,
    context::{flag, text},
};

/// Fields that an artifact is matched by: empty = any, equal, or a regular expression over the whole.
const MATCHED: [&str; 5] = ["type", "name", "version", "location", "reference"];

/// Binds what the trigger asks for and sets `artifacts`, `expectedArtifacts` and
/// `resolvedExpectedArtifacts` of the trigger.
pub(super) fn resolve(request: &Request<'_>, trigger: &mut Context) -> Result<(), Invalid> {
    let named: Vec<String> = trigger
        .get("expectedArtifactIds")
        .and_then(Value::as_array)
        .map(|ids| {
            ids.iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    let expected = request
        .pipeline
        .get("expectedArtifacts")
        .and_then(Value::as_array);
    let wanted: Vec<&Context> = expected
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .filter(|e| {
            text(e, "id").is_some_and(|id| named.iter().any(|n| n == id))
                || flag(e, "useDefaultArtifact") == Some(true)
                || flag(e, "usePriorArtifact") == Some(true)
        })
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let received = trigger
        .get("artifacts")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut bound = Vec::new();
    for expected in wanted {
        let artifact = bind(expected, &received, request.prior_artifacts)?;
        let mut expected = expected.clone();
        expected.insert("boundArtifact".to_owned(), artifact);
        bound.push(Value::Object(expected));
    }
    let mut artifacts = received;
    for artifact in bound.iter().map(|e| &e["boundArtifact"]) {
        if !artifacts.contains(artifact) {
            artifacts.push(artifact.clone());
        }
    }
    trigger.insert("artifacts".to_owned(), Value::Array(artifacts));
    trigger.insert("expectedArtifacts".to_owned(), Value::Array(bound.clone()));
    trigger.insert("resolvedExpectedArtifacts".to_owned(), Value::Array(bound));
    Ok(())
}

fn bind(expected: &Context, received: &[Value], prior: &[Value]) -> Result<Value, Invalid> {
    let name = text(expected, "displayName")
        .or_else(|| text(expected, "id"))
        .unwrap_or_default();
    let pattern = expected.get("matchArtifact").and_then(Value::as_object);
    let empty = Context::new();
    let pattern = pattern.unwrap_or(&empty);
    if let Some(artifact) = only_match(name, pattern, received)? {
        return Ok(artifact);
    }
    let prior = if flag(expected, "usePriorArtifact") == Some(true) {
        prior
    } else {
        &[]
    };
    if let Some(artifact) = only_match(name, pattern, prior)? {
        return Ok(artifact);
    }
    let default = expected.get("defaultArtifact").filter(|d| d.is_object());
    match default.filter(|_| flag(expected, "useDefaultArtifact") == Some(true)) {
        Some(default) => {
            let mut artifact = default.clone();
            artifact["customKind"] = json!(false);
            if artifact.get("metadata").is_none() {
                artifact["metadata"] = json!({});
            }
            Ok(artifact)
        }
        None => Err(refused(
            format!("Unmatched expected artifact {name} could not be resolved"),
            "send an artifact that matches, or give it a default artifact",
        )),
    }
}

fn only_match(name: &str, pattern: &Context, from: &[Value]) -> Result<Option<Value>, Invalid> {
    let mut found = from.iter().filter(|artifact| matches(pattern, artifact));
    let first = found.next();
    match found.count() {
        0 => Ok(first.cloned()),
        more => Err(refused(
            format!("Expected artifact {name} matches {} artifacts", more + 1),
            "exactly one artifact may match; make matchArtifact narrower",
        )),
    }
}

fn matches(pattern: &Context, artifact: &Value) -> bool {
    MATCHED.into_iter().all(|field| {
        let Some(wanted) = text(pattern, field).filter(|w| !w.is_empty()) else {
            return true;
        };
        let Some(actual) = artifact.get(field).and_then(Value::as_str) else {
            return false;
        };
        wanted == actual
            || Regex::new(&format!("^(?:{wanted})$")).is_ok_and(|regex| regex.is_match(actual))
    })
}

fn refused(detail: String, advice: &str) -> Invalid {
    Invalid {
        code: "ORCA-0014",
        detail,
        errors: vec![error("/trigger/artifacts", advice)],
    }
}
