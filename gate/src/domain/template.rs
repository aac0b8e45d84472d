//! A stored pipeline as the start of a pipeline template, in YAML.

use kork_model::Context;
use serde_json::{Value, json};

/// What a reader must do by hand, above the generated text.
const HEAD: &str = "\
# Generated from a pipeline as a starting point for a template.
# Give the template an id of its own (prefix it with your team), describe it, turn what differs
# between users into variables, and give the stages ids that say what they do.
";

/// The template. Stages refer to each other by `<type><refId>`.
pub(crate) fn from_pipeline(pipeline: &Context) -> Result<String, serde_yaml_ng::Error> {
    let text = |key: &str| {
        pipeline
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let list = |key: &str| pipeline.get(key).cloned().unwrap_or_else(|| json!([]));
    let plain: String = text("name")
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let template = json!({
        "schema": "1",
        "id": format!("{}-{plain}", text("application")),
        "metadata": {
            "name": text("name"),
            "description": text("description"),
            "owner": text("lastModifiedBy"),
            "scopes": [text("application")],
        },
        "protect": false,
        "configuration": {
            "concurrentExecutions": {
                "limitConcurrent": pipeline.get("limitConcurrent").unwrap_or(&Value::Bool(true)),
                "maxConcurrentExecutions":
                    pipeline.get("maxConcurrentExecutions").unwrap_or(&json!(0)),
            },
            "triggers": list("triggers"),
            "parameters": list("parameterConfig"),
            "notifications": list("notifications"),
            "expectedArtifacts": list("expectedArtifacts"),
        },
        "variables": [],
        "stages": stages(pipeline),
    });
    serde_yaml_ng::to_string(&template).map(|yaml| format!("{HEAD}{yaml}"))
}

fn stages(pipeline: &Context) -> Vec<Value> {
    let stages = pipeline.get("stages").and_then(Value::as_array);
    let stages: Vec<&Context> = stages
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .collect();
    let named = |reference: &Value| {
        let stage = stages
            .iter()
            .find(|stage| stage.get("refId") == Some(reference));
        stage.map_or_else(|| reference.clone(), |stage| Value::String(id(stage)))
    };
    stages
        .iter()
        .map(|stage| {
            let parents = stage.get("requisiteStageRefIds").and_then(Value::as_array);
            let config: Context = stage
                .iter()
                .filter(|(key, _)| {
                    !matches!(
                        key.as_str(),
                        "name" | "type" | "refId" | "requisiteStageRefIds"
                    )
                })
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            json!({
                "id": id(stage),
                "type": stage.get("type"),
                "name": stage.get("name"),
                "dependsOn": parents.into_iter().flatten().map(named).collect::<Vec<_>>(),
                "config": config,
            })
        })
        .collect()
}

fn id(stage: &Context) -> String {
    let text = |key: &str| match stage.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    format!("{}{}", text("type"), text("refId"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_depend_on_each_other_by_their_new_ids() {
        let Value::Object(pipeline) = json!({
            "application": "shop", "name": "to prod",
            "stages": [
                {"refId": "1", "type": "wait", "name": "w", "waitTime": 3},
                {"refId": "2", "type": "wait", "requisiteStageRefIds": ["1"]},
            ],
        }) else {
            panic!("not an object")
        };
        let yaml = from_pipeline(&pipeline).unwrap();
        let read: Value = serde_yaml_ng::from_str(&yaml).unwrap();
        assert_eq!(read["id"], "shop-toprod");
        assert_eq!(read["stages"][1]["dependsOn"], json!(["wait1"]));
        assert_eq!(read["stages"][0]["config"], json!({"waitTime": 3}));
    }
}
