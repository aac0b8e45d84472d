//! The JSON of registries and token servers. Pure.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::address::is_tag;
use crate::http::one_line;

/// Lifetime of a token that does not tell its own, seconds, by the token specification of Docker.
const LIFETIME_S_DEFAULT: f64 = 60.0;
/// A token is not kept longer than this, seconds.
const LIFETIME_S_MAX: f64 = 3600.0;

/// The tags of one page. What cannot be a tag is left out: it could not be asked for.
pub(super) fn tags(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    // A list in the place of the object would pass for a page of a derived type.
    let mut page: Map<String, Value> = serde_json::from_slice(body)?;
    // Null in some registries when there are none.
    let tags = page.remove("tags").unwrap_or_default();
    let tags: Option<Vec<String>> = serde_json::from_value(tags)?;
    let mut tags = tags.unwrap_or_default();
    tags.retain(|tag| is_tag(tag));
    Ok(tags)
}

/// A token, and for how many seconds it is good.
pub(super) fn token(body: &[u8]) -> Result<(String, f64), String> {
    #[derive(Deserialize)]
    struct Given {
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        access_token: Option<String>,
        #[serde(default)]
        expires_in: Value,
    }
    let given: Given = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let token = given.token.filter(|token| !token.is_empty());
    let token = token
        .or(given.access_token)
        .filter(|token| !token.is_empty())
        .ok_or("it holds neither token nor access_token")?;
    let lifetime = match &given.expires_in {
        Value::Number(seconds) => seconds.as_f64(),
        Value::String(seconds) => seconds.parse().ok(),
        _ => None,
    };
    let lifetime = lifetime.filter(|s| *s > 0.0).unwrap_or(LIFETIME_S_DEFAULT);
    Ok((token, lifetime.min(LIFETIME_S_MAX)))
}

/// What an answer with an error says: `{errors: [{code, message, detail}]}`, or the like of token servers.
pub(super) fn explanation(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |value: &Value, name: &str| {
        let text = value.get(name)?.as_str()?;
        Some(one_line(text)).filter(|text| !text.is_empty())
    };
    let one = |error: &Value| match (text(error, "code"), text(error, "message")) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (code, message) => code.or(message),
    };
    let errors: Vec<_> = value
        .get("errors")
        .and_then(Value::as_array)
        .map(|errors| errors.iter().filter_map(one).collect())
        .unwrap_or_default();
    if errors.is_empty() {
        let names = ["message", "details", "detail", "error_description", "error"];
        return names.iter().find_map(|name| text(&value, name));
    }
    Some(one_line(&errors.join(", ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_of_tags_may_be_null_or_hold_nonsense() {
        for (body, expected) in [
            (r#"{"name":"a","tags":["1","b"]}"#, vec!["1", "b"]),
            (r#"{"name":"a","tags":null}"#, vec![]),
            (r#"{"name":"a"}"#, vec![]),
            (r#"{"tags":["../x","","ok","é"],"more":{}}"#, vec!["ok"]),
        ] {
            assert_eq!(tags(body.as_bytes()).unwrap(), expected, "{body}");
        }
        for body in ["", "[]", r#"{"tags":{}}"#, r#"{"tags":[1]}"#, "<html>"] {
            assert!(tags(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_token_tells_how_long_it_is_good() {
        for (body, expected) in [
            (
                r#"{"token":"a","access_token":"b","expires_in":300}"#,
                ("a", 300.0),
            ),
            (r#"{"token":"","access_token":"b"}"#, ("b", 60.0)),
            (r#"{"access_token":"b","expires_in":"120"}"#, ("b", 120.0)),
            (r#"{"token":"a","expires_in":1e300}"#, ("a", 3600.0)),
            (r#"{"token":"a","expires_in":-5}"#, ("a", 60.0)),
            (r#"{"token":"a","expires_in":"NaN"}"#, ("a", 60.0)),
        ] {
            let (token, lifetime) = token(body.as_bytes()).unwrap();
            assert_eq!((token.as_str(), lifetime), expected, "{body}");
        }
        for body in ["{}", r#"{"token":null}"#, r#"{"token":""}"#, "", "7"] {
            assert!(token(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn errors_are_told_in_the_words_of_the_server() {
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such\nthing","detail":{}},{"code":"X"}]}"#,
                Some("NAME_UNKNOWN: no such thing, X"),
            ),
            (
                r#"{"errors":[],"details":"wrong password"}"#,
                Some("wrong password"),
            ),
            (r#"{"errors":{"a":1}}"#, None),
            ("<html>", None),
            ("null", None),
        ] {
            assert_eq!(explanation(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }

    fn any_json() -> impl Strategy<Value = String> {
        let word = "\"(tags|token|errors|code|message|expires_in|a)\"";
        let leaf = prop_oneof![
            Just("null".to_owned()),
            word.prop_map(String::from),
            "-?[0-9]{1,3}"
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4)
                    .prop_map(|v| format!("[{}]", v.join(","))),
                proptest::collection::vec((word, inner), 0..4).prop_map(|v| {
                    let members: Vec<_> = v.iter().map(|(n, v)| format!("{n}:{v}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (tags(&body).is_ok(), token(&body).is_ok(), explanation(&body));
        }

        #[test]
        fn any_json_is_survived(body in any_json()) {
            if let Ok(tags) = tags(body.as_bytes()) {
                prop_assert!(tags.iter().all(|tag| is_tag(tag)));
            }
            if let Ok((token, lifetime)) = token(body.as_bytes()) {
                prop_assert!(!token.is_empty() && lifetime > 0.0 && lifetime <= LIFETIME_S_MAX);
            }
            explanation(body.as_bytes());
        }

        #[test]
        fn deep_json_is_survived(depth in 0_usize..5000) {
            let body = "[".repeat(depth);
            prop_assert!(tags(body.as_bytes()).is_err());
            explanation(body.as_bytes());
        }
    }
}
