//! The catalogue of error codes: a title and a page each, and how a problem looks on HTTP.
//!
//! Adding a code: write `problem/pages/<CODE>.md` and add one line to `problem/table.rs`.

mod table;

use serde_json::{Map, Value, json};

use crate::model::{Kind, Problem, Timestamp};

/// Media type of a problem on HTTP (RFC 9457).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One code with its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// Such as `KORK-0001`.
    pub code: &'static str,
    /// The heading of the page.
    pub title: &'static str,
    /// Markdown: what it means, the usual cause, what to do.
    pub page: &'static str,
}

/// The code's entry; `None` for one that has no page.
pub fn lookup(code: &str) -> Option<&'static ErrorCode> {
    let found = table::TABLE
        .binary_search_by(|entry| entry.code.cmp(code))
        .ok()?;
    table::TABLE.get(found)
}

/// Every code, sorted.
pub fn all() -> &'static [ErrorCode] {
    table::TABLE
}

/// An error with all its causes in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        // Many errors say their cause themselves.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// The HTTP reason phrase of a kind of problem.
pub const fn reason_phrase(kind: Kind) -> &'static str {
    match kind {
        Kind::Invalid => "Bad Request",
        Kind::Unauthenticated => "Unauthorized",
        Kind::Denied => "Forbidden",
        Kind::NotFound => "Not Found",
        Kind::Conflict => "Conflict",
        Kind::TooLarge => "Payload Too Large",
        Kind::UnsupportedMediaType => "Unsupported Media Type",
        Kind::TooMany => "Too Many Requests",
        Kind::Bug => "Internal Server Error",
        Kind::Unavailable => "Service Unavailable",
        Kind::Timeout => "Gateway Timeout",
    }
}

/// Status and body of a problem on HTTP. `instance` is the path that was asked for.
///
/// Besides the members of RFC 9457 the body has those that Spinnaker's clients read: `error`,
/// `message`, `timestamp`. Members of [`Problem::data`] are added where they are not taken.
pub fn to_http(
    problem: &Problem,
    instance: &str,
    trace_id: Option<&str>,
    timestamp: Timestamp,
) -> (u16, Value) {
    let status = problem.kind.status();
    let phrase = reason_phrase(problem.kind);
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("type", json!(format!("/errors/{}", problem.code)));
    put(
        "title",
        json!(lookup(&problem.code).map_or(phrase, |entry| entry.title)),
    );
    put("status", json!(status));
    put("detail", json!(problem.detail));
    put("instance", json!(instance));
    put("code", json!(problem.code));
    put("error", json!(phrase));
    put("message", json!(problem.message()));
    put("timestamp", json!(iso_8601(timestamp)));
    if let Some(trace_id) = trace_id {
        put("trace_id", json!(trace_id));
    }
    if !problem.errors.is_empty() {
        put("errors", json!(problem.errors));
    }
    if !problem.causes.is_empty() {
        put("causes", json!(problem.causes));
    }
    match &problem.data {
        Some(Value::Object(members)) => {
            for (name, value) in members {
                body.entry(name.as_str()).or_insert_with(|| value.clone());
            }
        }
        Some(other) => drop(body.insert("data".to_owned(), other.clone())),
        None => {}
    }
    (status, Value::Object(body))
}

fn iso_8601(timestamp: Timestamp) -> String {
    let millis = i64::try_from(timestamp.millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_page_is_in_the_table_and_has_its_three_sections() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/problem/pages");
        let files: BTreeSet<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| {
                name.strip_suffix(".md")
                    .expect("only pages lie here")
                    .to_owned()
            })
            .collect();
        let listed: BTreeSet<String> = all().iter().map(|entry| entry.code.to_owned()).collect();
        assert_eq!(files, listed, "each page needs its line in table.rs");
        assert!(
            all().is_sorted_by(|a, b| a.code < b.code),
            "the table is alphabetical"
        );
        for entry in all() {
            let code = entry.code;
            let (prefix, number) = code.rsplit_once('-').unwrap();
            assert!(
                prefix
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()),
                "{code}"
            );
            assert!(number.len() == 4 && number.parse::<u16>().is_ok(), "{code}");
            assert!(entry.title.len() > 3, "{code} has no title");
            for section in [
                "\n## What it means\n",
                "\n## Usual cause\n",
                "\n## What to do\n",
            ] {
                let text = entry.page.split(section).nth(1).unwrap_or_default();
                let text = text.split("\n## ").next().unwrap_or_default();
                assert!(text.trim().len() > 10, "{code} says nothing under{section}");
            }
        }
    }

    #[test]
    fn a_problem_on_http_has_all_that_clients_read() {
        let problem = Problem::new("KORK-0009", Kind::Conflict, "app demo has changed")
            .field("/name", "is taken")
            .with_data(json!({"current": 2, "status": "hidden"}));
        let (status, body) = to_http(&problem, "/x", Some("abc"), Timestamp(1_700_000_000_123));
        assert_eq!(status, 409);
        assert_eq!(
            body,
            json!({
                "type": "/errors/KORK-0009",
                "title": "Somebody else wrote first",
                "status": 409,
                "detail": "app demo has changed",
                "instance": "/x",
                "code": "KORK-0009",
                "error": "Conflict",
                "message": "app demo has changed; /name: is taken",
                "timestamp": "2023-11-14T22:13:20.123Z",
                "trace_id": "abc",
                "errors": [{"pointer": "/name", "detail": "is taken"}],
                "current": 2,
            })
        );
    }

    #[test]
    fn a_code_without_a_page_still_renders() {
        let problem = Problem::new("ODD-1", Kind::Bug, "odd");
        let (status, body) = to_http(&problem, "/x", None, Timestamp(u64::MAX));
        assert_eq!(
            (status, &body["title"]),
            (500, &json!("Internal Server Error"))
        );
        assert!(lookup("ODD-1").is_none());
    }
}
