//! GitHub Actions: runs of a workflow are builds. A job is `owner/repository/workflow file`.

mod files;
mod seen;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use kork::ports::Clock;
use kork_model::Context;
use serde_json::{Map, Value, json};

use crate::{
    Build, BuildRequest, BuildResult, BuildServer, CiError, Controller, PropertiesError,
    calls::Reply,
    git::Scm,
    jenkins::{list, number, text},
    path::encoded,
    rest::{Rest, branch, millis, prepared_branch, seen},
    server::{About, Located, LogPage, LogStart, Prepared, Projects, Started},
};

/// Runs that are looked through for one of ours.
const LOOKED_THROUGH: usize = 50;
/// Ways of asking: all we like, without the run's id in the answer, without our input, without both.
const DISPATCHES_MAX: usize = 3;

/// A client of GitHub, or of one GitHub Enterprise Server.
pub struct Github(Rest);

impl Github {
    /// A client of `controller`, whose time comes from `clock`.
    pub fn new(controller: &Controller, clock: Arc<dyn Clock>) -> Result<Self, CiError> {
        let rest = Rest::new(controller, clock, |request, token| {
            let request = request
                .bearer_auth(token)
                .header("X-GitHub-Api-Version", "2022-11-28");
            request.header("Accept", "application/vnd.github+json")
        });
        Ok(Self(rest?))
    }

    async fn runs(&self, workflow: &Workflow, query: &str) -> Result<Vec<(Value, Build)>, CiError> {
        let value = self
            .0
            .get(&format!("{}/runs?{query}", workflow.path()))
            .await?;
        let runs = list(&value, "workflow_runs");
        Ok(runs
            .filter_map(|run| Some((run.clone(), build(run)?)))
            .collect())
    }
}

impl Github {
    /// A run without what it left.
    async fn state(&self, job: &str, number: u64) -> Result<Build, CiError> {
        let path = Workflow::of(job)?.run(number);
        let value = self.0.get(&path).await?;
        build(&value).ok_or_else(|| run_id(self.0.named(&path)))
    }
}

fn run_id(what: String) -> CiError {
    CiError::Malformed {
        what,
        reason: "the run has no id".to_owned(),
    }
}

/// `owner/repository/workflow file`, percent-encoded.
struct Workflow {
    repository: String,
    file: String,
}

impl Workflow {
    fn of(job: &str) -> Result<Self, CiError> {
        let parts: Vec<&str> = job.split('/').collect();
        match parts[..] {
            [owner, name, file] if parts.iter().all(|p| !matches!(*p, "" | "." | "..")) => {
                Ok(Self {
                    repository: format!("repos/{}/{}", encoded(owner), encoded(name)),
                    file: encoded(file),
                })
            }
            _ => Err(CiError::Invalid(format!(
                "{job:?} is not owner/repository/workflow file, as in acme/shop/build.yml"
            ))),
        }
    }

    fn path(&self) -> String {
        format!("{}/actions/workflows/{}", self.repository, self.file)
    }

    /// The log of one of its jobs.
    fn log(&self, id: u64) -> String {
        format!("{}/actions/jobs/{id}/logs", self.repository)
    }

    fn run(&self, id: u64) -> String {
        format!("{}/actions/runs/{id}", self.repository)
    }
}

/// `action_required` waits for a person; what neither passed nor failed was not built; a word of a later release has
/// failed.
fn result(value: &Value) -> Option<BuildResult> {
    if text(value, "status").as_deref() != Some("completed") {
        return None;
    }
    match text(value, "conclusion").as_deref() {
        None | Some("action_required") => None,
        Some("success") => Some(BuildResult::Success),
        Some("cancelled") => Some(BuildResult::Aborted),
        Some("skipped" | "neutral" | "stale") => Some(BuildResult::NotBuilt),
        Some(_) => Some(BuildResult::Failure),
    }
}

fn build(value: &Value) -> Option<Build> {
    let id = number(value, "id")?;
    let result = result(value);
    let started_ms = millis(value, "run_started_at").max(millis(value, "created_at"));
    let repository = value.get("repository");
    let remote = repository.and_then(|r| text(r, "clone_url").or_else(|| text(r, "html_url")));
    let shown = number(value, "run_number").unwrap_or(id);
    let scm = Scm {
        remotes: remote.into_iter().collect(),
        name: text(value, "head_branch"),
        branch: text(value, "head_branch"),
        sha1: text(value, "head_sha"),
        message: value.get("head_commit").and_then(|c| text(c, "message")),
        ..Scm::default()
    };
    Some(Build {
        number: id,
        url: text(value, "html_url").unwrap_or_default(),
        display_name: format!("#{shown}"),
        full_display_name: format!("{} #{shown}", text(value, "name").unwrap_or_default()),
        running: result.is_none(),
        result,
        started_ms,
        duration_ms: result.map_or(0, |_| {
            millis(value, "updated_at").saturating_sub(started_ms)
        }),
        scm: vec![scm],
        ..Build::default()
    })
}

/// What an answer 400 or 422 objects to.
fn objects_to(reply: &Reply, word: &str) -> bool {
    matches!(reply.status, 400 | 422) && String::from_utf8_lossy(&reply.body).contains(word)
}

#[async_trait]
impl BuildServer for Github {
    fn about(&self) -> About<'_> {
        self.0.about("github")
    }

    fn projects(&self) -> Option<&dyn Projects> {
        Some(self)
    }

    async fn prepare(&self, request: &BuildRequest) -> Result<Prepared, CiError> {
        let workflow = Workflow::of(&request.job)?;
        let repository = self.0.get(&workflow.repository).await?;
        let newest = self.runs(&workflow, "per_page=1").await?;
        Ok(Prepared {
            first_number: newest.first().map_or(0, |(_, run)| run.number) + 1,
            parameters: request.parameters.clone(),
            is_unique: true,
            has_parameters: true,
            at_ms: self.now().millis(),
            branch: Some(branch(request, &repository)?),
        })
    }

    async fn start(&self, request: &BuildRequest, prepared: &Prepared) -> Result<Started, CiError> {
        let path = format!("{}/dispatches", Workflow::of(&request.job)?.path());
        let what = self.0.named(&path);
        let unique = &self.0.controller.unique_parameter;
        let (mut with_key, mut with_details) = (true, true);
        for _ in 0..=DISPATCHES_MAX {
            let mut inputs: Map<String, Value> = prepared
                .parameters
                .iter()
                .map(|(k, v)| (k.clone(), json!(v)))
                .collect();
            if with_key {
                inputs.insert(unique.clone(), json!(request.unique_key));
            }
            let mut body = json!({ "ref": prepared_branch(request, prepared), "inputs": inputs });
            if with_details {
                body["return_run_details"] = json!(true);
            }
            let reply = self.0.post(&path, &body, true).await?;
            // Neither is known everywhere; what was refused did not start anything.
            if with_details && objects_to(&reply, "return_run_details") {
                with_details = false;
            } else if with_key && objects_to(&reply, unique) {
                with_key = false;
            } else if reply.status == 204 {
                return Ok(Started::Accepted);
            } else {
                let value = reply.json(&what)?;
                let url = text(&value, "html_url").unwrap_or_default();
                return Ok(
                    number(&value, "workflow_run_id").map_or(Started::Accepted, |number| {
                        Started::Build {
                            number,
                            url,
                            shared: false,
                        }
                    }),
                );
            }
        }
        Err(CiError::Malformed {
            what,
            reason: "it objects to what was left out".to_owned(),
        })
    }

    /// By our key in the name of the run; else the only new run that was dispatched on the branch.
    async fn look_for(
        &self,
        request: &BuildRequest,
        prepared: &Prepared,
    ) -> Result<Option<Started>, CiError> {
        let workflow = Workflow::of(&request.job)?;
        let name = prepared_branch(request, prepared);
        let query = format!("event=workflow_dispatch&per_page={LOOKED_THROUGH}");
        let mut runs = self.runs(&workflow, &query).await?;
        runs.retain(|(_, run)| run.number >= prepared.first_number);
        let has_key = |value: &Value| {
            let names = [text(value, "display_title"), text(value, "name")];
            names
                .into_iter()
                .flatten()
                .any(|n| n.contains(&request.unique_key))
        };
        let (found, shared) = if let Some((_, run)) = runs.iter().find(|(value, _)| has_key(value))
        {
            (Some(run), false)
        } else {
            let short = name
                .trim_start_matches("refs/heads/")
                .trim_start_matches("refs/tags/");
            let mut others = runs.iter().filter(|(_, run)| {
                run.scm
                    .first()
                    .is_some_and(|s| s.branch.as_deref() == Some(short))
            });
            let first = others.next().map(|(_, run)| run);
            (first.filter(|_| others.next().is_none()), true)
        };
        Ok(found.map(|run| Started::Build {
            number: run.number,
            url: run.url.clone(),
            shared,
        }))
    }

    /// There is no queue outside of runs.
    async fn locate(&self, _job: &str, _item: u64) -> Result<Located, CiError> {
        Ok(Located::Lost)
    }

    async fn watch(&self, job: &str, number: u64, _age_ms: u64) -> Result<Build, CiError> {
        self.state(job, number).await
    }

    async fn build(&self, job: &str, number: u64) -> Result<Build, CiError> {
        let mut build = self.state(job, number).await?;
        build.artifacts = seen(self.artifacts(&Workflow::of(job)?, number).await)?;
        Ok(build)
    }

    async fn stop(
        &self,
        request: &BuildRequest,
        _item: Option<u64>,
        number: Option<u64>,
    ) -> Result<(), CiError> {
        let Some(number) = number else { return Ok(()) };
        let job = &request.job;
        let path = format!("{}/cancel", Workflow::of(job)?.run(number));
        let reply = self.0.post(&path, &json!({}), false).await?;
        // 409: it has ended.
        if !matches!(reply.status, 202 | 409) {
            return Err(reply.error(&self.0.named(&path)));
        }
        self.0.await_end(|| self.state(job, number)).await
    }

    /// The log of a run is an archive that is there only at its end; those of its jobs are texts.
    async fn log(&self, job: &str, number: u64, start: LogStart) -> Result<LogPage, CiError> {
        self.log_of_jobs(&Workflow::of(job)?, number, start).await
    }

    async fn properties(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        self.properties_of_run(&Workflow::of(job)?, build, file)
            .await
    }
}
