//! Artifacts as every part of an execution shows them, and what matches what.

use fancy_regex::Regex;
use kork_model::{Context, Execution, Stage};
use serde_json::{Value, json};

use crate::context::{flag, spelled, text};

/// Fields that an artifact is matched by: empty = any, equal, or a regular expression over the whole.
const MATCHED: [&str; 5] = ["type", "name", "version", "location", "reference"];
/// Its other fields that are texts.
const OTHER: [&str; 3] = ["artifactAccount", "provenance", "uuid"];

/// An artifact with all that clients expect; fields that nobody knows go into its metadata.
pub(crate) fn normalised(given: &Context) -> Value {
    let mut artifact = Context::new();
    for key in MATCHED.into_iter().chain(OTHER) {
        if let Some(value) = spelled(given, key) {
            artifact.insert(key.to_owned(), Value::from(value));
        }
    }
    let metadata = given.get("metadata").and_then(Value::as_object);
    let mut metadata = metadata.cloned().unwrap_or_default();
    let known = |key: &str| {
        MATCHED.contains(&key)
            || OTHER.contains(&key)
            || ["metadata", "customKind", "kind"].contains(&key)
    };
    let unknown = given.iter().filter(|(k, v)| !known(k) && !v.is_null());
    metadata.extend(unknown.map(|(k, v)| (k.clone(), v.clone())));
    artifact.insert("metadata".to_owned(), Value::Object(metadata));
    let custom = flag(given, "customKind") == Some(true);
    artifact.insert("customKind".to_owned(), Value::Bool(custom));
    Value::Object(artifact)
}

/// All artifacts of some lists, each once.
pub(crate) fn all<'a>(lists: impl IntoIterator<Item = &'a Value>) -> Vec<Value> {
    let mut all = Vec::new();
    let lists = lists.into_iter().filter_map(Value::as_array).flatten();
    for artifact in lists.filter_map(Value::as_object).map(normalised) {
        if !all.contains(&artifact) {
            all.push(artifact);
        }
    }
    all
}

/// The artifacts of an execution, each once: what its stages published, the newest first, then what came
/// with its trigger.
pub fn artifacts_of(execution: &Execution) -> Vec<Value> {
    let mut stages: Vec<&Stage> = execution.stages.iter().collect();
    stages.sort_by_key(|stage| std::cmp::Reverse(stage.end_time));
    published(&stages, execution)
}

/// The artifacts that a stage may use, each once: what the stages before it published, the nearest first,
/// then what came with the trigger.
pub fn artifacts_before(execution: &Execution, stage: &Stage) -> Vec<Value> {
    published(&crate::ancestors(execution, stage), execution)
}

fn published(stages: &[&Stage], execution: &Execution) -> Vec<Value> {
    let of_stages = stages.iter().filter_map(|s| s.outputs.get("artifacts"));
    all(of_stages.chain(execution.trigger.get("artifacts")))
}

/// An expected artifact with what it is bound to.
pub(crate) fn bound(expected: &Context, artifact: Value) -> Value {
    let part = |key: &str| expected.get(key).and_then(Value::as_object).map(normalised);
    let mut shown = Context::from_iter([
        ("boundArtifact".to_owned(), artifact),
        (
            "matchArtifact".to_owned(),
            part("matchArtifact").unwrap_or_else(|| normalised(&Context::new())),
        ),
    ]);
    for key in ["usePriorArtifact", "useDefaultArtifact"] {
        shown.insert(key.to_owned(), json!(flag(expected, key) == Some(true)));
    }
    if let Some(default) = part("defaultArtifact") {
        shown.insert("defaultArtifact".to_owned(), default);
    }
    if let Some(id) = spelled(expected, "id") {
        shown.insert("id".to_owned(), Value::from(id));
    }
    Value::Object(shown)
}

/// The artifacts that an expected one matches.
pub(crate) fn matching<'a>(expected: &Context, from: &'a [Value]) -> Vec<&'a Value> {
    let pattern = expected.get("matchArtifact").and_then(Value::as_object);
    let empty = Context::new();
    let pattern = pattern.unwrap_or(&empty);
    from.iter().filter(|a| matches(pattern, a)).collect()
}

/// What an expected artifact falls back to.
pub(crate) fn default_of(expected: &Context) -> Option<Value> {
    let default = expected.get("defaultArtifact").and_then(Value::as_object)?;
    (flag(expected, "useDefaultArtifact") == Some(true)).then(|| normalised(default))
}

/// How people call an expected artifact.
pub(crate) fn name_of(expected: &Context) -> &str {
    text(expected, "displayName")
        .or_else(|| text(expected, "id"))
        .unwrap_or_default()
}

fn matches(pattern: &Context, artifact: &Value) -> bool {
    MATCHED.into_iter().all(|field| {
        let Some(wanted) = text(pattern, field).filter(|w| !w.is_empty()) else {
            return true;
        };
        let Some(actual) = artifact.get(field).and_then(Value::as_str) else {
            return false;
        };
        // In Java's words, as triggers match: one must not let in what the other refuses.
        wanted == actual
            || Regex::new(&format!("^(?:{wanted})$"))
                .is_ok_and(|regex| regex.is_match(actual).unwrap_or(false))
    })
}
