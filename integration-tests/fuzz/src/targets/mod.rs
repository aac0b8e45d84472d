//! What is done with an input, one file for the parsers of one crate or layer.

pub mod engine;
#[cfg(feature = "clients")]
pub mod files;
pub mod inbound;
pub mod model;
pub mod proof;
mod seeds;
#[cfg(feature = "clients")]
mod server;
#[cfg(feature = "clients")]
pub mod servers;
pub mod triggers;

use kork_model::{Context, Timestamp};
use serde_json::Value;

use crate::{Fault, outcome::must};

/// The time of everything.
const NOW: Timestamp = Timestamp(1_788_240_000_000);

/// The object of a body, or of a member of it; an empty one when there is none.
fn object(value: Option<&Value>) -> Context {
    value
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

/// What a value is.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

/// Bytes of a value as JSON.
fn json_bytes(value: &impl serde::Serialize) -> Result<usize, Fault> {
    let text = serde_json::to_vec(value);
    text.map(|text| text.len())
        .map_err(|error| Fault::Wrong(format!("an answer is no JSON: {error}")))
}

/// What is written reads as the same again.
fn round_trip<T>(what: &str, value: &T) -> Result<(), Fault>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq,
{
    let wrong =
        |error: serde_json::Error| Fault::Wrong(format!("{what} is not read again: {error}"));
    let text = serde_json::to_string(value).map_err(wrong)?;
    if has_fraction(&text) {
        // Fractions may move by their last digit.
        return Ok(());
    }
    let again: T = serde_json::from_str(&text).map_err(wrong)?;
    must(again == *value, || {
        format!("{what} is another when it is read again")
    })
}

/// A number with a fraction or an exponent is somewhere in it, or a text that looks so.
fn has_fraction(json: &str) -> bool {
    let bytes = json.as_bytes();
    bytes
        .windows(2)
        .any(|pair| pair[0].is_ascii_digit() && matches!(pair[1], b'.' | b'e' | b'E'))
}

/// The first words of a message; what follows them may be the input's.
fn first_words(message: &str, words: usize) -> String {
    let words: Vec<&str> = message.split_whitespace().take(words).collect();
    words.join(" ")
}
