//! The jobs of a pipeline: their logs, and what they archived.

use kork_model::Context;
use serde_json::{Value, json};

use super::{Gitlab, pipelines, project};
use crate::{
    Build, BuildArtifact, CiError, PropertiesError,
    calls::Bound,
    jenkins::{flag, list, number, text},
    path::encoded,
    properties,
    rest::{LOGS_MAX, PROPERTY_FILE_BYTES_MAX},
    server::{LogPage, LogStart},
};

/// A job as far as it matters here.
struct Job {
    id: u64,
    name: String,
    status: String,
    /// A job that never ran has no log.
    ran: bool,
    /// Its failure does not count.
    may_fail: bool,
    /// The name of the archive that it left.
    archive: Option<String>,
}

impl Job {
    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            id: number(value, "id")?,
            name: text(value, "name").unwrap_or_default(),
            status: text(value, "status").unwrap_or_default(),
            ran: value.get("started_at") != Some(&Value::Null),
            may_fail: flag(value, "allow_failure"),
            archive: value
                .get("artifacts_file")
                .and_then(|file| text(file, "filename")),
        })
    }

    fn path(&self, job: &str) -> String {
        format!("{}/jobs/{}", project(job), self.id)
    }
}

/// The job whose log says most: the first that failed, else the last that runs, else the last that ran.
fn telling(jobs: &[Job]) -> Option<&Job> {
    let failed = jobs
        .iter()
        .find(|job| job.status == "failed" && !job.may_fail);
    let running = || jobs.iter().rfind(|job| job.status == "running");
    let last = || jobs.iter().rfind(|job| job.ran);
    failed.or_else(running).or_else(last)
}

impl Gitlab {
    /// In the order in which they were made.
    async fn jobs(&self, job: &str, pipeline: u64) -> Result<Vec<Job>, CiError> {
        let path = format!("{}/{pipeline}/jobs?per_page={LOGS_MAX}", pipelines(job));
        let jobs = json!({ "jobs": self.rest.get(&path).await? });
        let mut jobs: Vec<Job> = list(&jobs, "jobs").filter_map(Job::of).collect();
        jobs.sort_unstable_by_key(|job| job.id);
        Ok(jobs)
    }

    /// The archives of its jobs, by the names of these.
    pub(super) async fn archives(
        &self,
        job: &str,
        pipeline: u64,
    ) -> Result<Vec<BuildArtifact>, CiError> {
        let jobs = self.jobs(job, pipeline).await?;
        let archives = jobs.iter().filter_map(|from| {
            let path = format!("{}/{}", from.name, from.archive.as_ref()?);
            let address = self.rest.address(&format!("{}/artifacts", from.path(job)));
            Some(BuildArtifact::at(&path, address))
        });
        Ok(archives.collect())
    }

    /// Only the end of a log can be had.
    pub(super) async fn log_of_jobs(
        &self,
        job: &str,
        pipeline: u64,
        start: LogStart,
    ) -> Result<LogPage, CiError> {
        let LogStart::Tail(bytes) = start else {
            return Ok(LogPage::default());
        };
        let jobs = self.jobs(job, pipeline).await?;
        let Some(telling) = telling(&jobs).filter(|job| job.ran) else {
            return Ok(LogPage::default());
        };
        let path = format!("{}/trace", telling.path(job));
        let page = self.rest.tail(&path, &telling.name, bytes).await?;
        Ok(page.unwrap_or_default())
    }

    /// From the archive of a job, or else from lines of the jobs' logs.
    pub(super) async fn properties_of_jobs(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        let jobs = self.jobs(job, build.number).await?;
        let mut found = Vec::new();
        for from in jobs.iter().filter(|job| job.archive.is_some()) {
            // `<job>/<path>` tells files of the same path apart.
            let within = file.strip_prefix(&format!("{}/", from.name));
            for path in [Some(file), within].into_iter().flatten() {
                if let Some(bytes) = self.archived(job, from, path).await? {
                    found.push((format!("{}/{path}", from.name), bytes));
                }
            }
        }
        if let Some(values) = properties::one(&found, file, &build.artifacts)? {
            return Ok(values);
        }
        let ran = jobs.iter().filter(|job| job.ran);
        let logs: Vec<String> = ran
            .map(|from| format!("{}/trace", from.path(job)))
            .collect();
        self.rest.logged(&logs, build, file).await
    }

    /// A file in the archive of a job; none when there is no such file.
    async fn archived(
        &self,
        job: &str,
        from: &Job,
        path: &str,
    ) -> Result<Option<Vec<u8>>, CiError> {
        let names: Vec<&str> = path.split('/').collect();
        if names.iter().any(|name| matches!(*name, "" | "." | "..")) {
            return Ok(None);
        }
        let names: Vec<String> = names.into_iter().map(encoded).collect();
        let path = format!("{}/artifacts/{}", from.path(job), names.join("/"));
        let reply = self
            .rest
            .download(&path, Bound::Refuse(PROPERTY_FILE_BYTES_MAX))
            .await?;
        match reply.status {
            // 400 is an archive without an index.
            400 | 404 => Ok(None),
            _ => Ok(Some(reply.good(&self.rest.named(&path))?.body)),
        }
    }
}
