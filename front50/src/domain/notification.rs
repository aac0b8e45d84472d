//! Notifications of an application, or of all of them: lists by format (email, slack, ...).

use kork::model::{Context, Problem};
use serde_json::{Value, json};

use super::{Limits, author, names, next_update_ts, pipeline::document_bytes, problems};

/// The document to store for an application, or for [`names::GLOBAL`].
///
/// # Errors
/// `Invalid` for a name that cannot be a key, `TooLarge`.
pub fn document(
    name: &str,
    mut members: Context,
    user: &str,
    now_ms: u64,
    limits: &Limits,
) -> Result<Context, Problem> {
    document_bytes("notification", &members, limits.document_bytes_max)?;
    if name.eq_ignore_ascii_case(names::GLOBAL) {
        members.remove("application");
    } else {
        if let Some(error) = names::application("/application", name) {
            return Err(problems::invalid(error.detail.clone(), vec![error]));
        }
        // The body decides the key in Spinnaker; without it the entry would become a global one.
        members.insert("application".to_owned(), json!(name));
    }
    members.insert("lastModifiedBy".to_owned(), json!(author(user)));
    members.insert(
        "lastModified".to_owned(),
        json!(next_update_ts(None, now_ms)),
    );
    let wrong = members.iter().find(|(member, value)| {
        let own = ["application", "lastModifiedBy", "lastModified"].contains(&member.as_str());
        !own && matches!(value, Value::Array(list) if !list.iter().all(Value::is_object))
    });
    match wrong {
        Some((format, _)) => Err(problems::invalid_field(
            &format!("/{format}"),
            format!("the notifications of format {format} must be objects"),
        )),
        None => Ok(members),
    }
}
