//! Fields of a body, by JSON pointer. What is absent, null, empty or of another type is `None`.

use kork_model::Context;
use serde_json::Value;

/// A text that is not empty.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// The first of several pointers that holds a text.
pub(crate) fn first_text<'v>(value: &'v Value, pointers: &[&str]) -> Option<&'v str> {
    pointers.iter().find_map(|pointer| text(value, pointer))
}

/// As [`text`], for those who keep it.
pub(crate) fn owned(value: &Value, pointer: &str) -> Option<String> {
    text(value, pointer).map(str::to_owned)
}

/// A number that is not negative, also when it is written as a text.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<u64> {
    let found = value.pointer(pointer)?;
    found.as_u64().or_else(|| found.as_str()?.parse().ok())
}

pub(crate) fn flag(value: &Value, pointer: &str) -> Option<bool> {
    value.pointer(pointer)?.as_bool()
}

/// The members of an array; none when it is no array.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// An object.
pub(crate) fn object<'v>(value: &'v Value, pointer: &str) -> Option<&'v Context> {
    value.pointer(pointer)?.as_object()
}

/// A number or a text as text.
pub(crate) fn shown(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Bytes as JSON.
pub(crate) fn bytes_of(value: &Value) -> usize {
    // Strings and numbers, which JSON has.
    serde_json::to_vec(value).map_or(0, |text| text.len())
}

/// Sets a member when there is something to set.
pub(crate) fn put(context: &mut Context, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        context.insert(name.to_owned(), value.into());
    }
}
