//! A build as every CI server has it, and as Spinnaker shows it.

use std::collections::BTreeMap;

use kork_model::{
    Context, InboundEvent, Timestamp,
    inbound::{EventKind, Verified},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{git::Scm, path::JobPath};

/// How a build ended, by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BuildResult {
    Success,
    Unstable,
    Failure,
    NotBuilt,
    Aborted,
}

impl BuildResult {
    /// Jenkins' word. Anything unknown is none.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "SUCCESS" => Some(Self::Success),
            "UNSTABLE" => Some(Self::Unstable),
            "FAILURE" => Some(Self::Failure),
            "NOT_BUILT" => Some(Self::NotBuilt),
            "ABORTED" => Some(Self::Aborted),
            _ => None,
        }
    }

    /// Jenkins' word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Unstable => "UNSTABLE",
            Self::Failure => "FAILURE",
            Self::NotBuilt => "NOT_BUILT",
            Self::Aborted => "ABORTED",
        }
    }
}

/// What a build is called where it is told of.
pub(crate) struct Told<'a> {
    /// Of the event.
    pub id: String,
    pub sender: &'static str,
    pub controller: &'a str,
    /// As triggers write it.
    pub job: &'a str,
    /// As people see it.
    pub number: u64,
    pub now: Timestamp,
}

/// A file that a build archived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildArtifact {
    pub file_name: String,
    pub display_path: String,
    /// Path below the build's artifacts.
    pub relative_path: String,
    /// Where it can be had, when its path does not say that.
    pub address: Option<String>,
}

impl BuildArtifact {
    /// The artifact at a path, shown by its last name.
    pub fn new(relative_path: &str) -> Self {
        let name = relative_path.rsplit('/').next().unwrap_or_default();
        Self {
            file_name: name.to_owned(),
            display_path: name.to_owned(),
            relative_path: relative_path.to_owned(),
            address: None,
        }
    }

    /// The artifact at a path that can be had at an address.
    pub fn at(relative_path: &str, address: Option<String>) -> Self {
        Self {
            address,
            ..Self::new(relative_path)
        }
    }

    /// Its type and reference, as artifacts of Spinnaker have them.
    fn reference(&self) -> (&'static str, &str) {
        match &self.address {
            Some(address) => ("http/file", address),
            None => ("jenkins/file", &self.relative_path),
        }
    }
}

/// Numbers of a test report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TestSummary {
    pub total: u64,
    pub failed: u64,
    pub skipped: u64,
}

/// A build, running or ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Build {
    pub number: u64,
    pub url: String,
    pub display_name: String,
    pub full_display_name: String,
    /// It runs, or is not finalised yet.
    pub running: bool,
    /// May be known while it still runs.
    pub result: Option<BuildResult>,
    /// Start, milliseconds since the epoch.
    pub started_ms: u64,
    /// 0 while it runs.
    pub duration_ms: u64,
    pub queue_id: Option<u64>,
    pub parameters: BTreeMap<String, String>,
    pub artifacts: Vec<BuildArtifact>,
    /// There are more than those.
    pub has_more_artifacts: bool,
    /// Every repository that was checked out, in the order of the server.
    pub scm: Vec<Scm>,
    pub tests: Option<TestSummary>,
}

impl Build {
    /// It ended, and how.
    pub fn finished(&self) -> Option<BuildResult> {
        if self.running { None } else { self.result }
    }

    /// Spinnaker's `GenericBuild`. `main_remote` says which repository comes first.
    pub fn generic(&self, name: &str, main_remote: Option<&str>) -> Value {
        let result = self.finished().map_or("BUILDING", BuildResult::name);
        let version = self.number.to_string();
        let artifacts: Vec<Value> = self.artifacts.iter().map(|a| a.generic(&version)).collect();
        let tests = self.tests.map(|t| {
            json!([{ "failCount": t.failed, "skipCount": t.skipped, "totalCount": t.total, "urlName": "testReport" }])
        });
        let main = crate::git::main(&self.scm, main_remote);
        let others = self
            .scm
            .iter()
            .filter(|scm| main.is_none_or(|m| !std::ptr::eq(*scm, m)));
        let scm: Vec<Value> = main.into_iter().chain(others).map(Scm::generic).collect();
        json!({
            "building": self.finished().is_none(),
            "fullDisplayName": self.full_display_name,
            "name": name,
            "number": self.number,
            "duration": self.duration_ms,
            "timestamp": self.started_ms.to_string(),
            "result": result,
            "artifacts": artifacts,
            "testResults": tests.unwrap_or_else(|| json!([])),
            "url": self.url,
            "id": self.number.to_string(),
            "scm": scm,
        })
    }

    /// What triggers see of a build of Jenkins, fetched by us.
    pub fn event(
        &self,
        sender: &'static str,
        controller: &str,
        job: &JobPath,
        now: Timestamp,
    ) -> InboundEvent {
        let mut event = self.told(Told {
            id: format!("{sender}:{controller}:{job}:{}", self.number),
            sender,
            controller,
            job: &job.spinnaker(),
            number: self.number,
            now,
        });
        event.job = Some(job.to_string());
        event
    }

    /// What it archived, as artifacts of Spinnaker.
    pub fn as_artifacts(&self) -> Vec<Value> {
        let version = self.number.to_string();
        let artifact = |a: &BuildArtifact| {
            let (kind, reference) = a.reference();
            json!({
                "type": kind, "name": a.file_name, "reference": reference,
                "version": version, "customKind": false, "metadata": {},
            })
        };
        self.artifacts.iter().map(artifact).collect()
    }

    /// What triggers see of it, fetched by us.
    pub(crate) fn told(&self, told: Told<'_>) -> InboundEvent {
        let main = crate::git::main(&self.scm, None);
        let mut trigger = Context::new();
        trigger.insert("master".to_owned(), json!(told.controller));
        trigger.insert("job".to_owned(), json!(told.job));
        trigger.insert("buildNumber".to_owned(), json!(told.number));
        trigger.insert("buildInfo".to_owned(), self.generic(told.job, None));
        InboundEvent {
            id: told.id,
            kind: EventKind::Build,
            sender: told.sender.to_owned(),
            source: told.controller.to_owned(),
            received: told.now,
            verified: Verified::Fetched,
            repository: main.and_then(Scm::repository),
            branch: main.and_then(|scm| scm.branch.clone()),
            commit: main.and_then(|scm| scm.sha1.clone()),
            job: Some(told.job.to_owned()),
            build_number: Some(told.number),
            result: self.finished().map(|r| r.name().to_owned()),
            building: Some(self.finished().is_none()),
            url: Some(self.url.clone()).filter(|url| !url.is_empty()),
            trigger,
            artifacts: self.as_artifacts(),
            ..InboundEvent::default()
        }
    }
}

impl BuildArtifact {
    fn generic(&self, version: &str) -> Value {
        let (kind, reference) = self.reference();
        json!({
            "fileName": self.file_name,
            "displayPath": self.display_path,
            "relativePath": self.relative_path,
            "reference": reference,
            "name": self.file_name,
            "type": kind,
            "version": version,
            "decorated": false,
        })
    }
}
