//! Expected artifacts of a trigger: at least one received artifact has to be one of them.

use std::borrow::Cow;

use kork_model::Context;
use serde_json::Value;

use crate::{
    member,
    mismatch::Mismatch,
    pattern::{How, Patterns},
};

/// Fields that an artifact is matched by.
const MATCHED: [&str; 5] = ["type", "name", "version", "location", "reference"];

/// What of an expected artifact is compared: empty = any, equal, or a pattern over the whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    pub id: Box<str>,
    fields: [Option<Box<str>>; 5],
}

impl Expected {
    /// The expected artifacts of a pipeline that one of its triggers lists.
    pub(crate) fn of_pipeline(pipeline: &Context, listed: &[&str]) -> Box<[Self]> {
        let all = pipeline.get("expectedArtifacts").and_then(Value::as_array);
        let all = all.into_iter().flatten().filter_map(Value::as_object);
        all.filter_map(|expected| {
            let id = expected.get("id").and_then(Value::as_str)?;
            let wanted = expected.get("matchArtifact").and_then(Value::as_object);
            let field = |name: &str| {
                let text = wanted?.get(name)?.as_str()?;
                (!text.is_empty()).then(|| Box::from(text))
            };
            listed.contains(&id).then(|| Self {
                id: Box::from(id),
                fields: MATCHED.map(field),
            })
        })
        .collect()
    }

    /// Whether an artifact is this one; otherwise the first field that is not.
    fn check<'a>(&'a self, artifact: &'a Value, patterns: &Patterns) -> Result<(), Mismatch<'a>> {
        for (name, wanted) in MATCHED.into_iter().zip(&self.fields) {
            let Some(wanted) = wanted.as_deref() else {
                continue;
            };
            let found = artifact.get(name).and_then(Value::as_str);
            if found == Some(wanted) {
                continue;
            }
            let field = || Cow::Owned(format!("artifact {name}"));
            let Some(text) = found else {
                return Err(Mismatch::differs(field(), wanted, None::<&str>));
            };
            match patterns.holds(How::Whole, wanted, text) {
                Ok(true) => {}
                Ok(false) => return Err(Mismatch::differs(field(), wanted, Some(text))),
                Err(bad) => {
                    let wanted = Cow::Borrowed(wanted);
                    return Err(Mismatch::Bad {
                        field: field(),
                        wanted,
                        problem: bad.0,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Whether one of the artifacts is one of those that a trigger lists. No list is no wish.
pub(crate) fn check<'a>(
    listed: &'a [Box<str>],
    expected: &'a [Expected],
    received: &'a [Value],
    patterns: &Patterns,
) -> Result<(), Mismatch<'a>> {
    if listed.is_empty() {
        return Ok(());
    }
    let mut first = None;
    let wanted = expected.iter().filter(|e| listed.contains(&e.id));
    for expected in wanted {
        for artifact in received {
            match expected.check(artifact, patterns) {
                Ok(()) => return Ok(()),
                Err(mismatch) => first = first.or(Some(mismatch)),
            }
        }
    }
    let nothing = || {
        let ids = listed.iter().map(|id| &**id).collect::<Vec<_>>().join(", ");
        Mismatch::differs("artifact", ids, None::<&str>)
    };
    Err(first.unwrap_or_else(nothing))
}

/// Received artifacts that came with a parsed body, when the event lists none itself.
pub(crate) fn in_payload(payload: &Context) -> &[Value] {
    let list = payload.get("artifacts").and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// The artifact of an image or a chart.
pub(crate) fn of_image(kind: &str, name: &str, tag: &str, more: Context) -> Value {
    let mut artifact = Context::new();
    artifact.insert("type".to_owned(), Value::from(kind));
    artifact.insert("name".to_owned(), Value::from(name));
    artifact.insert("version".to_owned(), Value::from(tag));
    artifact.insert("reference".to_owned(), Value::from(format!("{name}:{tag}")));
    if let Some(account) = member::text(&more, "account") {
        artifact.insert("artifactAccount".to_owned(), Value::from(account));
    }
    artifact.insert("metadata".to_owned(), Value::Object(more));
    Value::Object(artifact)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(listed: &[&str], expected: &Value, received: &Value) -> bool {
        let pipeline = json!({"expectedArtifacts": expected});
        let boxed: Vec<Box<str>> = listed.iter().map(|id| Box::from(*id)).collect();
        let expected = Expected::of_pipeline(pipeline.as_object().unwrap(), listed);
        check(
            &boxed,
            &expected,
            received.as_array().unwrap(),
            &Patterns::default(),
        )
        .is_ok()
    }

    #[test]
    fn any_received_artifact_may_be_any_of_those_listed() {
        let expected = json!([
            {"id": "1", "matchArtifact": {"type": "docker/image", "name": "reg/app", "version": "v[0-9]+"}},
            {"id": "2", "matchArtifact": {"name": "other"}},
            {"id": "3"},
        ]);
        let app = |version: &str| json!([{"type": "docker/image", "name": "reg/app", "version": version}]);
        assert!(holds(&["1"], &expected, &app("v12")));
        assert!(!holds(&["1"], &expected, &app("v12b")));
        assert!(!holds(&["2"], &expected, &app("v1")));
        assert!(holds(&["2", "1"], &expected, &app("v1")));
        assert!(holds(&[], &expected, &json!([])));
        assert!(!holds(&["3"], &expected, &json!([])));
        assert!(holds(&["3"], &expected, &json!([{}])));
        assert!(!holds(&["nobody knows"], &expected, &app("v1")));
    }

    #[test]
    fn a_pattern_that_is_none_may_still_be_equal() {
        let expected = json!([{"id": "1", "matchArtifact": {"name": "a(b"}}]);
        assert!(holds(&["1"], &expected, &json!([{"name": "a(b"}])));
        assert!(!holds(&["1"], &expected, &json!([{"name": "ab"}])));
    }
}
