//! The trigger of an execution: every key that clients expect, and the defaults of parameters.

use kork_model::Context;
use serde_json::{Value, json};

use super::{Request, error, without_nulls};
use crate::{command::Invalid, context::text};

/// The trigger with all its usual keys; what else was sent stays. One that is no object counts as
/// none, as in Spinnaker.
pub(super) fn normalised(request: &Request<'_>) -> Result<Context, Invalid> {
    let Value::Object(mut trigger) = without_nulls(Value::Object(sent(request))) else {
        unreachable!("an object without its nulls is an object")
    };
    named(request, &mut trigger);
    let mut default = |key: &str, value: Value| {
        trigger.entry(key).or_insert(value);
    };
    default("artifacts", json!([]));
    default("notifications", json!([]));
    for key in ["rebake", "dryRun", "strategy"] {
        let set = trigger.get(key) == Some(&json!(true));
        trigger.insert(key.to_owned(), json!(set));
    }
    by_shape(&mut trigger);
    if !trigger["parameters"].is_object() {
        return Err(invalid("/trigger/parameters", "must be an object"));
    }
    if !trigger["artifacts"].is_array() {
        return Err(invalid("/trigger/artifacts", "must be a list of artifacts"));
    }
    Ok(trigger)
}

/// The trigger as it would be planned: who and what started it, and the parameters.
pub(super) fn planned(request: &Request<'_>) -> Context {
    let mut trigger = sent(request);
    named(request, &mut trigger);
    trigger
}

/// What the request says itself, and what stands over the definition's own.
fn sent(request: &Request<'_>) -> Context {
    let own = request.pipeline.get("trigger").and_then(Value::as_object);
    let mut trigger = own.cloned().unwrap_or_default();
    let given = request.trigger.into_iter().flatten();
    trigger.extend(given.map(|(k, v)| (k.clone(), v.clone())));
    trigger
}

/// The keys that every trigger has; an empty one counts as none.
fn named(request: &Request<'_>, trigger: &mut Context) {
    let defaults = [
        ("type", json!("manual")),
        ("user", json!(request.user)),
        ("parameters", json!({})),
    ];
    for (key, value) in defaults {
        let empty = match trigger.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::Bool(true) | Value::Number(_) | Value::Object(_)) => false,
        };
        if empty {
            trigger.insert(key.to_owned(), value);
        }
    }
}

/// Keys that a trigger of a certain shape always has, as Spinnaker tells them apart.
fn by_shape(trigger: &mut Context) {
    let has = |keys: &[&str]| keys.iter().all(|key| trigger.contains_key(*key));
    if has(&["account", "repository", "tag"]) {
        return;
    }
    let concourse = trigger.get("type") == Some(&json!("concourse"));
    if concourse || has(&["master", "job", "buildNumber"]) {
        trigger.entry("properties").or_insert(json!({}));
    } else if has(&["source", "project", "branch", "slug", "hash"]) {
        trigger.entry("action").or_insert(json!("undefined"));
    }
}

/// Fills the parameters that were not given. One that was given as null stays without a value.
pub(super) fn fill_parameters(request: &Request<'_>, trigger: &mut Context) -> Result<(), Invalid> {
    let sent = sent(request);
    let given = sent.get("parameters").and_then(Value::as_object);
    for (name, value) in parameter_defaults(request.pipeline)? {
        let named = given.is_some_and(|given| given.contains_key(&name));
        if let (false, Some(Value::Object(parameters))) = (named, trigger.get_mut("parameters")) {
            parameters.entry(name).or_insert(value);
        }
    }
    Ok(())
}

/// Names and defaults of the parameters that have one.
fn parameter_defaults(pipeline: &Context) -> Result<Vec<(String, Value)>, Invalid> {
    let list = match pipeline.get("parameterConfig") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(invalid("/parameterConfig", "must be a list of parameters")),
    };
    let mut defaults = Vec::new();
    for (at, parameter) in list.iter().enumerate() {
        let name = parameter.as_object().and_then(|p| text(p, "name"));
        let Some(name) = name else {
            let pointer = format!("/parameterConfig/{at}/name");
            return Err(invalid(&pointer, "must be the name of the parameter"));
        };
        if let Some(value) = parameter.get("default").filter(|v| !v.is_null()) {
            defaults.push((name.to_owned(), value.clone()));
        }
    }
    Ok(defaults)
}

fn invalid(pointer: &str, text: &str) -> Invalid {
    Invalid {
        code: "ORCA-0010",
        detail: format!("the pipeline cannot be started: {pointer} {text}"),
        errors: vec![error(pointer, text)],
    }
}
