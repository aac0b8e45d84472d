//! One request as a handler sees it: decoded, bounded, and free of the server's own types.

use std::{sync::Arc, time::Duration};

use actix_web::http::header::HeaderMap;
use bytes::Bytes;
use kork_model::{Context, Kind, Problem, api};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::{Path, Segment, Track};

use super::{connection::Connection, negotiate, query::Query, refusal::Refusal, route::PathValues};
use crate::server::Gate;

/// The user of every request as long as nobody logs in.
pub(crate) const USER: &str = "anonymous";

/// One request.
pub(crate) struct Call {
    pub(crate) gate: Arc<Gate>,
    /// Decoded path parameters by their name in the route.
    pub(crate) path: PathValues,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body is too large for any route, and so it is not there: it has so many bytes or more.
    pub(crate) left_out: Option<usize>,
    pub(crate) connection: Option<Connection>,
}

impl Call {
    /// A path parameter that the route declares.
    pub(crate) fn part(&self, name: &str) -> String {
        self.path
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.clone())
            .unwrap_or_default()
    }

    /// What is asked, as a text that is the same for the same question. Nobody logs in yet, so everybody
    /// gets the same answer.
    pub(crate) fn question(&self) -> String {
        format!("{USER} {:?} {:?}", self.path, self.query)
    }

    /// A header as text; none when it is absent or not text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Asks another service.
    pub(crate) async fn ask<C: api::Call>(&self, request: &C) -> Result<C::Answer, Refusal> {
        Ok(kork::rpc::call(&*self.gate.ports.rpc, request).await?)
    }

    /// Asks another service for something that only adds to the answer: when it cannot be had within
    /// `wait`, that is logged and the answer goes without.
    pub(crate) async fn ask_extra<C: api::Call>(
        &self,
        request: &C,
        wait: Duration,
    ) -> Option<C::Answer> {
        match kork::rpc::call_within(&*self.gate.ports.rpc, request, wait).await {
            Ok(answer) => Some(answer),
            Err(problem) => {
                tracing::warn!(%problem, endpoint = C::ENDPOINT, "answered without {}", C::SERVICE);
                None
            }
        }
    }

    /// The body as JSON of a type.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        read_json(&self.body)
    }

    /// The body as a JSON object; an empty body, or `null`, is an empty object.
    pub(crate) fn object_or_empty(&self) -> Result<Context, Refusal> {
        if matches!(self.body.trim_ascii(), b"" | b"null") {
            return Ok(Context::new());
        }
        self.json()
    }

    /// True when the body says that it is plain text.
    pub(crate) fn is_text(&self) -> bool {
        self.header("content-type")
            .is_some_and(|t| negotiate::media(t) == "text/plain")
    }
}

/// Reads JSON; says where it is wrong: line and column for syntax, a pointer for a wrong value.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::invalid(
            "GATE-0005",
            "the body is empty, a JSON document is needed",
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut track = Track::new();
    let value = T::deserialize(serde_path_to_error::Deserializer::new(
        &mut json, &mut track,
    ));
    let wrong = match value.and_then(|value| json.end().map(|()| value)) {
        Ok(value) => return Ok(value),
        Err(wrong) => wrong,
    };
    // A wrong value is found before a mistake in the syntax behind it; the mistake counts more.
    let behind = serde_json::from_slice::<IgnoredAny>(body).err();
    let not_json = "the body is not JSON";
    match behind.filter(|_| wrong.is_data()) {
        Some(syntax) => Err(unreadable("GATE-0005", not_json, &syntax, String::new())),
        None if wrong.is_data() => {
            let what = "the body is JSON of another shape";
            Err(unreadable(
                "GATE-0006",
                what,
                &wrong,
                pointer(&track.path()),
            ))
        }
        None => Err(unreadable("GATE-0005", not_json, &wrong, String::new())),
    }
}

fn unreadable(code: &str, what: &str, wrong: &serde_json::Error, pointer: String) -> Refusal {
    let (line, column) = (wrong.line(), wrong.column());
    Problem::new(
        code,
        Kind::Invalid,
        format!("{what} at line {line}, column {column}"),
    )
    .with_data(serde_json::json!({"line": line, "column": column}))
    .field(pointer, wrong.to_string())
    .into()
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn refused<T: DeserializeOwned>(body: &str) -> Problem {
        match read_json::<T>(body.as_bytes()) {
            Ok(_) => panic!("{body} was taken"),
            Err(refusal) => refusal.problem().clone(),
        }
    }

    #[test]
    fn syntax_errors_have_a_line_and_a_column() {
        let problem = refused::<Context>("{\n  \"a\": ,\n}");
        assert_eq!(problem.code, "GATE-0005");
        assert_eq!(problem.data.unwrap()["line"], 2);
        assert_eq!(refused::<Context>("").code, "GATE-0005");
        assert_eq!(refused::<Context>("{} x").code, "GATE-0005");
        assert_eq!(refused::<Context>(&"[".repeat(1000)).code, "GATE-0005");
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(refused::<Context>(&deep).code, "GATE-0005");
    }

    #[test]
    fn wrong_values_have_a_pointer() {
        let problem = refused::<BTreeMap<String, Vec<u32>>>(r#"{"a/b": [1, "x"]}"#);
        assert_eq!(problem.code, "GATE-0006");
        assert_eq!(problem.errors[0].pointer, "/a~1b/1");
        assert_eq!(refused::<Context>("[]").code, "GATE-0006");
    }
}
