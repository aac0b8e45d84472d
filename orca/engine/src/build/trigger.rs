//! The trigger of an execution: every key that clients expect, and the defaults of parameters.

use kork_model::Context;
use serde_json::{Value, json};

use super::{Request, error, without_nulls};
use crate::{command::Invalid, context::text};

/// The trigger with all its usual keys; what else was sent stays.
pub(super) fn normalised(request: &Request<'_>) -> Result<Context, Invalid> {
    let own = match request.pipeline.get("trigger") {
        None | Some(Value::Null) => Context::new(),
        Some(Value::Object(own)) => own.clone(),
        Some(_) => return Err(invalid("/trigger", "must be an object")),
    };
    let mut trigger = own;
    if let Some(given) = request.trigger {
        trigger.extend(given.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    let Value::Object(mut trigger) = without_nulls(Value::Object(trigger)) else {
        unreachable!("an object without its nulls is an object")
    };
    let mut default = |key: &str, value: Value| {
        trigger.entry(key).or_insert(value);
    };
    default("type", json!("manual"));
    default("user", json!(request.user));
    default("parameters", json!({}));
    default("artifacts", json!([]));
    default("notifications", json!([]));
    default("rebake", json!(false));
    default("dryRun", json!(false));
    default("strategy", json!(false));
    by_shape(&mut trigger);
    if !trigger["parameters"].is_object() {
        return Err(invalid("/trigger/parameters", "must be an object"));
    }
    let Some(Value::Array(artifacts)) = trigger.get_mut("artifacts") else {
        return Err(invalid("/trigger/artifacts", "must be a list of artifacts"));
    };
    for artifact in artifacts.iter_mut().filter_map(Value::as_object_mut) {
        artifact.entry("customKind").or_insert(json!(false));
        artifact.entry("metadata").or_insert(json!({}));
    }
    Ok(trigger)
}

/// Keys that a trigger of a certain shape always has, as Spinnaker tells them apart.
fn by_shape(trigger: &mut Context) {
    let has = |keys: &[&str]| keys.iter().all(|key| trigger.contains_key(*key));
    if has(&["master", "job", "buildNumber"]) {
        trigger.entry("properties").or_insert(json!({}));
    } else if has(&["source", "project", "branch", "slug", "hash"]) {
        trigger.entry("action").or_insert(json!("undefined"));
    }
}

/// Names and defaults of the parameters that have one.
pub(super) fn parameter_defaults(pipeline: &Context) -> Result<Vec<(String, Value)>, Invalid> {
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
