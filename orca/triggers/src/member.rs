//! Members of triggers as people and older versions wrote them.

use std::borrow::Cow;

use kork_model::Context;
use serde_json::Value;

/// A text that says something: neither missing nor blank.
pub(crate) fn text<'a>(of: &'a Context, key: &str) -> Option<&'a str> {
    let text = of.get(key)?.as_str()?.trim();
    (!text.is_empty()).then_some(text)
}

/// The id of a pipeline, exactly as it is stored: whoever removes or names the pipeline says it so.
pub(crate) fn id(of: &Context) -> Option<&str> {
    let id = of.get("id")?.as_str()?;
    (!id.trim().is_empty()).then_some(id)
}

/// [`text`] in small memory.
pub(crate) fn boxed(of: &Context, key: &str) -> Option<Box<str>> {
    text(of, key).map(Box::from)
}

/// Whether something is on; old data says it with texts.
pub(crate) fn is_on(of: &Context, key: &str) -> bool {
    match of.get(key) {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(text)) => text.trim().eq_ignore_ascii_case("true"),
        None | Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
    }
}

/// The texts of a list.
pub(crate) fn texts(of: &Context, key: &str) -> Box<[Box<str>]> {
    let list = of.get(key).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(Box::from).collect()
}

/// A value as a pattern sees it: a text as it is, everything else as JSON.
pub(crate) fn spelled(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Cow::Owned(value.to_string())
        }
    }
}
