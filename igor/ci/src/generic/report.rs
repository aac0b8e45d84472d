//! How a build is, in the words of its server: as its status says, or as the server posts it.

use kork_model::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Build, BuildArtifact, BuildResult, PropertyFileError,
    config::{Generic, StatusCall},
    server::{NOT_NUMBERED, Started},
};

/// Longest `{key}` that is looked at, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// The end of a log that is kept.
const LOG_BYTES_MAX: usize = 16 * 1024;
/// Artifacts of one build.
const ARTIFACTS_MAX: usize = 1_000;

/// What is known of a build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<BuildResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Context>,
    /// Paths of the files that it archived.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    /// The end of its log.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log: String,
}

impl Report {
    /// What a body says that a server posts, and of which request: the key that it got with the start. None when it
    /// is no report of a build.
    pub fn posted(how: &Generic, body: &Value) -> Option<(String, Self)> {
        let report = how.report.as_ref()?;
        let key = body.pointer(&report.key).and_then(text)?;
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return None;
        }
        let mut said = Self::shown(&how.status, body.pointer(&report.at)?);
        said.number = body.pointer(&report.number).and_then(number);
        Some((key, said))
    }

    /// What an answer to the question for the status says.
    pub(super) fn shown(status: &StatusCall, shown: &Value) -> Self {
        let at = |pointer: &Option<String>| shown.pointer(pointer.as_ref()?);
        let artifacts = at(&status.artifacts).and_then(Value::as_array);
        Self {
            number: None,
            url: shown
                .pointer(&status.url)
                .and_then(text)
                .unwrap_or_default(),
            result: result(status, shown),
            properties: at(&status.properties).and_then(Value::as_object).cloned(),
            artifacts: artifacts.map_or_else(Vec::new, |list| {
                list.iter().filter_map(path).take(ARTIFACTS_MAX).collect()
            }),
            log: at(&status.log)
                .and_then(text)
                .map_or_else(String::new, |log| end(&log)),
        }
    }

    /// With what was posted before it. An end stays as it was told first; what is not said again stays.
    #[must_use]
    pub fn after(self, earlier: Self) -> Self {
        if earlier.result.is_some() {
            return earlier;
        }
        let or = |now: String, before: String| if now.is_empty() { before } else { now };
        Self {
            number: self.number.or(earlier.number),
            url: or(self.url, earlier.url),
            result: self.result,
            properties: self.properties.or(earlier.properties),
            artifacts: if self.artifacts.is_empty() {
                earlier.artifacts
            } else {
                self.artifacts
            },
            log: or(self.log, earlier.log),
        }
    }

    /// The build that it speaks of.
    pub fn started(&self) -> Started {
        Started::Build {
            number: self.number.unwrap_or(NOT_NUMBERED),
            url: self.url.clone(),
            shared: false,
        }
    }

    /// As a build of a job that has `known` as its number, unless it says another.
    pub fn build(&self, job: &str, known: u64) -> Build {
        let number = self.number.unwrap_or(known);
        Build {
            number,
            url: self.url.clone(),
            display_name: format!("#{number}"),
            full_display_name: format!("{job} #{number}"),
            running: self.result.is_none(),
            result: self.result,
            artifacts: self.artifacts.iter().map(|path| artifact(path)).collect(),
            ..Build::default()
        }
    }

    /// Its values. `file` only names them in errors.
    pub fn property_file(&self, file: &str) -> Result<Context, PropertyFileError> {
        self.properties
            .clone()
            .ok_or_else(|| PropertyFileError::Missing {
                file: file.to_owned(),
                archived: "nothing where generic.status.properties points to".to_owned(),
            })
    }
}

/// A path, or an address.
fn artifact(path: &str) -> BuildArtifact {
    let is_address = path.starts_with("https://") || path.starts_with("http://");
    BuildArtifact::at(path, is_address.then(|| path.to_owned()))
}

fn result(status: &StatusCall, shown: &Value) -> Option<BuildResult> {
    let word = shown.pointer(&status.result).and_then(text)?;
    let mut known = status.results.iter();
    let (_, result) = known.find(|(known, _)| known.eq_ignore_ascii_case(&word))?;
    BuildResult::parse(result)
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn number(value: &Value) -> Option<u64> {
    text(value)?.parse().ok()
}

/// An artifact is a path, or an object with one.
fn path(artifact: &Value) -> Option<String> {
    let named = ["path", "relativePath", "name"]
        .iter()
        .find_map(|name| artifact.get(name));
    named.unwrap_or(artifact).as_str().map(str::to_owned)
}

/// The last bytes of a text, in whole characters.
fn end(text: &str) -> String {
    let over = text.len().saturating_sub(LOG_BYTES_MAX);
    let from = (over..=text.len()).find(|at| text.is_char_boundary(*at));
    text[from.unwrap_or(over)..].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::ReportBody;

    fn how() -> Generic {
        Generic {
            report: Some(ReportBody {
                at: "/run".to_owned(),
                ..ReportBody::default()
            }),
            status: StatusCall {
                properties: Some("/out".to_owned()),
                artifacts: Some("/files".to_owned()),
                log: Some("/log".to_owned()),
                ..StatusCall::default()
            },
            ..Generic::default()
        }
    }

    #[test]
    fn a_post_says_of_which_request_it_is_and_how_the_build_is() {
        let body = json!({"key": "e/s/1", "number": "41", "run": {
            "status": "Success", "url": "https://b/41", "out": {"TAG": "1"},
            "files": ["a.zip", {"path": "out/b.json"}, {"size": 3}, 7], "log": "ü".repeat(LOG_BYTES_MAX)}});
        let (key, report) = Report::posted(&how(), &body).unwrap();
        assert_eq!(key, "e/s/1");
        assert_eq!(
            (report.number, report.result),
            (Some(41), Some(BuildResult::Success))
        );
        assert_eq!(report.artifacts, ["a.zip", "out/b.json"]);
        assert_eq!(report.properties.as_ref().unwrap()["TAG"], "1");
        assert_eq!(report.log.len(), LOG_BYTES_MAX);
        let build = report.build("shop", 7);
        assert_eq!(
            (build.number, build.finished()),
            (41, Some(BuildResult::Success))
        );
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for other in [
            json!({"run": {}}),
            json!({"key": "", "run": {}}),
            json!({"key": long, "run": {}}),
            json!({"key": "e/s/1"}),
            json!({"key": {"a": 1}, "run": {}}),
        ] {
            assert_eq!(Report::posted(&how(), &other), None, "{other}");
        }
        assert_eq!(
            Report::posted(&Generic::default(), &body),
            None,
            "it posts nothing"
        );
    }

    fn any_report() -> impl Strategy<Value = Report> {
        let result = prop_oneof![
            Just(None),
            Just(Some(BuildResult::Success)),
            Just(Some(BuildResult::Failure)),
        ];
        (
            any::<Option<u64>>(),
            "[a-c]{0,2}",
            result,
            proptest::collection::vec("[a-c]{1,2}", 0..3),
        )
            .prop_map(|(number, url, result, artifacts)| Report {
                number,
                url,
                result,
                artifacts,
                ..Report::default()
            })
    }

    proptest! {
        /// However often something is posted, and whatever after it: an end stays, and so does a number.
        #[test]
        fn nothing_goes_back(posts in proptest::collection::vec(any_report(), 1..8), again in 0usize..8) {
            let mut kept = Report::default();
            for post in &posts {
                let next = post.clone().after(kept.clone());
                prop_assert!(kept.result.is_none() || next == kept);
                prop_assert!(kept.number.is_none() || next.number.is_some());
                kept = next;
            }
            let ended = posts.iter().find_map(|post| post.result);
            prop_assert_eq!(kept.result, ended);
            let repeated = posts[again % posts.len()].clone().after(kept.clone());
            prop_assert_eq!(repeated.result, kept.result.or(posts[again % posts.len()].result));
        }

        #[test]
        fn no_body_breaks_it(key in "\\PC{0,8}", word in "\\PC{0,8}", file in "\\PC{0,8}", number in any::<f64>()) {
            let run = json!({"status": word, "url": number, "files": [file, null, [file]], "out": [word], "log": {}});
            let body = json!({"key": key, "number": number, "run": run});
            if let Some((_, report)) = Report::posted(&how(), &body) {
                let read: Report = serde_json::from_value(serde_json::to_value(&report).unwrap()).unwrap();
                prop_assert_eq!(read, report);
            }
        }
    }
}
