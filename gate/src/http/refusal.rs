//! What a caller gets instead of an answer: `application/problem+json` with the members that
//! Spinnaker's clients read (`message`, `status`, `error`, `timestamp`, `exception`).

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use kork::problem::{MEDIA_TYPE, to_http};
use kork_model::{Kind, Problem, Timestamp};
use serde_json::Value;

/// A problem with the status it is answered with.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    problem: Problem,
    /// Methods for the `Allow` header of a 405.
    allow: Option<String>,
    /// The connection is not usable afterwards.
    close: bool,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status =
            StatusCode::from_u16(problem.kind.status()).expect("every kind has a valid status");
        Self::with_status(status, problem)
    }
}

impl Refusal {
    fn with_status(status: StatusCode, problem: Problem) -> Self {
        Self(Box::new(Inner {
            status,
            problem,
            allow: None,
            close: false,
        }))
    }

    /// The request is wrong (400).
    pub(crate) fn invalid(code: &str, detail: impl Into<String>) -> Self {
        Problem::new(code, Kind::Invalid, detail).into()
    }

    /// There is no such thing (404).
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Problem::new("GATE-0016", Kind::NotFound, detail).into()
    }

    /// No route has this path (404).
    pub(crate) fn unknown_path(path: &str) -> Self {
        let detail = format!("there is nothing at {path}; /docs lists every path");
        Problem::new("GATE-0001", Kind::NotFound, detail).into()
    }

    /// The code of its problem.
    pub(crate) fn code(&self) -> &str {
        &self.0.problem.code
    }

    /// The path exists, the method does not (405).
    pub(crate) fn method(method: &str, path: &str, allow: String) -> Self {
        let detail = format!("{path} does not take {method}; it takes {allow}");
        let problem = Problem::new("GATE-0002", Kind::Invalid, detail);
        let mut refusal = Self::with_status(StatusCode::METHOD_NOT_ALLOWED, problem);
        refusal.0.allow = Some(allow);
        refusal
    }

    /// A part of Spinnaker's contract that is left out on purpose (405, as the original answers).
    pub(crate) fn left_out(detail: &str) -> Self {
        let problem = Problem::new("GATE-0017", Kind::Invalid, detail);
        Self::with_status(StatusCode::METHOD_NOT_ALLOWED, problem)
    }

    /// The caller accepts nothing that the route produces (406).
    pub(crate) fn not_acceptable(accept: &str, offered: &str) -> Self {
        let detail = format!("the answer is {offered}, and the request accepts only {accept:?}");
        let problem = Problem::new("GATE-0003", Kind::Invalid, detail);
        Self::with_status(StatusCode::NOT_ACCEPTABLE, problem)
    }

    /// The body's media type is not understood (415).
    pub(crate) fn media_type(sent: &str, wanted: &str) -> Self {
        let detail = format!("the body is {sent:?}, send {wanted}");
        Problem::new("GATE-0004", Kind::UnsupportedMediaType, detail).into()
    }

    /// The path or the query is too long (414).
    pub(crate) fn uri_too_long(what: &str, bytes: usize, most: usize) -> Self {
        let detail = format!("the {what} has {bytes} bytes, at most {most} are allowed");
        let problem = Problem::new("GATE-0009", Kind::TooLarge, detail);
        Self::with_status(StatusCode::URI_TOO_LONG, problem)
    }

    /// The body came too slowly (408).
    pub(crate) fn too_slow(seconds: u64) -> Self {
        let detail = format!("the body did not arrive within {seconds} s");
        let problem = Problem::new("GATE-0015", Kind::Timeout, detail);
        let mut refusal = Self::with_status(StatusCode::REQUEST_TIMEOUT, problem);
        refusal.0.close = true;
        refusal
    }

    /// Adds a wrong field.
    pub(crate) fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let problem = std::mem::replace(&mut self.0.problem, Problem::new("", Kind::Bug, ""));
        self.0.problem = problem.field(pointer, detail);
        self
    }

    pub(crate) fn problem(&self) -> &Problem {
        &self.0.problem
    }

    pub(crate) fn status(&self) -> u16 {
        self.0.status.as_u16()
    }

    /// The answer on the wire.
    pub(crate) fn response(&self, instance: &str, trace_id: &str, now: Timestamp) -> HttpResponse {
        let mut builder = HttpResponse::build(self.0.status);
        if let Some(allow) = &self.0.allow {
            builder.insert_header((header::ALLOW, allow.as_str()));
        }
        if let Some(seconds) = self.0.problem.retry_after_s {
            builder.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if self.0.close {
            builder.force_close();
        }
        let body = self.body(instance, trace_id, now);
        builder.content_type(MEDIA_TYPE).body(body.to_string())
    }

    fn body(&self, instance: &str, trace_id: &str, now: Timestamp) -> Value {
        let problem = &self.0.problem;
        let (of_kind, mut body) = to_http(problem, instance, Some(trace_id), now);
        // Some statuses exist only on HTTP and have no kind of their own.
        if of_kind != self.0.status.as_u16() {
            body["status"] = self.0.status.as_u16().into();
            body["error"] = self.0.status.canonical_reason().unwrap_or("Error").into();
        }
        if let Some(class) = exception(problem) {
            body["exception"] = class.into();
        }
        body
    }
}

/// Refused before a handler saw the request. Spinnaker names no exception for these.
const UNHANDLED: [&str; 6] = [
    "GATE-0001",
    "GATE-0002",
    "GATE-0003",
    "GATE-0004",
    "GATE-0005",
    "GATE-0009",
];

/// The class by which Spinnaker's clients know this kind of failure.
fn exception(problem: &Problem) -> Option<&'static str> {
    if UNHANDLED.contains(&problem.code.as_str()) {
        return None;
    }
    Some(match problem.kind {
        Kind::NotFound => "com.netflix.spinnaker.kork.web.exceptions.NotFoundException",
        Kind::Unauthenticated | Kind::Denied => {
            "org.springframework.security.access.AccessDeniedException"
        }
        Kind::Conflict => "com.netflix.spinnaker.kork.retrofit.exceptions.SpinnakerHttpException",
        Kind::Invalid | Kind::TooLarge | Kind::UnsupportedMediaType => {
            "com.netflix.spinnaker.kork.web.exceptions.InvalidRequestException"
        }
        Kind::Bug => "com.netflix.spinnaker.kork.exceptions.SystemException",
        Kind::TooMany | Kind::Unavailable | Kind::Timeout => {
            "com.netflix.spinnaker.kork.retrofit.exceptions.SpinnakerNetworkException"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_the_members_that_old_and_new_clients_read() {
        let refusal = Refusal::invalid("GATE-0006", "no").field("/a/0", "is wrong");
        let body = refusal.body("/pipelines", "t-1", Timestamp(1_700_000_000_123));
        assert_eq!(body["status"], 400);
        assert_eq!(body["error"], "Bad Request");
        assert_eq!(body["message"], "no; /a/0: is wrong");
        assert_eq!(body["timestamp"], "2023-11-14T22:13:20.123Z");
        assert_eq!(body["errors"][0]["pointer"], "/a/0");
        assert_eq!(body["type"], "/errors/GATE-0006");
        let class = "com.netflix.spinnaker.kork.web.exceptions.InvalidRequestException";
        assert_eq!(body["exception"], class);
        let refusal = Refusal::method("PUT", "/x", "GET".to_owned());
        let body = refusal.body("/x", "t-1", Timestamp(0));
        assert_eq!(
            (&body["status"], &body["error"]),
            (&405.into(), &"Method Not Allowed".into())
        );
        assert_eq!(body["trace_id"], "t-1");
        assert_eq!(body.get("exception"), None, "no handler saw it");
        let body = Refusal::not_found("no").body("/x", "t-1", Timestamp(0));
        let class = "com.netflix.spinnaker.kork.web.exceptions.NotFoundException";
        assert_eq!(body["exception"], class);
    }
}
