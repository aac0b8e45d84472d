//! Why a command failed: what it says, and the exit status that follows.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer;
use crate::exit::Exit;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Gate does not answer.
    #[error("{detail}")]
    Unreachable {
        detail: String,
        causes: Vec<String>,
        next: &'static str,
    },
    /// Gate answered with an error.
    #[error("{}", .0.detail)]
    Refused(Box<Refusal>),
    /// An answer that is not what the API promises.
    #[error("the answer of {url} cannot be read: {reason}")]
    Unreadable { url: String, reason: String },
    /// The command line or a file is wrong.
    #[error("{detail}")]
    Input { detail: String, next: String },
    /// A task or an execution ended badly; why is in the text.
    #[error("{detail}")]
    Ended { detail: String, next: String },
    /// Something did not end in time.
    #[error("{detail}")]
    TimedOut { detail: String, next: String },
    /// The configuration is wrong: JSON pointers and what is wrong there.
    #[error("{detail}")]
    Config {
        detail: String,
        fields: Vec<(String, String)>,
    },
    /// The data directory or a port is in use.
    #[error("{detail}")]
    InUse { detail: String, next: String },
    /// The data were there and could not be written: a full disk, a lost terminal.
    #[error("stdout cannot be written: {cause}")]
    NotWritten { cause: String },
    /// Should not happen.
    #[error("{detail}: {cause}")]
    Internal { detail: String, cause: String },
    /// Ctrl-C or another signal.
    #[error("stopped before it was done")]
    Interrupted,
}

/// An error answer of gate, as it came.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) detail: String,
    /// The whole answer when it is JSON.
    pub(crate) document: Option<Value>,
}

/// A failure as people read it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) detail: String,
    /// Wrong fields: JSON pointer and what is wrong with it.
    pub(crate) fields: Vec<(String, String)>,
    /// Outermost first.
    pub(crate) causes: Vec<String>,
    pub(crate) code: Option<String>,
    /// What to do.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// Gate does not answer, because.
    pub(crate) fn unreachable(base: &str, error: reqwest::Error) -> Self {
        let is_late = error.is_timeout() && !error.is_connect();
        // The URL is told once, not again with each cause.
        let error = error.without_url();
        let mut causes = Vec::new();
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        if is_late {
            return Self::late(base, causes);
        }
        Self::Unreachable {
            detail: format!("gate cannot be reached at {base}"),
            causes,
            next: "start a suite with `gennaker up`, or name another gate with --gate URL",
        }
    }

    /// Gate took the request and said nothing.
    pub(crate) fn silent(base: &str, within: Duration) -> Self {
        let cause = format!("there is no answer after {} s", within.as_secs());
        Self::late(base, vec![cause])
    }

    fn late(base: &str, causes: Vec<String>) -> Self {
        Self::Unreachable {
            detail: format!("gate at {base} took too long to answer"),
            causes,
            next: "try again; what was asked for may have been done: `gennaker execution list` tells",
        }
    }

    /// Gate answered with an error status; `text` is the body.
    pub(crate) fn refused(status: u16, text: &str, url: &str) -> Self {
        let document = serde_json::from_str::<Value>(text)
            .ok()
            .filter(Value::is_object);
        let told = ["detail", "message"].into_iter().find_map(|name| {
            let value = document.as_ref()?.get(name)?.as_str()?;
            (!value.is_empty()).then(|| value.to_owned())
        });
        let detail = told.unwrap_or_else(|| match answer::words(text) {
            words if words.is_empty() => {
                format!("{url} answered with status {status} and not a word")
            }
            words => format!("{url} answered with status {status}: {words}"),
        });
        Self::Refused(Box::new(Refusal {
            status,
            detail,
            document,
        }))
    }

    /// Bad input that needs no further advice than `gennaker --help`.
    pub(crate) fn input(detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Input {
            detail: detail.into(),
            next: next.into(),
        }
    }

    /// Gate says that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == 404 && refusal.document.is_some())
    }

    /// The same request may be answered a moment later.
    pub(crate) const fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => refusal.status >= 500,
            _ => false,
        }
    }

    /// The exit status that follows.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::Unreadable { .. } => Exit::Unreachable,
            Self::Refused(refusal) if refusal.status >= 500 => Exit::Unreachable,
            Self::Refused(_) | Self::Input { .. } => Exit::BadInput,
            Self::Ended { .. } => Exit::ExecutionFailed,
            Self::TimedOut { .. } => Exit::TimedOut,
            Self::Config { .. } => Exit::Config,
            Self::InUse { .. } => Exit::InUse,
            Self::NotWritten { .. } | Self::Internal { .. } => Exit::Internal,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// The problem document of gate; what gate has no part in is told in the same form.
    pub(crate) fn document(&self) -> Value {
        if let Self::Refused(refusal) = self
            && let Some(document) = &refusal.document
        {
            return document.clone();
        }
        let told = self.told();
        let fields = told.fields.iter();
        let fields: Vec<Value> = fields
            .map(|(pointer, detail)| json!({"pointer": pointer, "detail": detail}))
            .collect();
        let mut document = json!({"detail": told.detail, "exitStatus": self.exit().status()});
        for (name, list) in [("errors", json!(fields)), ("causes", json!(told.causes))] {
            if list != json!([]) {
                document[name] = list;
            }
        }
        if let Some(next) = told.next {
            document["next"] = json!(next);
        }
        document
    }

    /// The failure as people read it.
    pub(crate) fn told(&self) -> Told {
        let plain = |next: Option<&String>| Told {
            detail: self.to_string(),
            next: next.cloned(),
            ..Told::default()
        };
        match self {
            Self::Unreachable { causes, next, .. } => Told {
                detail: self.to_string(),
                causes: causes.clone(),
                next: Some((*next).to_owned()),
                ..Told::default()
            },
            Self::Refused(refusal) => told_by_gate(refusal),
            Self::Input { next, .. }
            | Self::Ended { next, .. }
            | Self::TimedOut { next, .. }
            | Self::InUse { next, .. } => plain(Some(next)),
            Self::Config { fields, .. } => Told {
                detail: self.to_string(),
                fields: fields.clone(),
                next: Some("`gennaker config schema` describes every setting".to_owned()),
                ..Told::default()
            },
            Self::Unreadable { .. } => plain(Some(&format!(
                "what answers there is no gate of this version ({}); name another one with --gate URL",
                env!("CARGO_PKG_VERSION")
            ))),
            Self::NotWritten { .. } => plain(Some(
                &"what was asked for is done; make room, and ask again".into(),
            )),
            Self::Internal { .. } => plain(Some(
                &"look at the log above; if it does not help, report it with this message".into(),
            )),
            Self::Interrupted => plain(None),
        }
    }
}

fn told_by_gate(refusal: &Refusal) -> Told {
    let empty = Value::Null;
    let document = refusal.document.as_ref().unwrap_or(&empty);
    let list = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let text = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let code = document
        .get("code")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let advice = match refusal.status {
        500.. => Some("try again in a moment; `gennaker doctor` says what is missing"),
        _ if refusal.document.is_none() => {
            Some("what answers there may be no gate; name another one with --gate URL")
        }
        _ => None,
    };
    Told {
        detail: refusal.detail.clone(),
        fields: list("errors")
            .map(|e| (text(e, "pointer"), text(e, "detail")))
            .collect(),
        causes: list("causes")
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        next: code
            .as_deref()
            .and_then(crate::command::next_step)
            .or_else(|| advice.map(str::to_owned)),
        code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_is_told_as_gate_told_it() {
        let text = r#"{"detail": "no such pipeline", "code": "X-1", "causes": ["a"],
            "errors": [{"pointer": "/name", "detail": "is empty"}]}"#;
        let failure = Failure::refused(404, text, "http://g/x");
        let told = failure.told();
        assert_eq!(told.detail, "no such pipeline");
        assert_eq!(told.fields, [("/name".to_owned(), "is empty".to_owned())]);
        assert_eq!(
            (told.causes, told.code),
            (vec!["a".to_owned()], Some("X-1".to_owned()))
        );
        assert_eq!(failure.exit(), Exit::BadInput);
    }

    #[test]
    fn an_error_that_is_not_json_keeps_its_text() {
        let failure = Failure::refused(502, "<html>bad</html>", "http://g/x");
        assert!(
            failure.to_string().ends_with("status 502: bad"),
            "{failure}"
        );
        assert_eq!(failure.exit(), Exit::Unreachable);
        let failure = Failure::refused(500, "", "http://g/x");
        assert!(failure.to_string().ends_with("not a word"), "{failure}");
        assert!(failure.told().next.is_some());
    }

    #[test]
    fn only_gate_can_say_that_there_is_no_such_thing() {
        assert!(Failure::refused(404, "{\"detail\": \"none\"}", "u").is_missing());
        assert!(!Failure::refused(404, "<html>", "u").is_missing());
    }

    #[test]
    fn a_failure_that_gate_has_no_part_in_has_the_form_of_a_problem() {
        let document = Failure::input("no name", "give it one").document();
        let expected = json!({"detail": "no name", "next": "give it one", "exitStatus": 2});
        assert_eq!(document, expected);
    }
}
