//! Why a command failed: what it says, and the exit status that follows.

use serde_json::Value;

use crate::exit::Exit;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Gate does not answer.
    #[error("gate cannot be reached at {base}")]
    Unreachable { base: String, causes: Vec<String> },
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
    Ended { detail: String },
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
    /// Should not happen.
    #[error("{detail}: {cause}")]
    Internal { detail: String, cause: String },
    /// Ctrl-C.
    #[error("stopped from the keyboard")]
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
    pub(crate) fn unreachable(base: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = Vec::new();
        let mut next = Some(error);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self::Unreachable {
            base: base.to_owned(),
            causes,
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
        let detail = told.unwrap_or_else(|| format!("{url} answered with status {status}: {text}"));
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

    /// The HTTP status, when gate answered.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// The exit status that follows.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Refused(refusal) if refusal.status >= 500 => Exit::Unreachable,
            Self::Refused(_) | Self::Input { .. } => Exit::BadInput,
            Self::Ended { .. } => Exit::ExecutionFailed,
            Self::TimedOut { .. } => Exit::TimedOut,
            Self::Config { .. } => Exit::Config,
            Self::InUse { .. } => Exit::InUse,
            Self::Unreadable { .. } | Self::Internal { .. } => Exit::Internal,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// The problem document of gate.
    pub(crate) fn document(&self) -> Option<&Value> {
        match self {
            Self::Refused(refusal) => refusal.document.as_ref(),
            _ => None,
        }
    }

    /// The failure as people read it.
    pub(crate) fn told(&self) -> Told {
        let plain = |next: Option<&String>| Told {
            detail: self.to_string(),
            next: next.cloned(),
            ..Told::default()
        };
        match self {
            Self::Unreachable { causes, .. } => Told {
                detail: self.to_string(),
                causes: causes.clone(),
                next: Some(
                    "start a suite with `gennaker up`, or name another gate with --gate URL".into(),
                ),
                ..Told::default()
            },
            Self::Refused(refusal) => told_by_gate(refusal),
            Self::Input { next, .. } | Self::TimedOut { next, .. } | Self::InUse { next, .. } => {
                plain(Some(next))
            }
            Self::Config { fields, .. } => Told {
                detail: self.to_string(),
                fields: fields.clone(),
                next: Some("`gennaker config schema` describes every setting".to_owned()),
                ..Told::default()
            },
            Self::Unreadable { .. } => plain(Some(&format!(
                "check that a Gennaker gate answers there; this is version {}",
                env!("CARGO_PKG_VERSION")
            ))),
            Self::Ended { .. } | Self::Internal { .. } | Self::Interrupted => plain(None),
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
    let retry = (refusal.status == 503 || refusal.status == 504)
        .then(|| "try again in a moment; `gennaker doctor` says what is missing".to_owned());
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
            .or(retry),
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
        assert!(failure.to_string().contains("<html>bad</html>"));
        assert_eq!(failure.exit(), Exit::Unreachable);
    }
}
