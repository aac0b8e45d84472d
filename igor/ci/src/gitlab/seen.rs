//! Pipelines of a project, as its webhook tells of them.

use async_trait::async_trait;
use kork_model::InboundEvent;
use serde_json::{Value, json};

use super::{Gitlab, build, pipelines};
use crate::{
    Build, CiError,
    build::Told,
    jenkins::{flag, list, text},
    poll::PAGE,
    server::{BuildServer, Projects},
};

#[async_trait]
impl Projects for Gitlab {
    async fn newest(&self, project: &str, page: usize) -> Result<Vec<Build>, CiError> {
        let path = format!("{}?per_page={PAGE}&page={page}", pipelines(project));
        let shown = json!({ "pipelines": self.rest.get(&path).await? });
        Ok(list(&shown, "pipelines").filter_map(build).collect())
    }

    /// People see the number that it has on the whole server.
    async fn find(
        &self,
        job: &str,
        shown: u64,
        _url: Option<&str>,
    ) -> Result<Option<(String, u64)>, CiError> {
        Ok(Some((job.to_owned(), shown)))
    }

    async fn seen(
        &self,
        project: &str,
        number: u64,
    ) -> Result<(Build, Option<InboundEvent>), CiError> {
        let (value, build) = self.pipeline(project, number).await?;
        let event = self.event(project, &value, &build);
        Ok((build, Some(event)))
    }
}

impl Gitlab {
    fn event(&self, project: &str, value: &Value, build: &Build) -> InboundEvent {
        let controller = self.name();
        let mut event = build.told(Told {
            id: format!("gitlab-ci:{controller}:{project}:{}", build.number),
            sender: self.sender(),
            controller,
            job: project,
            number: build.number,
            now: self.now(),
        });
        event.repository = Some(project.to_owned());
        if flag(value, "tag") {
            event.tag = event.branch.take();
        }
        event.actor = value.get("user").and_then(|user| text(user, "username"));
        event.action = Some("pipeline".to_owned());
        event
    }
}
