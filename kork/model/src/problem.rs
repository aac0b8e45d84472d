//! An error as it crosses the bus and the HTTP edge (RFC 9457, with the members that Spinnaker's
//! clients read).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the caller can do about an error. Deliberately few: each maps to one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request is wrong; the same request will always be refused (400).
    Invalid,
    /// Not logged in (401).
    Unauthenticated,
    /// Logged in, and not allowed (403).
    Denied,
    /// There is no such thing, or the caller may not see it (404).
    NotFound,
    /// It has changed meanwhile, or is in a state that forbids the request (409).
    Conflict,
    /// A named limit is passed (413).
    TooLarge,
    /// The media type is not understood (415).
    UnsupportedMediaType,
    /// Too many requests at the moment (429).
    TooMany,
    /// A part that is needed does not answer; try again later (503).
    Unavailable,
    /// A part took too long (504).
    Timeout,
    /// A mistake in the suite itself (500).
    Bug,
}

impl Kind {
    /// The same request may be answered later without anybody doing something.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout | Self::TooMany)
    }

    /// The HTTP status of this kind.
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::TooMany => 429,
            Self::Bug => 500,
            Self::Unavailable => 503,
            Self::Timeout => 504,
        }
    }
}

/// One wrong field: where, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// JSON pointer into the submitted document, such as `/stages/2/refId`.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

/// An error with its code, its cause chain and its wrong fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Stable code with a page of its own, such as `ORCA-0007`.
    pub code: String,
    pub kind: Kind,
    /// What happened, in one sentence without a full stop, with the ids that matter.
    pub detail: String,
    /// The causes, outermost first, never shortened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Further members of the answer, such as the two versions of a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Seconds after which a try may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with this code (a key of the error catalogue), kind and sentence.
    pub fn new(code: &str, kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            kind,
            detail: detail.into(),
            causes: Vec::new(),
            errors: Vec::new(),
            data: None,
            retry_after_s: None,
        }
    }

    /// Adds an error and all its sources to the cause chain.
    #[must_use]
    pub fn because(mut self, cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds a wrong field.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// Adds data for the caller.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Says when a try may succeed.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The sentence with its causes, for logs and terminals.
    pub fn message(&self) -> String {
        let mut text = self.detail.clone();
        for cause in &self.causes {
            text.push_str(": ");
            text.push_str(cause);
        }
        for error in &self.errors {
            text.push_str("; ");
            text.push_str(&error.pointer);
            text.push_str(": ");
            text.push_str(&error.detail);
        }
        text
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.message(), self.code)
    }
}

impl std::error::Error for Problem {}
