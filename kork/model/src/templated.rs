//! The pipeline that a template and its configuration make (v2).

use crate::Context;
use serde_json::{Map, Value, json};

/// Before the id of a template that front50 keeps.
const STORED: &str = "spinnaker://";

/// Lists that a configuration adds to, by their name in it, in the pipeline and in `exclude`.
const LISTS: [(&str, &str); 4] = [
    ("notifications", "notifications"),
    ("parameters", "parameterConfig"),
    ("triggers", "triggers"),
    ("expectedArtifacts", "expectedArtifacts"),
];

/// The stored id (`id`, `id:tag`, `id@sha256:digest`) of the template that a configuration names.
pub fn stored_id(config: &Context) -> Option<&str> {
    let template = config.get("template")?;
    let reference = template
        .get("reference")
        .or_else(|| template.get("source"))?;
    let id = reference.as_str()?.strip_prefix(STORED)?;
    (!id.is_empty()).then_some(id)
}

/// The pipeline, or the names of the variables that have no value.
///
/// Variables are put in where they stand alone in an expression; every other expression stays for
/// the moment in which it counts, and finds them in `templateVariables`.
pub fn pipeline(template: &Context, config: &Context) -> Result<Context, Vec<String>> {
    let variables = variables(template, config)?;
    let mut pipeline = match template.get("pipeline") {
        Some(Value::Object(pipeline)) => pipeline.clone(),
        _ => Map::new(),
    };
    let or = |name: &str, other: &str| {
        let given = config.get(name).filter(|value| !value.is_null());
        given.cloned().unwrap_or_else(|| json!(other))
    };
    pipeline.insert("id".to_owned(), or("id", "unknown"));
    pipeline.insert("name".to_owned(), or("name", "Unnamed Execution"));
    pipeline.insert("application".to_owned(), or("application", ""));
    for flag in ["limitConcurrent", "keepWaitingPipelines"] {
        let given = config.get(flag).cloned().unwrap_or(Value::Bool(false));
        pipeline.entry(flag).or_insert(given);
    }
    for (list, member) in LISTS {
        let all = merged(&pipeline, config, list, member);
        pipeline.insert(member.to_owned(), all);
    }
    let mut pipeline = filled(&Value::Object(pipeline), &variables);
    let source = stored_id(config).map(|id| format!("{STORED}{id}"));
    pipeline["source"] = json!({"id": source, "type": "templatedPipeline", "version": "v2"});
    pipeline["templateVariables"] = Value::Object(variables);
    match pipeline {
        Value::Object(pipeline) => Ok(pipeline),
        _ => Ok(Context::new()),
    }
}

/// The values that the configuration gives, and the template's for the others.
fn variables(template: &Context, config: &Context) -> Result<Map<String, Value>, Vec<String>> {
    let mut values = match config.get("variables") {
        Some(Value::Object(given)) => given.clone(),
        _ => Map::new(),
    };
    let mut missing = Vec::new();
    let declared = template.get("variables").and_then(Value::as_array);
    for variable in declared.into_iter().flatten() {
        let Some(name) = variable.get("name").and_then(Value::as_str) else {
            continue;
        };
        if values.get(name).is_some_and(|value| !value.is_null()) {
            continue;
        }
        match variable
            .get("defaultValue")
            .filter(|value| !value.is_null())
        {
            Some(value) => drop(values.insert(name.to_owned(), value.clone())),
            None => missing.push(name.to_owned()),
        }
    }
    if missing.is_empty() {
        Ok(values)
    } else {
        Err(missing)
    }
}

/// The template's entries, unless they are excluded, and those of the configuration, each once.
fn merged(pipeline: &Context, config: &Context, list: &str, member: &str) -> Value {
    let excluded = config.get("exclude").and_then(Value::as_array);
    let is_excluded = excluded.is_some_and(|names| names.iter().any(|name| name == list));
    let entries = |of: Option<&Value>| of.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut all = if is_excluded {
        Vec::new()
    } else {
        entries(pipeline.get(member))
    };
    let own = config.get(list).or_else(|| config.get(member));
    for entry in entries(own) {
        if !all.contains(&entry) {
            all.push(entry);
        }
    }
    Value::Array(all)
}

fn filled(value: &Value, variables: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => filled_text(text, variables),
        Value::Array(list) => list.iter().map(|each| filled(each, variables)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), filled(value, variables)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// A text that is one variable becomes its value, with its type; inside of more text it is written.
fn filled_text(text: &str, variables: &Map<String, Value>) -> Value {
    if let Some((name, "")) = text.strip_prefix("${").and_then(variable)
        && let Some(value) = variables.get(name)
    {
        return value.clone();
    }
    let mut rest = text;
    let mut written = String::new();
    while let Some((before, behind)) = rest.split_once("${") {
        written.push_str(before);
        let found = variable(behind).and_then(|(name, after)| Some((variables.get(name)?, after)));
        rest = if let Some((value, after)) = found {
            match value {
                Value::String(text) => written.push_str(text),
                other => written.push_str(&other.to_string()),
            }
            after
        } else {
            written.push_str("${");
            behind
        };
    }
    written.push_str(rest);
    Value::String(written)
}

/// The name in ` templateVariables.name }`, and what follows it.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (inside, after) = text.split_once('}')?;
    let name = inside.trim().strip_prefix("templateVariables.")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.chars().all(is_name).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Context {
        match value {
            Value::Object(object) => object,
            other => panic!("not an object: {other}"),
        }
    }

    fn template() -> Context {
        object(json!({
            "variables": [{"name": "t", "type": "int", "defaultValue": 42}, {"name": "who"}],
            "pipeline": {
                "limitConcurrent": true, "own": 1,
                "triggers": [{"type": "cron"}], "notifications": [{"type": "email"}],
                "stages": [{"type": "wait", "waitTime": "${ templateVariables.t }",
                    "comments": "for ${templateVariables.who}: ${ templateVariables.t }s ${ #f(1) } $"}],
            },
        }))
    }

    #[test]
    fn a_configuration_fills_its_template() {
        let config = object(json!({
            "application": "shop", "name": "n", "variables": {"who": "me"},
            "template": {"reference": "spinnaker://wait:stable"}, "exclude": ["notifications"],
            "triggers": [{"type": "cron"}, {"type": "git"}], "parameters": [{"name": "p"}],
        }));
        let made = Value::Object(pipeline(&template(), &config).unwrap());
        assert_eq!(made["id"], "unknown");
        assert_eq!(made["stages"][0]["waitTime"], 42);
        assert_eq!(made["stages"][0]["comments"], "for me: 42s ${ #f(1) } $");
        assert_eq!(made["triggers"], json!([{"type": "cron"}, {"type": "git"}]));
        assert_eq!(made["notifications"], json!([]));
        assert_eq!(made["parameterConfig"], json!([{"name": "p"}]));
        assert_eq!(made["templateVariables"], json!({"who": "me", "t": 42}));
        assert_eq!(made["source"]["id"], "spinnaker://wait:stable");
        assert_eq!(
            (&made["limitConcurrent"], &made["own"]),
            (&json!(true), &json!(1))
        );
    }

    #[test]
    fn variables_without_a_value_are_named() {
        let missing = pipeline(&template(), &Context::new()).unwrap_err();
        assert_eq!(missing, ["who"]);
    }

    #[test]
    fn only_stored_templates_are_known() {
        let config = |reference: Value| object(json!({"template": {"reference": reference}}));
        assert_eq!(stored_id(&config(json!("spinnaker://a"))), Some("a"));
        for other in [
            json!("spinnaker://"),
            json!("http://a"),
            json!(1),
            json!(null),
        ] {
            assert_eq!(stored_id(&config(other)), None);
        }
        assert_eq!(stored_id(&Context::new()), None);
    }
}
