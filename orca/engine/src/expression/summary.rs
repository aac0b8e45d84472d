//! What went wrong while a context was evaluated: the value of `expressionEvaluationSummary`.

use std::collections::BTreeMap;

use kork_model::Timestamp;
use serde_json::{Value, json};

use super::error::ExpressionError;
use super::template::{self, Part};

/// How bad an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The expression is sound and its value is not known (yet).
    Info,
    /// The expression failed.
    Error,
}

/// One expression that kept its raw form, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `Failed to evaluate [key] ...`.
    pub description: String,
    /// Absent for a value that is merely not found.
    pub exception_type: Option<&'static str>,
    pub level: Level,
}

/// All failures of one evaluation, by expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    entries: BTreeMap<String, Vec<Failure>>,
    at: Timestamp,
}

impl Summary {
    /// Nothing failed, so far.
    pub const fn new(at: Timestamp) -> Self {
        Self {
            entries: BTreeMap::new(),
            at,
        }
    }

    /// Everything was evaluated.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every failure, ordered by expression.
    pub fn entries(&self) -> impl Iterator<Item = &Failure> {
        self.entries.values().flatten()
    }

    /// The descriptions of all failures, ordered by expression.
    pub fn failures(&self) -> Vec<String> {
        self.entries()
            .map(|failure| failure.description.clone())
            .collect()
    }

    /// Adds what another evaluation could not do.
    pub fn merge(&mut self, other: Self) {
        for (key, failures) in other.entries {
            self.entries.entry(key).or_default().extend(failures);
        }
    }

    /// Value of the context key `expressionEvaluationSummary`.
    pub fn to_json(&self) -> Value {
        let entry = |failure: &Failure| match failure.exception_type {
            Some(kind) => json!({
                "description": failure.description,
                "exceptionType": kind,
                "level": "ERROR",
                "timestamp": self.at,
            }),
            None => json!({
                "description": failure.description,
                "level": "INFO",
                "timestamp": self.at,
            }),
        };
        self.entries
            .iter()
            .map(|(key, failures)| (key.clone(), failures.iter().map(entry).collect::<Value>()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Value of the context key `exception` of a stage whose summary is not empty.
    pub fn to_exception(&self) -> Value {
        json!({ "details": {
            "error": "Failed Expression Evaluation",
            "errors": self.failures(),
        } })
    }

    pub(super) fn fail(&mut self, key: &str, raw: &str, error: &ExpressionError) {
        self.push(
            raw,
            Failure {
                description: format!("Failed to evaluate [{key}] {error}"),
                exception_type: Some(error.kind.exception_type()),
                level: Level::Error,
            },
        );
    }

    pub(super) fn not_found(&mut self, key: &str, raw: &str) {
        let description = format!("Failed to evaluate [{key}] : {} not found", escaped(raw));
        self.push(
            raw,
            Failure {
                description,
                exception_type: None,
                level: Level::Info,
            },
        );
    }

    pub(super) fn unsettled(&mut self, key: &str, raw: &str) {
        let description = format!(
            "Failed to evaluate [{key}] : the value refers to itself, or changes each time it is evaluated"
        );
        self.push(
            raw,
            Failure {
                description,
                exception_type: None,
                level: Level::Info,
            },
        );
    }

    fn push(&mut self, raw: &str, failure: Failure) {
        let failures = self.entries.entry(escaped(raw)).or_default();
        if !failures.contains(&failure) {
            failures.push(failure);
        }
    }
}

/// The raw text without its `${` and `}`, so that the summary itself is never evaluated.
fn escaped(raw: &str) -> String {
    let Ok(parts) = template::parts(raw) else {
        return raw.replace('$', "");
    };
    let text: String = parts
        .into_iter()
        .map(|part| match part {
            Part::Literal(text) | Part::Expression(text) => text,
        })
        .collect();
    text.replace(template::PREFIX, "{")
}
