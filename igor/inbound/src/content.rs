//! From the bytes of a body to JSON: compression, forms, and how much of it is too much.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kork_model::Context;
use serde_json::Value;
use url::form_urlencoded;

use crate::{
    Delivery, Refused,
    limits::{self, FORM_FIELDS_MAX, JSON_DEPTH_MAX, JSON_VALUES_MAX},
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The media type of a delivery in small letters, without parameters.
pub(crate) fn media_type(delivery: &Delivery<'_>) -> String {
    delivery
        .header("content-type")
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// JSON under this type is what `curl -d` sends unless it is told otherwise: no field of a form starts so.
fn is_form(delivery: &Delivery<'_>) -> bool {
    let first = delivery
        .body
        .iter()
        .find(|byte| !byte.is_ascii_whitespace());
    media_type(delivery) == "application/x-www-form-urlencoded"
        && !matches!(first, Some(b'{' | b'['))
}

/// The JSON text in the field `payload` of a form; `None` when the body is no form. Proof and reading both
/// take it from here, so that what was signed is what is read.
pub(crate) fn form_payload(delivery: &Delivery<'_>) -> Result<Option<String>, String> {
    if !is_form(delivery) {
        return Ok(None);
    }
    form_urlencoded::parse(delivery.body)
        .take(FORM_FIELDS_MAX)
        .find(|(name, _)| name == "payload")
        .map(|(_, text)| Some(text.into_owned()))
        .ok_or_else(|| "the form has no field payload".to_owned())
}

/// The body of a delivery as JSON; an empty one is an empty object. A form without `payload` is an object of
/// its fields where the sender is unknown (`any_form`), and refused otherwise. With `any_text` what the sender does
/// not call JSON may be anything.
pub(crate) fn json(
    delivery: &Delivery<'_>,
    (any_form, any_text): (bool, bool),
    bytes_max: usize,
) -> Result<Value, Refused> {
    if is_form(delivery) {
        return match form_payload(delivery) {
            Ok(text) => parse(text.unwrap_or_default().as_bytes()),
            Err(_) if any_form => form_fields(delivery.body),
            Err(what) => Err(Refused::invalid(
                "body",
                what,
                "send JSON, or a form with the JSON in the field payload",
            )),
        };
    }
    let body = inflated(delivery, bytes_max)?;
    if any_text && !says_json(delivery) {
        return Ok(json_or_text(&body));
    }
    parse(&body)
}

/// Whether the sender says that it is JSON, or says nothing.
fn says_json(delivery: &Delivery<'_>) -> bool {
    let media_type = media_type(delivery);
    media_type.is_empty() || media_type.ends_with("json")
}

fn inflated<'a>(delivery: &Delivery<'a>, bytes_max: usize) -> Result<Cow<'a, [u8]>, Refused> {
    match delivery
        .header("content-encoding")
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None | Some("identity") => Ok(Cow::Borrowed(delivery.body)),
        Some("gzip" | "x-gzip") => limits::inflate(delivery.body, bytes_max).map(Cow::Owned),
        Some(_) => Err(Refused::invalid(
            "header content-encoding",
            "this compression is not known",
            "send the body as it is, or with gzip",
        )),
    }
}

/// JSON from bytes, within the limits on depth and number of values.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Refused> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Context::new()));
    }
    if values(bytes) > JSON_VALUES_MAX {
        return Err(Refused::TooLarge {
            what: "JSON values in the body",
            limit: JSON_VALUES_MAX as u64,
            remedy: "send less",
        });
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let deep = error.to_string().starts_with("recursion limit exceeded");
        let what = if deep {
            format!("it is nested more than {JSON_DEPTH_MAX} levels deep")
        } else {
            format!("it is not JSON: {error}")
        };
        Refused::invalid("body", what, "send one JSON object in UTF-8")
    })
}

/// JSON, else the text, else the bytes in base64.
pub(crate) fn json_or_text(bytes: &[u8]) -> Value {
    parse(bytes).unwrap_or_else(|_| {
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        Value::String(text.unwrap_or_else(|_| STANDARD.encode(bytes)))
    })
}

/// At most this many values does a JSON text hold: one, and one more per separator outside of texts.
fn values(bytes: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

fn form_fields(body: &[u8]) -> Result<Value, Refused> {
    let mut fields = Context::new();
    for (index, (name, text)) in form_urlencoded::parse(body).enumerate() {
        if index == FORM_FIELDS_MAX {
            return Err(Refused::TooLarge {
                what: "fields of the form",
                limit: FORM_FIELDS_MAX as u64,
                remedy: "send less",
            });
        }
        fields.insert(name.into_owned(), Value::String(text.into_owned()));
    }
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_ends_where_the_limit_says() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        let refused = parse(nested(JSON_DEPTH_MAX + 1).as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("127 levels"), "{refused}");
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(values(br#"{"a":"[[[,,,\"[[","b":1}"#), 3);
        let many = format!("[{}0]", "0,".repeat(JSON_VALUES_MAX));
        assert!(matches!(
            parse(many.as_bytes()),
            Err(Refused::TooLarge { .. })
        ));
    }

    #[test]
    fn blank_bodies_and_byte_order_marks_are_no_mistakes() {
        assert_eq!(parse(b" \n").unwrap(), serde_json::json!({}));
        assert_eq!(
            parse(b"\xef\xbb\xbf{\"a\":1}").unwrap(),
            serde_json::json!({"a": 1})
        );
        assert!(parse(b"\xff{}").is_err());
        assert!(parse(b"{} {}").is_err());
    }
}
