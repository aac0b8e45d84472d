//! Applications: an open document with a few own members, and its permissions in another object.

use kork::model::{Context, Problem};
use serde_json::{Value, json};

use super::{
    Limits, author,
    fields::{Shape, conform},
    names, next_update_ts, permission,
    pipeline::document_bytes,
    problems, text,
};

/// A submitted application, checked as far as it can be without the stored one.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Name as sent, trimmed.
    pub name: String,
    /// The members to merge, without `name` and `permissions`.
    pub members: Context,
    /// Authorization -> roles; absent when the document says nothing about them.
    pub permissions: Option<Context>,
}

/// Checks a submitted application.
///
/// # Errors
/// `Invalid` with pointers, `TooLarge`. Sentences about missing members are Spinnaker's.
pub fn submitted(mut members: Context, limits: &Limits) -> Result<Draft, Problem> {
    document_bytes("application", &members, limits.document_bytes_max)?;
    let mut errors = Vec::new();
    if let Some(Value::Array(providers)) = members.get("cloudProviders") {
        let providers: Vec<&str> = providers.iter().filter_map(Value::as_str).collect();
        let joined = providers.join(",");
        members.insert("cloudProviders".to_owned(), Value::String(joined));
    }
    let shapes = [
        ("name", Shape::Text),
        ("email", Shape::Text),
        ("description", Shape::Text),
        ("cloudProviders", Shape::Text),
        ("trafficGuards", Shape::Objects),
    ];
    conform(&mut members, &shapes, &mut errors);
    let permissions = match members.remove("permissions") {
        None | Some(Value::Null) => None,
        Some(given) => permission::roles(&given, &mut errors),
    };
    let name = match members.remove("name") {
        Some(Value::String(name)) => name.trim().to_owned(),
        _ => String::new(),
    };
    if name.is_empty() {
        if !errors.iter().any(|error| error.pointer == "/name") {
            errors.push(problems::field(
                "/name",
                "Application must have a non-empty name",
            ));
        }
    } else {
        errors.extend(names::application("/name", &name));
    }
    if let Some(first) = errors.first() {
        return Err(problems::invalid(first.detail.clone(), errors));
    }
    // These three belong to the service.
    for own in ["updateTs", "createTs", "lastModifiedBy"] {
        members.remove(own);
    }
    Ok(Draft {
        name,
        members,
        permissions,
    })
}

/// The application to store: the submitted members over the stored ones.
///
/// # Errors
/// `Invalid` when the result has no e-mail.
pub fn merged(
    draft: &Draft,
    stored: Option<&Context>,
    user: &str,
    now_ms: u64,
) -> Result<Context, Problem> {
    let mut document = stored.cloned().unwrap_or_default();
    document.extend(draft.members.clone());
    if draft.permissions.is_some() {
        document.remove("permissions");
    }
    if text(&document, "email").is_none_or(|email| email.trim().is_empty()) {
        return Err(problems::invalid_field(
            "/email",
            "Application must have a non-empty email",
        ));
    }
    document.insert("name".to_owned(), Value::String(draft.name.to_uppercase()));
    for member in ["description", "createTs", "cloudProviders"] {
        document.entry(member).or_insert(Value::Null);
    }
    document.entry("trafficGuards").or_insert_with(|| json!([]));
    document.insert("lastModifiedBy".to_owned(), json!(author(user)));
    let at = next_update_ts(stored, now_ms);
    document.insert("updateTs".to_owned(), Value::String(at.to_string()));
    Ok(document)
}

/// The application as readers see it: `permissions` come from the permission object alone, since
/// that is what access is decided by; none are shown when nobody is named there.
pub fn shown(stored: &Context, permission: Option<&Context>) -> Context {
    let mut document = stored.clone();
    document.remove("permissions");
    let roles = permission.map(permission::granted).unwrap_or_default();
    if !roles.is_empty() {
        document.insert("permissions".to_owned(), Value::Object(roles));
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Context {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is not an object"),
        }
    }

    #[test]
    fn a_new_application_has_spinnakers_shape() {
        let draft = submitted(
            object(json!({"name": " Billing ", "email": "b@example.com", "cloudProviders": ["aws", "kubernetes"],
                "updateTs": "1", "lastModifiedBy": "eve", "own": {"deep": [1, null]},
                "permissions": {"READ": ["Ops Team"]}})),
            &Limits::default(),
        )
        .expect("acceptable");
        assert_eq!(
            draft.permissions,
            Some(object(json!({"READ": ["ops team"]})))
        );
        let got = merged(&draft, None, "", 5).expect("complete");
        let expected = json!({"name": "BILLING", "description": null, "email": "b@example.com",
            "updateTs": "5", "createTs": null, "lastModifiedBy": "anonymous",
            "cloudProviders": "aws,kubernetes", "trafficGuards": [], "own": {"deep": [1, null]}});
        assert_eq!(Value::Object(got), expected);
    }

    #[test]
    fn a_second_one_merges_top_level_members() {
        let stored = object(json!({"name": "A", "email": "a@x", "extra": {"deep": 1}, "kept": 1}));
        let change = object(json!({"name": "a", "extra": "changed"}));
        let draft = submitted(change, &Limits::default()).expect("acceptable");
        let got = merged(&draft, Some(&stored), "bob", 5).expect("complete");
        assert_eq!(
            (&got["extra"], &got["kept"]),
            (&json!("changed"), &json!(1))
        );
    }

    #[test]
    fn bad_applications_are_refused() {
        let table = [
            (
                json!({"email": "x"}),
                "/name",
                "Application must have a non-empty name",
            ),
            (
                json!({"name": "a"}),
                "/email",
                "Application must have a non-empty email",
            ),
            (
                json!({"name": "a", "email": " "}),
                "/email",
                "Application must have a non-empty email",
            ),
            (
                json!({"name": "a", "email": []}),
                "/email",
                "email must be a text",
            ),
            (
                json!({"name": "a/b", "email": "x"}),
                "/name",
                "the application name must not contain slashes, backslashes or control characters",
            ),
            (
                json!({"name": "a", "email": "x", "permissions": {"FLY": ["a"]}}),
                "/permissions/FLY",
                "unknown authorization; use READ, WRITE, EXECUTE or CREATE",
            ),
            (
                json!({"name": "a", "email": "x", "trafficGuards": [1]}),
                "/trafficGuards/0",
                "trafficGuards must be a list of objects",
            ),
        ];
        for (document, pointer, detail) in table {
            let problem = submitted(object(document.clone()), &Limits::default())
                .and_then(|draft| merged(&draft, None, "u", 1))
                .expect_err(&document.to_string());
            let error = &problem.errors[0];
            assert_eq!(
                (error.pointer.as_str(), error.detail.as_str()),
                (pointer, detail)
            );
        }
        let odd = object(json!({"name": "bad name!", "email": "notanemail"}));
        assert!(
            submitted(odd, &Limits::default()).is_ok(),
            "Spinnaker takes it, and no path breaks"
        );
    }

    #[test]
    fn permissions_are_shown_from_their_own_object_only() {
        let stored = object(json!({"name": "A", "permissions": {"READ": ["ignored"]}}));
        assert!(!shown(&stored, None).contains_key("permissions"));
        let none = object(json!({"permissions": {}}));
        assert!(!shown(&stored, Some(&none)).contains_key("permissions"));
        let some = object(json!({"permissions": {"READ": ["devs"]}}));
        assert_eq!(
            shown(&stored, Some(&some))["permissions"],
            json!({"READ": ["devs"]})
        );
    }
}
