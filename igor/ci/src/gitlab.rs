//! GitLab CI: pipelines of a project are builds. A job is the project's whole path or its number.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use kork::ports::Clock;
use kork_model::Context;
use serde_json::{Value, json};

use crate::{
    Build, BuildRequest, BuildResult, BuildServer, CiError, Controller, PropertiesError,
    breaker::BreakerState,
    git::Scm,
    jenkins::{list, number, text},
    path::encoded,
    rest::{LOGS_MAX, Rest, branch, millis},
    server::{Located, LogPage, LogStart, Prepared, Started},
};

/// Pipelines that are looked through for one of ours.
const LOOKED_THROUGH: usize = 20;

/// A client of one GitLab.
pub struct Gitlab(Rest);

impl Gitlab {
    /// A client of `controller`, whose time comes from `clock`.
    pub fn new(controller: &Controller, clock: Arc<dyn Clock>) -> Result<Self, CiError> {
        let rest = Rest::new(
            controller,
            clock,
            |request, token| request.header("PRIVATE-TOKEN", token),
            false,
        );
        Ok(Self(rest?))
    }
}

fn pipelines(job: &str) -> String {
    format!("api/v4/projects/{}/pipelines", encoded(job))
}

/// What goes on, waits, or waits for a person has no result; neither has a word of a later release.
fn result(status: &str) -> Option<BuildResult> {
    match status {
        "success" => Some(BuildResult::Success),
        "failed" => Some(BuildResult::Failure),
        "canceled" => Some(BuildResult::Aborted),
        "skipped" => Some(BuildResult::NotBuilt),
        _ => None,
    }
}

fn build(value: &Value) -> Option<Build> {
    let id = number(value, "id")?;
    let url = text(value, "web_url").unwrap_or_default();
    let result = result(&text(value, "status").unwrap_or_default());
    let started_ms = millis(value, "started_at").max(millis(value, "created_at"));
    let project = url.split("/-/").next().filter(|p| !p.is_empty());
    let scm = Scm {
        remotes: project.map(|p| format!("{p}.git")).into_iter().collect(),
        name: text(value, "ref"),
        branch: text(value, "ref"),
        sha1: text(value, "sha"),
        ..Scm::default()
    };
    Some(Build {
        number: id,
        url,
        display_name: format!("#{id}"),
        full_display_name: format!(
            "pipeline #{id} of {}",
            text(value, "ref").unwrap_or_default()
        ),
        running: result.is_none(),
        result,
        started_ms,
        duration_ms: result.map_or(0, |_| {
            millis(value, "finished_at").saturating_sub(started_ms)
        }),
        scm: vec![scm],
        ..Build::default()
    })
}

#[async_trait]
impl BuildServer for Gitlab {
    fn sender(&self) -> &'static str {
        "gitlab"
    }

    fn name(&self) -> &str {
        &self.0.controller.name
    }

    fn clock(&self) -> &dyn Clock {
        self.0.calls.clock()
    }

    fn breaker(&self) -> BreakerState {
        self.0.calls.breaker()
    }

    async fn prepare(&self, request: &BuildRequest) -> Result<Prepared, CiError> {
        branch(request)?;
        let newest = self
            .0
            .get(&format!("{}?per_page=1", pipelines(&request.job)))
            .await?;
        let newest = newest.get(0).and_then(|p| number(p, "id")).unwrap_or(0);
        let mut parameters = request.parameters.clone();
        let unique = self.0.controller.unique_parameter.clone();
        parameters.insert(unique, request.unique_key.clone());
        Ok(Prepared {
            first_number: newest + 1,
            parameters,
            is_unique: true,
            has_parameters: true,
            at_ms: self.now().millis(),
        })
    }

    async fn start(&self, request: &BuildRequest, prepared: &Prepared) -> Result<Started, CiError> {
        let path = format!("api/v4/projects/{}/pipeline", encoded(&request.job));
        let variables = prepared
            .parameters
            .iter()
            .map(|(k, v)| json!({ "key": k, "value": v }));
        let body = json!({ "ref": branch(request)?, "variables": variables.collect::<Vec<_>>() });
        let value = self
            .0
            .post(&path, &body, true)
            .await?
            .json(&self.0.named(&path))?;
        Ok(build(&value).map_or(Started::Accepted, |b| Started::Build {
            number: b.number,
            url: b.url,
            shared: false,
        }))
    }

    async fn look_for(
        &self,
        request: &BuildRequest,
        prepared: &Prepared,
    ) -> Result<Option<Started>, CiError> {
        let pipelines = pipelines(&request.job);
        let page = format!(
            "{pipelines}?ref={}&per_page={LOOKED_THROUGH}",
            encoded(branch(request)?)
        );
        let page = self.0.get(&page).await?;
        let unique = &self.0.controller.unique_parameter;
        for build in page.as_array().into_iter().flatten().filter_map(build) {
            if build.number < prepared.first_number {
                continue;
            }
            let variables = self
                .0
                .get(&format!("{pipelines}/{}/variables", build.number))
                .await?;
            let is_ours = variables.as_array().into_iter().flatten().any(|v| {
                text(v, "key").as_ref() == Some(unique)
                    && text(v, "value").as_ref() == Some(&request.unique_key)
            });
            if is_ours {
                let (number, url) = (build.number, build.url);
                return Ok(Some(Started::Build {
                    number,
                    url,
                    shared: false,
                }));
            }
        }
        Ok(None)
    }

    /// There is no queue outside of pipelines.
    async fn locate(&self, _job: &str, _item: u64) -> Result<Located, CiError> {
        Ok(Located::Lost)
    }

    async fn watch(&self, job: &str, number: u64, _age_ms: u64) -> Result<Build, CiError> {
        self.build(job, number).await
    }

    async fn build(&self, job: &str, number: u64) -> Result<Build, CiError> {
        let path = format!("{}/{number}", pipelines(job));
        let value = self.0.get(&path).await?;
        build(&value).ok_or_else(|| CiError::Malformed {
            what: self.0.named(&path),
            reason: "the pipeline has no id".to_owned(),
        })
    }

    async fn stop(
        &self,
        job: &str,
        _item: Option<u64>,
        number: Option<u64>,
    ) -> Result<(), CiError> {
        let Some(number) = number else { return Ok(()) };
        let path = format!("{}/{number}/cancel", pipelines(job));
        let reply = self.0.post(&path, &json!({}), false).await?;
        if matches!(reply.status, 401 | 403 | 404) {
            return Err(reply.error(&self.0.named(&path)));
        }
        self.0.await_end(|| self.build(job, number)).await
    }

    /// A pipeline has no log of its own, only its jobs have.
    async fn log(&self, _job: &str, _number: u64, _start: LogStart) -> Result<LogPage, CiError> {
        Ok(LogPage::default())
    }

    /// From lines of the jobs' logs; `file` only names them in errors.
    async fn properties(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        let jobs = format!(
            "{}/{}/jobs?per_page={LOGS_MAX}",
            pipelines(job),
            build.number
        );
        let jobs = json!({ "jobs": self.0.get(&jobs).await? });
        let mut ids: Vec<u64> = list(&jobs, "jobs")
            .filter_map(|j| number(j, "id"))
            .collect();
        ids.sort_unstable();
        let project = format!("api/v4/projects/{}", encoded(job));
        let paths: Vec<String> = ids
            .iter()
            .map(|id| format!("{project}/jobs/{id}/trace"))
            .collect();
        self.0.logged(&paths, build, file).await
    }
}
