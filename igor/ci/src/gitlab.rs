//! GitLab CI: pipelines of a project are builds. A job is the project's whole path or its number.

mod jobs;
mod seen;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use kork::ports::Clock;
use kork_model::Context;
use serde_json::{Value, json};

use crate::{
    Build, BuildRequest, BuildResult, BuildServer, CiError, Controller, PropertiesError,
    calls::Reply,
    git::Scm,
    jenkins::{number, text},
    path::encoded,
    rest::{Rest, branch, millis, prepared_branch, seen},
    server::{About, Located, LogPage, LogStart, Prepared, Projects, Started},
};

/// Pipelines that are looked through for one of ours.
const LOOKED_THROUGH: usize = 20;

/// A client of one GitLab.
pub struct Gitlab {
    rest: Rest,
    /// It was seen to take no variables from us.
    refuses_variables: AtomicBool,
}

impl Gitlab {
    /// A client of `controller`, whose time comes from `clock`.
    pub fn new(controller: &Controller, clock: Arc<dyn Clock>) -> Result<Self, CiError> {
        let rest = Rest::new(controller, clock, |request, token| {
            request.header("PRIVATE-TOKEN", token)
        });
        Ok(Self {
            rest: rest?,
            refuses_variables: AtomicBool::new(false),
        })
    }
}

impl Gitlab {
    /// A pipeline without what its jobs left.
    async fn state(&self, job: &str, number: u64) -> Result<Build, CiError> {
        Ok(self.pipeline(job, number).await?.1)
    }

    async fn pipeline(&self, job: &str, number: u64) -> Result<(Value, Build), CiError> {
        let path = format!("{}/{number}", pipelines(job));
        let value = self.rest.get(&path).await?;
        let build = build(&value).ok_or_else(|| CiError::Malformed {
            what: self.rest.named(&path),
            reason: "the pipeline has no id".to_owned(),
        })?;
        Ok((value, build))
    }
}

fn project(job: &str) -> String {
    format!("api/v4/projects/{}", encoded(job))
}

fn pipelines(job: &str) -> String {
    format!("{}/pipelines", project(job))
}

/// The project takes no variables with a request for a pipeline, or not from us.
fn refuses_variables(reply: &Reply) -> bool {
    let said = String::from_utf8_lossy(&reply.body).to_lowercase();
    matches!(reply.status, 400 | 403) && said.contains("pipeline variables")
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

fn found(build: Build, shared: bool) -> Started {
    Started::Build {
        number: build.number,
        url: build.url,
        shared,
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
    fn about(&self) -> About<'_> {
        self.rest.about("gitlab")
    }

    fn projects(&self) -> Option<&dyn Projects> {
        Some(self)
    }

    async fn prepare(&self, request: &BuildRequest) -> Result<Prepared, CiError> {
        let project = self.rest.get(&project(&request.job)).await?;
        let newest = self
            .rest
            .get(&format!("{}?per_page=1", pipelines(&request.job)))
            .await?;
        let newest = newest.get(0).and_then(|p| number(p, "id")).unwrap_or(0);
        let mut parameters = request.parameters.clone();
        let role = text(&project, "ci_pipeline_variables_minimum_override_role");
        let is_unique = role.as_deref() != Some("no_one_allowed");
        if is_unique {
            let unique = self.rest.controller.unique_parameter.clone();
            parameters.insert(unique, request.unique_key.clone());
        }
        Ok(Prepared {
            first_number: newest + 1,
            parameters,
            is_unique,
            has_parameters: true,
            at_ms: self.now().millis(),
            branch: Some(branch(request, &project)?),
        })
    }

    async fn start(&self, request: &BuildRequest, prepared: &Prepared) -> Result<Started, CiError> {
        let path = format!("{}/pipeline", project(&request.job));
        let body = |parameters: &BTreeMap<String, String>| {
            let variables = parameters
                .iter()
                .map(|(k, v)| json!({ "key": k, "value": v }));
            json!({ "ref": prepared_branch(request, prepared), "variables": variables.collect::<Vec<_>>() })
        };
        let whole = body(&prepared.parameters);
        let mut reply = self.rest.post(&path, &whole, true).await?;
        // Ours can be left out; those that the stage wants cannot.
        if refuses_variables(&reply) && request.parameters.is_empty() {
            self.refuses_variables.store(true, Ordering::Relaxed);
            let none = body(&BTreeMap::new());
            reply = self.rest.post(&path, &none, true).await?;
        }
        let value = reply.json(&self.rest.named(&path))?;
        Ok(build(&value).map_or(Started::Accepted, |b| Started::Build {
            number: b.number,
            url: b.url,
            shared: false,
        }))
    }

    /// By our key among the variables; where those are refused, the only new pipeline without any that was asked
    /// for over the API.
    async fn look_for(
        &self,
        request: &BuildRequest,
        prepared: &Prepared,
    ) -> Result<Option<Started>, CiError> {
        let pipelines = pipelines(&request.job);
        let branch = encoded(prepared_branch(request, prepared));
        let page = format!("{pipelines}?ref={branch}&per_page={LOOKED_THROUGH}");
        let page = self.rest.get(&page).await?;
        let unique = &self.rest.controller.unique_parameter;
        let mut without = Vec::new();
        for shown in page.as_array().into_iter().flatten() {
            let Some(build) = build(shown).filter(|b| b.number >= prepared.first_number) else {
                continue;
            };
            let variables = format!("{pipelines}/{}/variables", build.number);
            let variables = match self.rest.get(&variables).await {
                Ok(variables) => variables,
                // Those of other people may not be ours to see.
                Err(CiError::Denied { .. } | CiError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let variables = variables.as_array().map_or(&[][..], Vec::as_slice);
            let is_ours = variables.iter().any(|v| {
                text(v, "key").as_ref() == Some(unique)
                    && text(v, "value").as_ref() == Some(&request.unique_key)
            });
            if is_ours {
                return Ok(Some(found(build, false)));
            }
            if variables.is_empty() && text(shown, "source").as_deref() == Some("api") {
                without.push(build);
            }
        }
        let keyless = !prepared.is_unique || self.refuses_variables.load(Ordering::Relaxed);
        let only = without.pop().filter(|_| keyless && without.is_empty());
        Ok(only.map(|build| found(build, true)))
    }

    /// There is no queue outside of pipelines.
    async fn locate(&self, _job: &str, _item: u64) -> Result<Located, CiError> {
        Ok(Located::Lost)
    }

    async fn watch(&self, job: &str, number: u64, _age_ms: u64) -> Result<Build, CiError> {
        self.state(job, number).await
    }

    async fn build(&self, job: &str, number: u64) -> Result<Build, CiError> {
        let mut build = self.state(job, number).await?;
        build.artifacts = seen(self.archives(job, number).await)?;
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
        let path = format!("{}/{number}/cancel", pipelines(job));
        let reply = self.rest.post(&path, &json!({}), false).await?;
        if matches!(reply.status, 401 | 403 | 404) {
            return Err(reply.error(&self.rest.named(&path)));
        }
        self.rest.await_end(|| self.state(job, number)).await
    }

    /// A pipeline has no log of its own, only its jobs have.
    async fn log(&self, job: &str, number: u64, start: LogStart) -> Result<LogPage, CiError> {
        self.log_of_jobs(job, number, start).await
    }

    async fn properties(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        self.properties_of_jobs(job, build, file).await
    }
}
