//! How a CI server of no known kind is spoken to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::BuildResult;

/// Stands for the number of a build.
const NUMBER: &str = "{number}";

/// JSON over HTTP. In paths and bodies `{job}`, `{branch}`, `{key}` (an
/// id of the request, the same for every try) and, once it is known, `{number}` stand for what is asked; in bodies
/// the text `{parameters}` stands for an object of all parameters, and `{parameters.NAME}` for one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Generic {
    pub start: StartCall,
    pub status: StatusCall,
    /// Finds a build by `{key}` when the answer to its start was lost. Without it such a start is not repeated, unless
    /// `start.repeatable` says that it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub find: Option<FindCall>,
    /// Ends a build. Without it, builds of withdrawn stages go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopCall>,
    /// What the server posts of its builds to `/webhooks/generic/{source}`, of a source whose `controller` it is. Such a
    /// post is looked up where `status.path` is set. Without that it says itself how the build is, and has to be
    /// proved by a secret of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportBody>,
    /// Sent with every call, besides the token.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// The call that starts a build. `{key}` is sent as the header `Idempotency-Key`, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct StartCall {
    pub method: Method,
    /// Relative to the address.
    pub path: String,
    /// JSON in any shape.
    pub body: serde_json::Value,
    /// JSON pointer to the number of the build in the answer.
    pub number: String,
    /// The server takes the same `{key}` twice for one build: a start without an answer is repeated.
    pub repeatable: bool,
}

/// A body that the server posts of a build, when it begins, goes on, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ReportBody {
    /// JSON pointer to the `{key}` that came with the start.
    pub key: String,
    /// JSON pointer to the number of the build, which the answer to the start need not have then.
    pub number: String,
    /// JSON pointer to where the pointers of `status` begin; empty for the whole body.
    pub at: String,
}

/// The call that says how a build is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct StatusCall {
    /// Relative to the address. May be left out where the server posts how its builds are, see `report`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// JSON pointer to the word that says how it is.
    pub result: String,
    /// What the words mean, in any case of letters: `SUCCESS`, `UNSTABLE`, `FAILURE`, `NOT_BUILT`, `ABORTED`. With any
    /// other word the build goes on.
    pub results: BTreeMap<String, String>,
    /// JSON pointer to the page of the build.
    pub url: String,
    /// JSON pointer to an object of values that the build hands on, as from a property file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<String>,
    /// JSON pointer to a list of archived files: their paths, or objects with a `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<String>,
    /// JSON pointer to the end of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// The call that finds a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct FindCall {
    pub path: String,
    /// JSON pointer to its number; absent when there is no such build.
    pub number: String,
}

/// The call that stops a build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct StopCall {
    pub method: Method,
    pub path: String,
    pub body: serde_json::Value,
}

/// How a change is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

impl Default for StartCall {
    fn default() -> Self {
        Self {
            method: Method::default(),
            path: String::new(),
            body: serde_json::json!({"job": "{job}", "branch": "{branch}", "parameters": "{parameters}", "key": "{key}"}),
            number: "/number".to_owned(),
            repeatable: false,
        }
    }
}

impl Default for ReportBody {
    fn default() -> Self {
        Self {
            key: "/key".to_owned(),
            number: "/number".to_owned(),
            at: String::new(),
        }
    }
}

impl StopCall {
    /// It stops a build by its number, not by its key.
    pub(crate) fn needs_number(&self) -> bool {
        self.path.contains(NUMBER) || self.body.to_string().contains(NUMBER)
    }
}

impl Default for StatusCall {
    fn default() -> Self {
        let results = [
            ("success", "SUCCESS"),
            ("failure", "FAILURE"),
            ("cancelled", "ABORTED"),
        ];
        let results = results.map(|(word, result)| (word.to_owned(), result.to_owned()));
        Self {
            path: String::new(),
            result: "/status".to_owned(),
            results: results.into(),
            url: "/url".to_owned(),
            properties: None,
            artifacts: None,
            log: None,
        }
    }
}

impl Generic {
    /// The server can be asked how a build is.
    pub fn is_asked(&self) -> bool {
        !self.status.path.is_empty()
    }

    /// Everything that is wrong.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (status, report) = (Some(&self.status.path), self.report.as_ref());
        let asked = report.is_none() || self.is_asked();
        let calls = [
            ("start", Some(&self.start.path), Some(&self.start.number)),
            (
                "status",
                status.filter(|_| asked),
                Some(&self.status.result),
            ),
            ("status", None, Some(&self.status.url)),
            ("status", None, self.status.properties.as_ref()),
            ("status", None, self.status.artifacts.as_ref()),
            ("status", None, self.status.log.as_ref()),
            ("report", None, report.map(|r| &r.key)),
            ("report", None, report.map(|r| &r.number)),
            ("report", None, report.map(|r| &r.at)),
            (
                "find",
                self.find.as_ref().map(|f| &f.path),
                self.find.as_ref().map(|f| &f.number),
            ),
            ("stop", self.stop.as_ref().map(|s| &s.path), None),
        ];
        for (call, path, pointer) in calls {
            if path.is_some_and(|path| path.is_empty() || path.starts_with('/')) {
                problems.push(format!(
                    "generic.{call}.path must be relative to the address"
                ));
            }
            if pointer.is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
                problems.push(format!(
                    "generic.{call}: {pointer:?} is no JSON pointer, which begins with a slash"
                ));
            }
        }
        for result in self.status.results.values() {
            if BuildResult::parse(result).is_none() {
                problems.push(format!("generic.status.results: {result:?} is no result"));
            }
        }
        problems
    }
}
