//! The refusals of this service. Each has a code with a page in kork's catalogue.

use kork::model::{Context, FieldError, Kind, Problem};
use serde_json::json;

use super::{
    ObjectType,
    limits::{ANSWER_BYTES_MAX, CONFLICT_BYTES_MAX},
};

/// A document with wrong fields.
pub fn invalid(detail: impl Into<String>, errors: Vec<FieldError>) -> Problem {
    let mut problem = Problem::new("FRONT50-0001", Kind::Invalid, detail);
    problem.errors = errors;
    problem
}

/// A wrong field.
pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError {
        pointer: pointer.into(),
        detail: detail.into(),
    }
}

/// A document with one wrong field, whose sentence says all.
pub fn invalid_field(pointer: &str, detail: impl Into<String>) -> Problem {
    let detail = detail.into();
    invalid(detail.clone(), vec![field(pointer, detail)])
}

/// The name belongs to another object. The sentence is Spinnaker's: clients look for it.
pub fn name_taken(of: ObjectType, name: &str, application: &str) -> Problem {
    let detail = if of == ObjectType::Project {
        format!("A Project named '{name}' already exists")
    } else {
        let word = of.word();
        format!("A {word} with name {name} already exists in application {application}")
    };
    Problem::new("FRONT50-0002", Kind::Invalid, detail.clone()).field("/name", detail)
}

/// The stored version is not the one that the submitted document was made from.
pub fn stale(of: ObjectType, id: &str, submitted: &Context, stored: &Context) -> Problem {
    let by = super::text(stored, "lastModifiedBy").unwrap_or(super::ANONYMOUS);
    let detail = format!(
        "the submitted {} {id} is stale: {by} has saved it meanwhile; load it again and repeat the \
         change",
        of.word()
    );
    let mut data = json!({ "submitted": submitted, "stored": stored });
    if data.to_string().len() > CONFLICT_BYTES_MAX {
        // The caller has the one and can ask for the other.
        data = json!({ "submitted": head(submitted), "stored": head(stored) });
    }
    Problem::new("FRONT50-0003", Kind::Conflict, detail).with_data(data)
}

/// What tells versions apart.
fn head(document: &Context) -> Context {
    let members = ["id", "name", "application", "updateTs", "lastModifiedBy"];
    let kept = document
        .iter()
        .filter(|(name, _)| members.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// There is no such object.
pub fn not_found(detail: impl Into<String>) -> Problem {
    Problem::new("FRONT50-0004", Kind::NotFound, detail)
}

/// A named limit is passed.
pub fn too_large(detail: impl Into<String>) -> Problem {
    Problem::new("FRONT50-0005", Kind::TooLarge, detail)
}

/// The object store does not answer, or refuses.
pub fn store(doing: &str, cause: &(dyn std::error::Error + 'static)) -> Problem {
    let detail = format!("the object store failed while {doing}; try again in a moment");
    Problem::new("FRONT50-0006", Kind::Unavailable, detail)
        .because(cause)
        .retry_after(1)
}

/// Other writers were faster each time.
pub fn contended(of: ObjectType, id: &str, tries: u32) -> Problem {
    let detail = format!(
        "{} {id} was changed by others during each of {tries} tries to save it; try again",
        of.word()
    );
    Problem::new("FRONT50-0007", Kind::Unavailable, detail).retry_after(1)
}

/// The stored bytes are not a document.
pub fn unreadable(key: &str, reason: &str) -> Problem {
    let detail = format!(
        "the stored object {key} cannot be read; save it anew, or restore an earlier version"
    );
    let mut problem = Problem::new("FRONT50-0008", Kind::Conflict, detail);
    problem.causes.push(reason.to_owned());
    problem
}

/// An order that this worker does not understand.
pub fn unknown_work(kind: &str) -> Problem {
    let detail = format!("front50 has no work of kind {kind:?}");
    Problem::new("FRONT50-0009", Kind::Invalid, detail)
}

/// A list that does not fit into one message.
pub fn answer_too_large(what: &str, bytes: usize, hint: &str) -> Problem {
    let max = ANSWER_BYTES_MAX;
    let detail = format!("{what} have {bytes} bytes, one answer carries {max}; {hint}");
    Problem::new("FRONT50-0010", Kind::TooLarge, detail)
}
