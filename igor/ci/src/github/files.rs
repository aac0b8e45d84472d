//! What a run leaves: the logs of its jobs, and its artifacts, which are archives.

use kork_model::Context;
use serde_json::Value;

use super::{Github, Workflow};
use crate::{
    Build, BuildArtifact, CiError, PropertiesError, PropertyFileError, archive,
    calls::Bound,
    jenkins::{flag, list, number, text},
    properties,
    rest::{LOGS_MAX, PROPERTY_FILE_BYTES_MAX, seen},
    server::{LogPage, LogStart},
};

/// Artifacts of a run that are listed.
const ARTIFACTS_MAX: usize = 100;
/// Artifacts that a property file is looked for in, and the bytes of each.
const ARCHIVES_MAX: usize = 20;
const ARCHIVE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// An archive that a run left.
struct Archive {
    name: String,
    address: Option<String>,
    /// Its path below the server's address.
    path: String,
    bytes: u64,
}

/// The job whose log says most: the first that failed, else one that runs, else the last that ended.
fn telling(jobs: &[Value]) -> Option<&Value> {
    let is = |job: &Value, name: &str, values: &[&str]| {
        text(job, name).is_some_and(|value| values.contains(&value.as_str()))
    };
    let failed = ["failure", "timed_out", "cancelled"];
    let failed = jobs.iter().find(|job| is(job, "conclusion", &failed));
    let running = || jobs.iter().find(|job| is(job, "status", &["in_progress"]));
    let ended = jobs.iter().filter(|job| is(job, "status", &["completed"]));
    let last = ended
        .filter(|job| !is(job, "conclusion", &["skipped"]))
        .max_by_key(|job| text(job, "completed_at"));
    failed.or_else(running).or(last)
}

/// The steps of a job that runs: GitHub has no log of it yet.
fn steps(job: &Value) -> String {
    let name = text(job, "name").unwrap_or_default();
    let mut shown = format!("[{name}]\n");
    for step in list(job, "steps") {
        let state = text(step, "conclusion").or_else(|| text(step, "status"));
        let name = text(step, "name").unwrap_or_default();
        shown.extend([state.as_deref().unwrap_or("queued"), ": ", &name, "\n"]);
    }
    shown
}

impl Github {
    async fn jobs(&self, workflow: &Workflow, run: u64) -> Result<Vec<Value>, CiError> {
        let path = format!("{}/jobs?per_page={LOGS_MAX}", workflow.run(run));
        let jobs = self.0.get(&path).await?;
        Ok(list(&jobs, "jobs").cloned().collect())
    }

    async fn archives(&self, workflow: &Workflow, run: u64) -> Result<Vec<Archive>, CiError> {
        let path = format!("{}/artifacts?per_page={ARTIFACTS_MAX}", workflow.run(run));
        let artifacts = self.0.get(&path).await?;
        let there = list(&artifacts, "artifacts").filter(|artifact| !flag(artifact, "expired"));
        let archives = there.filter_map(|artifact| {
            let id = number(artifact, "id")?;
            let path = format!("{}/actions/artifacts/{id}/zip", workflow.repository);
            Some(Archive {
                name: text(artifact, "name")?,
                address: self.0.address(&path),
                path,
                bytes: number(artifact, "size_in_bytes").unwrap_or(0),
            })
        });
        Ok(archives.collect())
    }

    /// Its archives, as files.
    pub(super) async fn artifacts(
        &self,
        workflow: &Workflow,
        run: u64,
    ) -> Result<Vec<BuildArtifact>, CiError> {
        let archives = self.archives(workflow, run).await?.into_iter();
        let file =
            |archive: Archive| BuildArtifact::at(&format!("{}.zip", archive.name), archive.address);
        Ok(archives.map(file).collect())
    }

    /// Only the end of a log can be had, and only of a job that has ended.
    pub(super) async fn log_of_jobs(
        &self,
        workflow: &Workflow,
        run: u64,
        start: LogStart,
    ) -> Result<LogPage, CiError> {
        let LogStart::Tail(bytes) = start else {
            return Ok(LogPage::default());
        };
        let jobs = self.jobs(workflow, run).await?;
        let Some(telling) = telling(&jobs) else {
            return Ok(LogPage::default());
        };
        let name = text(telling, "name").unwrap_or_default();
        let log = match number(telling, "id") {
            Some(id) if text(telling, "status").as_deref() != Some("in_progress") => {
                self.0.tail(&workflow.log(id), &name, bytes).await?
            }
            _ => None,
        };
        Ok(log.unwrap_or_else(|| LogPage {
            text: steps(telling),
            ..LogPage::default()
        }))
    }

    /// From an artifact of the run, or else from lines of the jobs' logs.
    pub(super) async fn properties_of_run(
        &self,
        workflow: &Workflow,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        let found = self.archived(workflow, build, file).await?;
        if let Some(values) = properties::one(&found, file, &build.artifacts)? {
            return Ok(values);
        }
        let jobs = self.jobs(workflow, build.number).await?;
        // A job that never ran has no log.
        let ran = |job: &&Value| text(job, "conclusion").as_deref() != Some("skipped");
        let ids = jobs.iter().filter(ran).filter_map(|job| number(job, "id"));
        let logs: Vec<String> = ids.map(|id| workflow.log(id)).collect();
        self.0.logged(&logs, build, file).await
    }

    /// The files that `file` may mean, by `<artifact>/<path>`.
    async fn archived(
        &self,
        workflow: &Workflow,
        build: &Build,
        file: &str,
    ) -> Result<Vec<(String, Vec<u8>)>, PropertiesError> {
        let mut archives = seen(self.archives(workflow, build.number).await)?;
        // `<artifact>/<path>` names one of them.
        let named = |archive: &Archive| {
            let rest = file.strip_prefix(&archive.name)?;
            rest.strip_prefix('/').map(str::to_owned)
        };
        if archives.iter().any(|archive| named(archive).is_some()) {
            archives.retain(|archive| named(archive).is_some());
        }
        // A small one is a property file rather than what was built.
        archives.sort_by_key(|archive| archive.bytes);
        let small = |archive: &&Archive| archive.bytes <= ARCHIVE_BYTES_MAX;
        let mut found = Vec::new();
        for archive in archives.iter().filter(small).take(ARCHIVES_MAX) {
            let wanted = named(archive).unwrap_or_else(|| file.to_owned());
            let bound = Bound::Refuse(ARCHIVE_BYTES_MAX as usize);
            let reply = self.0.download(&archive.path, bound).await?;
            let bytes = match reply.status {
                // It expired, or was deleted, a moment ago.
                404 | 410 => continue,
                _ => reply.good(&self.0.named(&archive.path))?.body,
            };
            let read = archive::find(&bytes, &archive.name, &wanted, PROPERTY_FILE_BYTES_MAX);
            let read = read.map_err(|reason| PropertyFileError::Broken {
                file: file.to_owned(),
                reason,
                archived: properties::named(&build.artifacts),
            })?;
            let whole =
                |(path, bytes): (String, Vec<u8>)| (format!("{}/{path}", archive.name), bytes);
            found.extend(read.into_iter().map(whole));
        }
        Ok(found)
    }
}
