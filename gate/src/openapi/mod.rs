//! The `OpenAPI` 3.1 document and the page that shows it, both made from the route table.

mod page;
mod schema;

use serde_json::{Map, Value, json};

use crate::{
    http::{
        query::{Param, ParamKind},
        route::{BodyRule, Gives, Route},
    },
    routes,
};

pub(crate) use page::{error_page, page};

/// The `OpenAPI` 3.1 document of the gateway.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    for route in routes::table() {
        if !tags.contains(&route.tag) {
            tags.push(route.tag);
        }
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        operations[route.verb.name().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gennaker gate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Spinnaker Gate's API, and a few paths of our own. Errors are \
                application/problem+json; every code has a page under /errors.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags.iter().map(|tag| json!({"name": tag})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {"schemas": schema::all(), "responses": {"Problem": problem()}},
    })
}

fn operation(route: &Route) -> Value {
    let path = route.parameters().map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
    );
    let parameters: Vec<Value> = path
        .chain(route.query.iter().map(|param| query_parameter(param)))
        .collect();
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": parameters,
        "responses": responses(route),
    });
    if let Some(body) = body(route) {
        operation["requestBody"] = body;
    }
    operation
}

fn query_parameter(param: &Param) -> Value {
    let schema = match param.kind {
        ParamKind::Text => json!({"type": "string"}),
        ParamKind::Number | ParamKind::Time => json!({"type": "integer", "minimum": 0}),
        ParamKind::Flag => json!({"type": "boolean"}),
        ParamKind::List => json!({"type": "array", "items": {"type": "string"}}),
    };
    json!({"name": param.name, "in": "query", "description": param.doc, "schema": schema})
}

fn body(route: &Route) -> Option<Value> {
    let (required, shape, text) = match route.body {
        BodyRule::Ignored => return None,
        BodyRule::Optional(shape) | BodyRule::Raw(shape) => (false, shape, false),
        BodyRule::Required(shape) => (true, shape, false),
        BodyRule::JsonOrText(shape) => (false, shape, true),
    };
    let mut content = json!({"application/json": {"schema": schema::reference(shape)}});
    if text {
        content["text/plain"] = json!({"schema": {"type": "string"}});
    }
    Some(json!({"required": required, "content": content}))
}

fn responses(route: &Route) -> Value {
    let failed = json!({"$ref": "#/components/responses/Problem"});
    if route.status >= 400 {
        return json!({route.status.to_string(): failed});
    }
    let good = match route.gives {
        Gives::Nothing => json!({"description": "Done; no body."}),
        Gives::Redirect => {
            return json!({"302": {"description": "Elsewhere."}, "default": failed});
        }
        Gives::Json(shape) => json!({
            "description": "The answer.",
            "content": {"application/json": {"schema": schema::reference(shape)}},
        }),
        Gives::Health => json!({
            "description": "The answer.",
            "content": {
                "application/vnd.spring-boot.actuator.v3+json": {
                    "schema": schema::reference("Health"),
                },
            },
        }),
        Gives::Media(media) => {
            let content: Map<String, Value> = media
                .iter()
                .map(|media| ((*media).to_owned(), json!({"schema": {"type": "string"}})))
                .collect();
            json!({"description": "The answer.", "content": content})
        }
    };
    let mut all = json!({route.status.to_string(): good, "default": failed});
    if let Some(other) = route.or_status {
        all[other.to_string()] = all[route.status.to_string()].clone();
    }
    all
}

fn problem() -> Value {
    json!({
        "description": "What went wrong, and what to do.",
        "headers": {
            "X-SPINNAKER-REQUEST-ID": {
                "description": "Names the request in the logs; `trace_id` of the body.",
                "schema": {"type": "string"},
            },
        },
        "content": {"application/problem+json": {"schema": schema::reference("Problem")}},
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::route::Verb;

    #[test]
    fn every_route_is_in_the_document_once_with_its_own_id() {
        let document = document();
        let mut ids = BTreeSet::new();
        for route in routes::table() {
            let operation = &document["paths"][route.path][route.verb.name().to_lowercase()];
            assert_eq!(
                operation["operationId"],
                route.id,
                "{} {}",
                route.verb.name(),
                route.path
            );
            assert!(
                !route.summary.is_empty() && !route.tag.is_empty(),
                "{}",
                route.id
            );
            assert!(ids.insert(route.id), "{} is used twice", route.id);
        }
        let operations = document["paths"].as_object().unwrap().values();
        assert_eq!(
            operations
                .map(|o| o.as_object().unwrap().len())
                .sum::<usize>(),
            ids.len()
        );
    }

    #[test]
    fn parameters_have_unique_names_and_paths_declare_theirs() {
        for (path, operations) in document()["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let parameters = operation["parameters"].as_array().unwrap();
                let names: BTreeSet<_> = parameters
                    .iter()
                    .map(|p| (p["in"].as_str(), p["name"].as_str()))
                    .collect();
                assert_eq!(names.len(), parameters.len(), "{method} {path}");
                let in_path = parameters.iter().filter(|p| p["in"] == "path");
                for parameter in in_path {
                    let name = parameter["name"].as_str().unwrap();
                    assert!(path.contains(&format!("{{{name}}}")), "{method} {path}");
                }
                assert!(
                    operation["responses"]
                        .as_object()
                        .is_some_and(|r| !r.is_empty())
                );
            }
        }
    }

    #[test]
    fn every_reference_leads_to_something() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        found.insert(reference.clone());
                    }
                    members
                        .values()
                        .for_each(|member| references(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(
                document.pointer(pointer).is_some(),
                "{reference} leads nowhere"
            );
        }
    }

    #[test]
    fn verbs_of_one_path_do_not_overwrite_each_other() {
        let mut seen = BTreeSet::new();
        for route in routes::table() {
            assert!(
                seen.insert((route.path, route.verb)),
                "{} twice",
                route.path
            );
        }
        assert!(seen.contains(&("/pipelines/{id}", Verb::Delete)));
    }
}
