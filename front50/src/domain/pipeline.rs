//! Pipelines and strategies: what is accepted, what is added, how a list is ordered.

use std::{borrow::Borrow, cmp::Ordering};

use kork::model::{Context, FieldError, Problem};
use serde_json::{Value, json};

use super::{
    Limits, ObjectType, author,
    fields::{Shape, conform, depth},
    limits::DEPTH_MAX,
    names, next_update_ts, problems, text, update_ts,
};

/// Members that Spinnaker's Front50 reads with a fixed type; all others are kept as they come.
const SHAPES: &[(&str, Shape)] = &[
    ("id", Shape::Text),
    ("name", Shape::Text),
    ("application", Shape::Text),
    ("type", Shape::Text),
    ("schema", Shape::Text),
    ("email", Shape::Text),
    ("serviceAccount", Shape::Text),
    ("executionEngine", Shape::Text),
    ("spelEvaluator", Shape::Text),
    ("index", Shape::Whole),
    ("maxConcurrentExecutions", Shape::Whole),
    ("stageCounter", Shape::Whole),
    ("disabled", Shape::Flag),
    ("keepWaitingPipelines", Shape::Flag),
    ("limitConcurrent", Shape::Flag),
    ("regenerateCronTriggerIds", Shape::Flag),
    ("config", Shape::Object),
    ("template", Shape::Object),
    ("constraints", Shape::Object),
    ("payloadConstraints", Shape::Object),
    ("roles", Shape::Texts),
    ("triggers", Shape::Objects),
    ("stages", Shape::Objects),
    ("parameterConfig", Shape::Objects),
];

/// A submitted pipeline or strategy that may be stored.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The document with typed members, trimmed names and defaults.
    pub document: Context,
    pub application: String,
    pub name: String,
    /// Absent for a new one that leaves the choice to the service.
    pub id: Option<String>,
}

/// The document as a reader shall see it, with its defaults, and what is wrong with it.
pub fn normalised(mut document: Context) -> (Context, Vec<FieldError>) {
    let mut errors = Vec::new();
    conform(&mut document, SHAPES, &mut errors);
    for member in ["name", "application", "id"] {
        if let Some(Value::String(text)) = document.get_mut(member) {
            *text = text.trim().to_owned();
        }
    }
    if text(&document, "schema").is_none_or(|schema| schema.trim().is_empty()) {
        document.insert("schema".to_owned(), json!("1"));
    }
    document.entry("triggers").or_insert_with(|| json!([]));
    (document, errors)
}

/// Checks a submitted document.
///
/// # Errors
/// `Invalid` with a pointer per wrong member, `TooLarge` past a limit.
pub fn submitted(of: ObjectType, document: Context, limits: &Limits) -> Result<Draft, Problem> {
    within_limits(of, &document, limits)?;
    let (mut document, mut errors) = normalised(document);
    let word = of.word();
    let missing: Vec<&str> = ["name", "application"]
        .into_iter()
        .filter(|member| {
            // A member of a wrong type was reported already.
            !errors
                .iter()
                .any(|error| error.pointer == format!("/{member}"))
                && text(&document, member).is_none_or(str::is_empty)
        })
        .collect();
    let required = format!("A {word} requires name and application fields");
    errors.extend(
        missing
            .iter()
            .map(|member| problems::field(format!("/{member}"), &required)),
    );
    let name = text(&document, "name").unwrap_or_default().to_owned();
    let application = text(&document, "application")
        .unwrap_or_default()
        .to_owned();
    errors.extend(names::shown_name(
        "/name",
        &format!("the {word} name"),
        &name,
    ));
    if !application.is_empty() {
        errors.extend(names::application("/application", &application));
    }
    let id = text(&document, "id")
        .filter(|id| !id.is_empty())
        .map(str::to_owned);
    if let Some(id) = &id {
        errors.extend(names::key_part("/id", &format!("the {word} id"), id));
    } else {
        document.remove("id");
    }
    if let Some(first) = errors.first() {
        let detail = if missing.is_empty() {
            first.detail.clone()
        } else {
            required
        };
        return Err(problems::invalid(detail, errors));
    }
    Ok(Draft {
        document,
        application,
        name,
        id,
    })
}

fn within_limits(of: ObjectType, document: &Context, limits: &Limits) -> Result<(), Problem> {
    let word = of.word();
    let max = limits.document_bytes_max;
    document_bytes(word, document, max)?;
    let stages = document
        .get("stages")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if stages > limits.stages_max {
        let max = limits.stages_max;
        let detail = format!("the {word} has {stages} stages, at most {max} are allowed");
        return Err(problems::too_large(detail));
    }
    Ok(())
}

/// Refuses a document that is too large or nested too deeply.
///
/// # Errors
/// `TooLarge`.
pub fn document_bytes(word: &str, document: &Context, bytes_max: usize) -> Result<usize, Problem> {
    let deep = depth(document);
    if deep > DEPTH_MAX {
        let detail = format!("the {word} is nested {deep} levels deep, at most {DEPTH_MAX}");
        return Err(problems::too_large(format!("{detail} are allowed")));
    }
    let bytes = serde_json::to_vec(document).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > bytes_max {
        let detail = format!("the {word} has {bytes} bytes, at most {bytes_max} are allowed");
        return Err(problems::too_large(detail));
    }
    Ok(bytes)
}

/// The document to store: id, time, author, the ids of cron triggers, and the stored `index` when
/// the submitted one has none.
pub fn complete(
    draft: &Draft,
    stored: Option<&Context>,
    id: &str,
    user: &str,
    now_ms: u64,
    new_id: &mut dyn FnMut() -> String,
) -> Context {
    let mut document = draft.document.clone();
    // The flag is an order for this save. Kept, it would renew the ids at every later one.
    let renew = document.remove("regenerateCronTriggerIds") == Some(Value::Bool(true));
    let id = stored.and_then(|stored| text(stored, "id")).unwrap_or(id);
    document.insert("id".to_owned(), json!(id));
    if !document.contains_key("index")
        && let Some(index) = stored.and_then(|stored| stored.get("index"))
    {
        document.insert("index".to_owned(), index.clone());
    }
    if let Some(Value::Array(triggers)) = document.get_mut("triggers") {
        for trigger in triggers.iter_mut().filter_map(Value::as_object_mut) {
            let is_cron = text(trigger, "type") == Some("cron");
            let has_id = text(trigger, "id").is_some_and(|id| !id.is_empty());
            // A copied pipeline must not share its schedule's identity with the original.
            if is_cron && (renew || stored.is_none() || !has_id) {
                trigger.insert("id".to_owned(), Value::String(new_id()));
            }
        }
    }
    document.insert("lastModifiedBy".to_owned(), json!(author(user)));
    let at = next_update_ts(stored, now_ms);
    document.insert("updateTs".to_owned(), Value::String(at.to_string()));
    document
}

/// True when the submitted document was made from another version than the stored one, and would
/// change something. Who submits what is stored already loses nothing.
pub fn is_stale(draft: &Draft, stored: &Context, complete: &Context) -> bool {
    update_ts(&draft.document) != update_ts(stored) && !same_content(stored, complete)
}

fn same_content(one: &Context, other: &Context) -> bool {
    let content = |document: &Context| {
        let mut document = document.clone();
        document.remove("updateTs");
        document.remove("lastModifiedBy");
        document
    };
    content(one) == content(other)
}

/// The order of a list: `index`, those without one last, then the name without case.
pub fn order(one: &Context, other: &Context) -> Ordering {
    let index = |document: &Context| document.get("index").and_then(Value::as_i64);
    let name = |document: &Context| text(document, "name").unwrap_or_default().to_lowercase();
    index(one)
        .unwrap_or(i64::MAX)
        .cmp(&index(other).unwrap_or(i64::MAX))
        .then_with(|| name(one).cmp(&name(other)))
        .then_with(|| text(one, "id").cmp(&text(other, "id")))
}

/// A list as it is shown: the filter looks for a part of the name, any case; pipelines are
/// numbered from 0 by their place in the answer.
pub fn shown<D: Borrow<Context>>(
    mut documents: Vec<D>,
    name_filter: Option<&str>,
    limit: Option<u32>,
    renumber: bool,
) -> Vec<Context> {
    if let Some(part) = name_filter.map(str::to_lowercase) {
        documents.retain(|document| {
            text(document.borrow(), "name").is_some_and(|name| name.to_lowercase().contains(&part))
        });
    }
    documents.sort_by(|one, other| order(one.borrow(), other.borrow()));
    if let Some(limit) = limit {
        documents.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    documents
        .into_iter()
        .enumerate()
        .map(|(place, document)| {
            let mut document = document.borrow().clone();
            if renumber {
                document.insert("index".to_owned(), json!(place));
            }
            document
        })
        .collect()
}

/// Id of the template in the bucket that a templated pipeline needs: `id`, `id:tag` or
/// `id@sha256:digest`.
pub fn needed_template(document: &Context) -> Option<&str> {
    if text(document, "type") != Some("templatedPipeline") {
        return None;
    }
    let template = document.get("template")?;
    let source = template
        .get("reference")
        .or_else(|| template.get("source"))?;
    source.as_str()?.strip_prefix("spinnaker://")
}

/// Members that triggers need to know, those of templates too, and a refresh waits for.
const TRIGGER_MEMBERS: [&str; 12] = [
    "id",
    "application",
    "name",
    "disabled",
    "triggers",
    "expectedArtifacts",
    "respectQuietPeriod",
    "updateTs",
    "type",
    "template",
    "variables",
    "exclude",
];

/// A pipeline without what no trigger looks at.
pub(crate) fn triggers_of(document: &Context) -> Context {
    let member = |name: &&str| Some(((*name).to_owned(), document.get(*name)?.clone()));
    TRIGGER_MEMBERS.iter().filter_map(member).collect()
}

#[cfg(test)]
mod tests;
