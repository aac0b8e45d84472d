//! Pipeline templates (v2): under which ids one is stored, and its digest.

use kork::model::{Context, Problem};
use serde_json::{Value, json};

use super::{
    Limits, ObjectType, author,
    layout::digest,
    names, next_update_ts,
    pipeline::{document_bytes, needed_template},
    problems, text,
};

/// The tags that Spinnaker knows; one with another tag could not be read by its Front50.
pub const TAGS: [&str; 6] = [
    "latest",
    "stable",
    "unstable",
    "experimental",
    "test",
    "canary",
];

/// The tag that always names the version saved last.
const LATEST: &str = "latest";

/// Members that front50 keeps about a version; they are no part of its content.
const BOOKKEEPING: [&str; 3] = ["digest", "lastModifiedBy", "updateTs"];

/// The id of one version: by tag, by digest, or the plain one.
///
/// # Errors
/// `Invalid` for both at once, and for what cannot be part of a key.
pub fn stored_id(id: &str, tag: Option<&str>, digest: Option<&str>) -> Result<String, Problem> {
    let stored = match (tag, digest) {
        (Some(_), Some(_)) => {
            let detail = "Cannot query pipeline by 'tag' and 'digest' simultaneously. Specify one \
                          of 'tag' or 'digest'.";
            return Err(problems::invalid_field("/tag", detail));
        }
        (Some(tag), None) => format!("{id}:{tag}"),
        (None, Some(digest)) => format!("{id}@sha256:{digest}"),
        (None, None) => id.to_owned(),
    };
    match names::key_part("/id", "the template id", &stored) {
        Some(error) => Err(problems::invalid(error.detail.clone(), vec![error])),
        None => Ok(stored),
    }
}

/// Checks a submitted template; answers with its id.
///
/// # Errors
/// `Invalid` with a pointer per wrong member, `TooLarge`.
pub fn submitted(
    document: &Context,
    tag: Option<&str>,
    limits: &Limits,
) -> Result<String, Problem> {
    let word = ObjectType::PipelineTemplate.word();
    document_bytes(word, document, limits.document_bytes_max)?;
    if let Some(tag) = tag.filter(|tag| !TAGS.contains(tag)) {
        let known = TAGS.join(", ");
        let detail = format!(
            "The provided tag {tag} is not supported. Pipeline template must tag be one of [{known}]"
        );
        return Err(problems::invalid_field("/tag", detail));
    }
    let metadata = document.get("metadata");
    let member = |name: &str| metadata.and_then(|metadata| metadata.get(name));
    let has_text = |name: &str| {
        let value = member(name).and_then(Value::as_str);
        value.is_some_and(|text| !text.trim().is_empty())
    };
    let has_scopes = member("scopes")
        .and_then(Value::as_array)
        .is_some_and(|scopes| !scopes.is_empty() && scopes.iter().all(Value::is_string));
    let id = text(document, "id").unwrap_or_default();
    let missing: Vec<&str> = [
        ("id", !id.trim().is_empty()),
        ("metadata.name", has_text("name")),
        ("metadata.description", has_text("description")),
        ("metadata.scopes", has_scopes),
    ]
    .into_iter()
    .filter_map(|(name, is_there)| (!is_there).then_some(name))
    .collect();
    if !missing.is_empty() {
        let detail = format!("Missing required fields: {}", missing.join(", "));
        let pointer = |name: &str| format!("/{}", name.replace('.', "/"));
        let errors = missing
            .iter()
            .map(|name| problems::field(pointer(name), &detail));
        return Err(problems::invalid(detail.clone(), errors.collect()));
    }
    if id.contains([':', '@']) {
        let detail = "the template id must not contain ':' or '@': a tag or a digest follows these";
        return Err(problems::invalid_field("/id", detail));
    }
    stored_id(id, None, None)
}

/// The document of one version as it is stored.
pub fn complete(
    document: &Context,
    tag: Option<&str>,
    stored: Option<&Context>,
    user: &str,
    now_ms: u64,
) -> Context {
    let mut version = content(document);
    version.insert("lastModifiedBy".to_owned(), json!(author(user)));
    let updated = next_update_ts(stored, now_ms).to_string();
    version.insert("updateTs".to_owned(), json!(updated));
    if let Some(tag) = tag {
        version.insert("tag".to_owned(), json!(tag));
    }
    version
}

/// What is the same in every version of one content.
fn content(document: &Context) -> Context {
    let mut content = document.clone();
    content.retain(|name, _| !BOOKKEEPING.contains(&name.as_str()) && name != "tag");
    content
}

/// The tags under which a save with this tag also stores the template.
pub fn also_latest(tag: Option<&str>) -> bool {
    tag != Some(LATEST)
}

/// Digest of a content as Spinnaker computes it: its JSON with sorted members and without any white
/// space, tagged `latest`.
pub fn content_digest(document: &Context) -> String {
    let mut content = content(document);
    content.insert("tag".to_owned(), json!(LATEST));
    let mut json = sorted(&Value::Object(content)).to_string();
    json.retain(|character| !matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'));
    digest(&json)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            let members = names
                .into_iter()
                .map(|name| (name.clone(), sorted(&members[name])));
            Value::Object(members.collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Whether a stored pipeline is made from this version of a template.
pub fn is_made_from(pipeline: &Context, stored_id: &str) -> bool {
    needed_template(pipeline).is_some_and(|needed| needed.eq_ignore_ascii_case(stored_id))
}

/// Refused: pipelines would lose their template.
pub fn still_needed(pipelines: &[&str]) -> Problem {
    let ids = pipelines.join(", ");
    let detail = format!("The following pipeline configs depend on this template: {ids}");
    problems::invalid_field("/id", detail)
}

/// Refused: there is one with this id.
pub fn id_taken(stored_id: &str) -> Problem {
    let detail = format!("A pipeline template with the id {stored_id} already exists");
    Problem::new("FRONT50-0002", kork::model::Kind::Invalid, detail.clone()).field("/id", detail)
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
            "schema": "v2", "id": "tmpl1", "protect": false,
            "metadata": {"name": "T1", "description": "d", "owner": "o@example.com", "scopes": ["global"]},
            "variables": [{"type": "int", "defaultValue": 42, "description": "w", "name": "waitTime"}],
            "pipeline": {
                "stages": [{"refId": "1", "requisiteStageRefIds": [], "type": "wait",
                    "name": "Wait", "waitTime": "${ templateVariables.waitTime }"}],
                "keepWaitingPipelines": false, "limitConcurrent": true,
                "lastModifiedBy": "anonymous", "triggers": [], "updateTs": "0",
            },
        }))
    }

    #[test]
    fn the_digest_is_spinnakers_and_follows_the_content_alone() {
        // As a real Front50 computed it for this template.
        let expected = "6c10abf45d39f73240f79e22ff571cb67b297e90f603d7007b8c4328f7461358";
        assert_eq!(content_digest(&template()), expected);
        let version = complete(&template(), Some("stable"), None, "bob", 7);
        assert_eq!(content_digest(&version), expected);
        let mut other = template();
        other.insert("protect".to_owned(), json!(true));
        assert_ne!(content_digest(&other), expected);
    }

    #[test]
    fn what_is_missing_is_named_at_once() {
        let limits = Limits::default();
        assert_eq!(submitted(&template(), None, &limits).unwrap(), "tmpl1");
        assert_eq!(
            submitted(&template(), Some("canary"), &limits).unwrap(),
            "tmpl1"
        );
        let empty = submitted(&Context::new(), None, &limits).unwrap_err();
        let all =
            "Missing required fields: id, metadata.name, metadata.description, metadata.scopes";
        assert_eq!((empty.detail.as_str(), empty.errors.len()), (all, 4));
        let tag = submitted(&template(), Some("mine"), &limits).unwrap_err();
        assert!(
            tag.detail
                .starts_with("The provided tag mine is not supported."),
            "{tag}"
        );
        let mut decorated = template();
        decorated.insert("id".to_owned(), json!("a:stable"));
        assert_eq!(
            submitted(&decorated, None, &limits).unwrap_err().errors[0].pointer,
            "/id"
        );
        assert!(stored_id("a", Some("stable"), Some("0f")).is_err());
        assert!(stored_id("a/b", None, None).is_err());
        assert_eq!(stored_id("a", None, Some("0f")).unwrap(), "a@sha256:0f");
    }
}
