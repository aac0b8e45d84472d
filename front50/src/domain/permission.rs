//! Permissions of an application: which roles may do what. A document of fixed shape.

use kork::model::{Context, FieldError};
use serde_json::{Value, json};

use super::{author, problems::field};

/// What a role may be given.
pub const AUTHORIZATIONS: [&str; 4] = ["READ", "WRITE", "EXECUTE", "CREATE"];

/// Roles by authorization, trimmed and lower-cased; `None` with errors when they are malformed.
pub fn roles(given: &Value, errors: &mut Vec<FieldError>) -> Option<Context> {
    let Some(given) = given.as_object() else {
        errors.push(field("/permissions", "permissions must be an object"));
        return None;
    };
    let mut roles = Context::new();
    for (authorization, names) in given {
        let pointer = format!("/permissions/{authorization}");
        if !AUTHORIZATIONS.contains(&authorization.as_str()) {
            let text = "unknown authorization; use READ, WRITE, EXECUTE or CREATE";
            errors.push(field(pointer, text));
            continue;
        }
        let Some(names) = names
            .as_array()
            .filter(|names| names.iter().all(Value::is_string))
        else {
            errors.push(field(pointer, "the roles must be a list of texts"));
            continue;
        };
        let mut lowered: Vec<String> = Vec::new();
        for name in names.iter().filter_map(Value::as_str) {
            let name = name.trim().to_lowercase();
            if !name.is_empty() && !lowered.contains(&name) {
                lowered.push(name);
            }
        }
        roles.insert(authorization.clone(), json!(lowered));
    }
    Some(roles)
}

/// The permission object of an application.
pub fn document(application: &str, roles: &Context, user: &str, now_ms: u64) -> Context {
    Context::from_iter([
        ("name".to_owned(), Value::String(application.to_lowercase())),
        ("lastModified".to_owned(), json!(now_ms)),
        ("lastModifiedBy".to_owned(), json!(author(user))),
        ("permissions".to_owned(), Value::Object(roles.clone())),
    ])
}

/// The roles of a stored permission object, without authorizations that name nobody. The old form
/// `requiredGroupMembership` means READ and WRITE.
pub fn granted(stored: &Context) -> Context {
    let named = |roles: &Value| roles.as_array().is_some_and(|roles| !roles.is_empty());
    let mut roles = match stored.get("permissions") {
        Some(Value::Object(roles)) => roles.clone(),
        _ => Context::new(),
    };
    roles.retain(|_, names| named(names));
    if let Some(old) = stored
        .get("requiredGroupMembership")
        .filter(|old| named(old))
        && roles.is_empty()
    {
        roles.insert("READ".to_owned(), old.clone());
        roles.insert("WRITE".to_owned(), old.clone());
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_form_is_read() {
        let old = json!({"name": "a", "requiredGroupMembership": ["legacy"]});
        let got = granted(old.as_object().expect("an object"));
        assert_eq!(
            Value::Object(got),
            json!({"READ": ["legacy"], "WRITE": ["legacy"]})
        );
    }
}
