//! Projects: a document of fixed shape. Spinnaker's reader fails on any other member, so unknown
//! ones are not stored, as there.

use kork::model::{Context, FieldError, Problem};
use serde_json::{Value, json};

use super::{
    Limits, author,
    fields::{Shape, conform},
    names, next_update_ts,
    pipeline::document_bytes,
    problems::{self, field},
    text,
};

/// A submitted project that may be stored.
#[derive(Debug, Clone)]
pub struct Draft {
    pub name: String,
    pub id: Option<String>,
    email: Value,
    config: Context,
}

/// Checks a submitted project.
///
/// # Errors
/// `Invalid` with pointers, `TooLarge`.
pub fn submitted(mut document: Context, limits: &Limits) -> Result<Draft, Problem> {
    document_bytes("project", &document, limits.document_bytes_max)?;
    let mut errors = Vec::new();
    let shapes = [
        ("id", Shape::Text),
        ("name", Shape::Text),
        ("email", Shape::Text),
        ("config", Shape::Object),
    ];
    conform(&mut document, &shapes, &mut errors);
    let name = text(&document, "name")
        .unwrap_or_default()
        .trim()
        .to_owned();
    if name.is_empty() {
        // Spinnaker takes it, and from then on answers 500 to every question about projects.
        errors.push(field("/name", "A project requires a name"));
    }
    errors.extend(names::shown_name("/name", "the project name", &name));
    let id = text(&document, "id")
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .map(str::to_owned);
    if let Some(id) = &id {
        errors.extend(names::key_part("/id", "the project id", id));
    }
    let config = match document.remove("config") {
        Some(Value::Object(config)) => config_of(config, &mut errors),
        _ => config_of(Context::new(), &mut errors),
    };
    if let Some(first) = errors.first() {
        return Err(problems::invalid(first.detail.clone(), errors));
    }
    let email = document.remove("email").unwrap_or(Value::Null);
    Ok(Draft {
        name,
        id,
        email,
        config,
    })
}

fn config_of(mut given: Context, errors: &mut Vec<FieldError>) -> Context {
    let mut wrong = Vec::new();
    let shapes = [
        ("pipelineConfigs", Shape::Objects),
        ("applications", Shape::Texts),
        ("clusters", Shape::Objects),
    ];
    conform(&mut given, &shapes, &mut wrong);
    for error in wrong {
        errors.push(field(format!("/config{}", error.pointer), error.detail));
    }
    let mut list = |member: &str| given.remove(member).unwrap_or_else(|| json!([]));
    let pipelines = only(
        list("pipelineConfigs"),
        &["application", "pipelineConfigId"],
    );
    let clusters = only(
        list("clusters"),
        &["account", "stack", "detail", "applications"],
    );
    Context::from_iter([
        ("pipelineConfigs".to_owned(), pipelines),
        ("applications".to_owned(), list("applications")),
        ("clusters".to_owned(), clusters),
    ])
}

/// The objects of a list with exactly these members.
fn only(list: Value, members: &[&str]) -> Value {
    let Value::Array(list) = list else {
        return list;
    };
    let entry = |entry: Value| -> Value {
        let member = |name: &&str| {
            (
                (*name).to_owned(),
                entry.get(*name).cloned().unwrap_or(Value::Null),
            )
        };
        Value::Object(members.iter().map(member).collect())
    };
    Value::Array(list.into_iter().map(entry).collect())
}

/// The project to store. Times are numbers here.
pub fn complete(
    draft: &Draft,
    stored: Option<&Context>,
    id: &str,
    user: &str,
    now_ms: u64,
) -> Context {
    let id = stored.and_then(|stored| text(stored, "id")).unwrap_or(id);
    let created = stored.and_then(|stored| stored.get("createTs")).cloned();
    Context::from_iter([
        ("id".to_owned(), json!(id)),
        ("name".to_owned(), json!(draft.name)),
        ("email".to_owned(), draft.email.clone()),
        ("config".to_owned(), Value::Object(draft.config.clone())),
        (
            "createTs".to_owned(),
            created.unwrap_or_else(|| json!(now_ms)),
        ),
        ("updateTs".to_owned(), json!(next_update_ts(stored, now_ms))),
        ("lastModifiedBy".to_owned(), json!(author(user))),
    ])
}

/// The project without its entries for an application; `None` when it has none.
pub fn without(stored: &Context, application: &str, user: &str, now_ms: u64) -> Option<Context> {
    let mut project = stored.clone();
    let config = project.get_mut("config")?.as_object_mut()?;
    let mut changed = false;
    let is_it = |name: Option<&Value>| {
        name.and_then(Value::as_str)
            .is_some_and(|name| name.eq_ignore_ascii_case(application))
    };
    if let Some(Value::Array(applications)) = config.get_mut("applications") {
        let before = applications.len();
        applications.retain(|name| !is_it(Some(name)));
        changed |= applications.len() != before;
    }
    if let Some(Value::Array(pipelines)) = config.get_mut("pipelineConfigs") {
        let before = pipelines.len();
        pipelines.retain(|pipeline| !is_it(pipeline.get("application")));
        changed |= pipelines.len() != before;
    }
    project.insert("lastModifiedBy".to_owned(), json!(author(user)));
    project.insert(
        "updateTs".to_owned(),
        json!(next_update_ts(Some(stored), now_ms)),
    );
    changed.then_some(project)
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
    fn only_the_fixed_members_are_stored() {
        let given = json!({"name": "Sales", "email": "s@example.com", "own": {"k": 1}, "config": {
            "applications": ["shop"], "clusters": [{"account": "prod", "stack": "*", "detail": "*"}]}});
        let draft = submitted(object(given), &Limits::default()).expect("acceptable");
        let got = complete(&draft, None, "p1", "ana", 5);
        let expected = json!({"id": "p1", "name": "Sales", "email": "s@example.com", "config": {
            "pipelineConfigs": [], "applications": ["shop"], "clusters": [
                {"account": "prod", "stack": "*", "detail": "*", "applications": null}]},
            "createTs": 5, "updateTs": 5, "lastModifiedBy": "ana"});
        assert_eq!(Value::Object(got.clone()), expected);
        let again = complete(&draft, Some(&got), "other", "bob", 5);
        assert_eq!(
            (&again["id"], &again["createTs"], &again["updateTs"]),
            (&json!("p1"), &json!(5), &json!(6))
        );
    }

    #[test]
    fn bad_projects_are_refused() {
        for (given, pointer) in [
            (json!({}), "/name"),
            (json!({"name": " "}), "/name"),
            (json!({"name": "a", "id": "a/b"}), "/id"),
            (json!({"name": "a", "config": []}), "/config"),
            (
                json!({"name": "a", "config": {"applications": [1]}}),
                "/config/applications/0",
            ),
        ] {
            let problem =
                submitted(object(given.clone()), &Limits::default()).expect_err(&given.to_string());
            assert_eq!(problem.errors[0].pointer, pointer, "{given}");
        }
    }

    #[test]
    fn an_application_leaves_its_projects() {
        let stored = object(
            json!({"config": {"applications": ["shop", "billing"], "pipelineConfigs": [
            {"application": "SHOP", "pipelineConfigId": "1"}, {"application": "billing", "pipelineConfigId": "2"}]}}),
        );
        let got = without(&stored, "Shop", "ana", 5).expect("changed");
        assert_eq!(got["config"]["applications"], json!(["billing"]));
        assert_eq!(
            got["config"]["pipelineConfigs"].as_array().map(Vec::len),
            Some(1)
        );
        assert_eq!(without(&got, "shop", "ana", 5), None);
    }
}
