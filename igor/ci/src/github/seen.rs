//! Runs of all workflows of a repository, as its webhook tells of them.

use async_trait::async_trait;
use kork_model::InboundEvent;
use serde_json::Value;

use super::{Github, Workflow, build, run_id};
use crate::{
    Build, CiError,
    build::Told,
    jenkins::{list, number, text},
    path::encoded,
    poll::PAGE,
    server::{BuildServer, Projects},
};

/// Pages of runs that are looked through for one that a person chose.
const FIND_PAGES_MAX: usize = 5;

#[async_trait]
impl Projects for Github {
    async fn newest(&self, project: &str, page: usize) -> Result<Vec<Build>, CiError> {
        let path = format!(
            "{}/actions/runs?exclude_pull_requests=true&per_page={PAGE}&page={page}",
            repository(project)?
        );
        let shown = self.0.get(&path).await?;
        Ok(list(&shown, "workflow_runs").filter_map(build).collect())
    }

    /// People see the number that it has in its workflow.
    async fn find(
        &self,
        job: &str,
        shown: u64,
        url: Option<&str>,
    ) -> Result<Option<(String, u64)>, CiError> {
        let workflow = Workflow::of(job)?;
        let project = job.rsplit_once('/').map_or(job, |(project, _)| project);
        let in_url = url.and_then(|url| {
            let (_, id) = url.split_once("/actions/runs/")?;
            id.split('/').next()?.parse().ok()
        });
        if let Some(id) = in_url {
            return Ok(Some((project.to_owned(), id)));
        }
        for page in 1..=FIND_PAGES_MAX {
            let runs = self
                .runs(&workflow, &format!("per_page={PAGE}&page={page}"))
                .await?;
            let is_it = |(run, _): &&(Value, Build)| number(run, "run_number") == Some(shown);
            if let Some((_, run)) = runs.iter().find(is_it) {
                return Ok(Some((project.to_owned(), run.number)));
            }
            if runs.len() < PAGE {
                break;
            }
        }
        Ok(None)
    }

    async fn seen(
        &self,
        project: &str,
        number: u64,
    ) -> Result<(Build, Option<InboundEvent>), CiError> {
        let path = format!("{}/actions/runs/{number}", repository(project)?);
        let value = self.0.get(&path).await?;
        let build = build(&value).ok_or_else(|| run_id(self.0.named(&path)))?;
        let event = self.event(project, &value, &build);
        Ok((build, event))
    }
}

impl Github {
    /// None of a run of a commit of a fork: nobody asks for those of strangers by name.
    fn event(&self, project: &str, value: &Value, build: &Build) -> Option<InboundEvent> {
        let whole = |key| text(value.get(key)?, "full_name");
        let repository = whole("repository").unwrap_or_else(|| project.to_owned());
        if whole("head_repository").is_some_and(|head| head != repository) {
            return None;
        }
        let file = text(value, "path").and_then(|path| {
            let path = path.split('@').next()?;
            path.rsplit('/').next().map(str::to_owned)
        });
        let workflow = file.or_else(|| text(value, "name"))?;
        let shown = number(value, "run_number")?;
        let attempt = number(value, "run_attempt").unwrap_or(1);
        let (controller, job) = (self.name(), format!("{repository}/{workflow}"));
        let mut event = build.told(Told {
            id: format!("githubActions:{controller}:{job}:{shown}.{attempt}"),
            sender: self.sender(),
            controller,
            job: &job,
            number: shown,
            now: self.now(),
        });
        event.repository = Some(repository);
        event.actor = value
            .get("triggering_actor")
            .and_then(|actor| text(actor, "login"));
        event.action = Some("workflow_run:completed".to_owned());
        Some(event)
    }
}

/// `owner/name`, below the server's address.
fn repository(project: &str) -> Result<String, CiError> {
    match project.split('/').collect::<Vec<_>>()[..] {
        [owner, name]
            if ![owner, name]
                .iter()
                .any(|part| matches!(*part, "" | "." | "..")) =>
        {
            Ok(format!("repos/{}/{}", encoded(owner), encoded(name)))
        }
        _ => Err(CiError::Invalid(format!(
            "{project:?} is not owner/repository, as in acme/shop"
        ))),
    }
}
