//! Builds and queue items: where a request is, how a build goes on, how it is stopped.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kork_model::{Context, InboundEvent};

use super::{Change, Jenkins, shapes, shapes::BUILD_TREE, trigger::BUILDS_LOOKED_THROUGH};
use crate::{
    Build, BuildRequest, CiError, JobPath, PropertiesError,
    server::{About, BuildServer, Located, LogPage, LogStart, Prepared, Started},
};

/// How long each way of stopping is given before the next, harder one: as long as Jenkins itself waits before it
/// offers that. Steps that clean up run meanwhile.
const STOP_MS: u64 = 15_000;
/// How often it is looked whether the build has ended.
const STOP_LOOK_MS: u64 = 3_000;
/// Ways of stopping a build, mildest first; only pipelines know the others.
const STOPS: [&str; 3] = ["stop", "term", "kill"];
/// So often it is looked whether an item became a build while it was cancelled.
const CANCEL_LOOKS: usize = 3;
/// How long between those looks.
const CANCEL_MS: u64 = 1_000;

#[async_trait]
impl BuildServer for Jenkins {
    fn about(&self) -> About<'_> {
        self.calls.about("jenkins", &self.controller)
    }

    async fn prepare(&self, request: &BuildRequest) -> Result<Prepared, CiError> {
        self.prepare_request(request).await
    }

    async fn start(&self, request: &BuildRequest, prepared: &Prepared) -> Result<Started, CiError> {
        self.trigger(request, prepared).await
    }

    async fn look_for(
        &self,
        request: &BuildRequest,
        prepared: &Prepared,
    ) -> Result<Option<Started>, CiError> {
        self.find_request(request, prepared).await
    }

    async fn locate(&self, job: &str, item: u64) -> Result<Located, CiError> {
        let job = Self::job_path(job)?;
        let tree = "id,why,cancelled,executable[number,url]";
        match self.json(&format!("queue/item/{item}/"), tree).await {
            Ok(value) => {
                let build = value
                    .get("executable")
                    .and_then(|e| shapes::number(e, "number"));
                Ok(match build {
                    Some(number) => Located::Build { number },
                    None if shapes::flag(&value, "cancelled") => Located::Cancelled,
                    None => Located::Waiting {
                        why: shapes::text(&value, "why").unwrap_or_default(),
                    },
                })
            }
            Err(error) if error.is_not_found() => self.by_queue_id(&job, item).await,
            Err(error) => Err(error),
        }
    }

    async fn watch(&self, job: &str, number: u64, age_ms: u64) -> Result<Build, CiError> {
        self.look(&Self::job_path(job)?, number, age_ms).await
    }

    async fn build(&self, job: &str, number: u64) -> Result<Build, CiError> {
        self.read_build(&Self::job_path(job)?, number, BUILD_TREE)
            .await
    }

    async fn stop(
        &self,
        request: &BuildRequest,
        item: Option<u64>,
        number: Option<u64>,
    ) -> Result<(), CiError> {
        let job = &request.job;
        let path = Self::job_path(job)?;
        let number = match (number, item) {
            (Some(number), _) => Some(number),
            (None, Some(item)) => self.cancel(job, item).await?,
            (None, None) => None,
        };
        match number {
            Some(number) => self.stop_build(&path, number).await,
            None => Ok(()),
        }
    }

    async fn log(&self, job: &str, number: u64, start: LogStart) -> Result<LogPage, CiError> {
        self.console(&Self::job_path(job)?, number, start).await
    }

    async fn properties(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        self.property_file(&Self::job_path(job)?, build, file).await
    }
}

impl Jenkins {
    /// Fetches a build that somebody told of, and what triggers see of it.
    pub async fn event(
        &self,
        job: &JobPath,
        number: u64,
    ) -> Result<(Build, InboundEvent), CiError> {
        let build = self.read_build(job, number, BUILD_TREE).await?;
        let event = build.event(self.sender(), self.name(), job, self.now());
        Ok((build, event))
    }

    pub(crate) async fn read_build(
        &self,
        job: &JobPath,
        number: u64,
        tree: &str,
    ) -> Result<Build, CiError> {
        let path = format!("{}{number}/", job.url());
        let value = self.json(&path, tree).await?;
        shapes::build(&value).ok_or_else(|| CiError::Malformed {
            what: self.named(&path),
            reason: "the build has no number".to_owned(),
        })
    }

    /// Jenkins forgets items five minutes after they left the queue; builds keep the id.
    async fn by_queue_id(&self, job: &JobPath, item: u64) -> Result<Located, CiError> {
        let builds = self
            .newest(job, BUILDS_LOOKED_THROUGH, "number,queueId,timestamp")
            .await?;
        let build = builds.into_iter().find(|b| b.queue_id == Some(item));
        Ok(build.map_or(Located::Lost, |b| Located::Build { number: b.number }))
    }

    /// Cancels an item; the build that it became meanwhile, if it did.
    async fn cancel(&self, job: &str, item: u64) -> Result<Option<u64>, CiError> {
        let id = item.to_string();
        let path = "queue/cancelItem";
        for look in 0..CANCEL_LOOKS {
            let reply = self
                .post(path, &[("id", &id)], &BTreeMap::new(), Change::CancelItem)
                .await?;
            // 302 is the good answer of older releases; 404, 422 and 500 may mean that it is a build by now.
            if !matches!(reply.status, 204 | 302 | 404 | 422 | 500) {
                return Err(reply.error(&self.named(path)));
            }
            match self.locate(job, item).await? {
                Located::Build { number } => return Ok(Some(number)),
                Located::Cancelled | Located::Lost => return Ok(None),
                Located::Waiting { .. } if look + 1 < CANCEL_LOOKS => {
                    self.calls.rest(CANCEL_MS).await;
                }
                Located::Waiting { .. } => {}
            }
        }
        Err(CiError::NotBuildable {
            what: format!("the cancelled item {item}"),
            said: "Jenkins did not take it out of the queue".to_owned(),
        })
    }

    async fn stop_build(&self, job: &JobPath, number: u64) -> Result<(), CiError> {
        for how in STOPS {
            let path = format!("{}{number}/{how}", job.url());
            let reply = self
                .post(&path, &[], &BTreeMap::new(), Change::Other)
                .await?;
            if reply.status == 404 && how == "stop" {
                return Err(reply.error(&self.named(&path)));
            }
            if reply.status >= 400 && reply.status != 404 {
                return Err(reply.error(&self.named(&path)));
            }
            for look in 0..=STOP_MS / STOP_LOOK_MS {
                if look > 0 {
                    self.calls.rest(STOP_LOOK_MS).await;
                }
                let build = self.read_build(job, number, shapes::STATE_TREE).await?;
                // A result alone is no end: pipelines set it early.
                if build.finished().is_some() {
                    return Ok(());
                }
            }
        }
        Err(CiError::NotBuildable {
            what: self.named(&format!("{}{number}", job.url())),
            said: "it goes on although it was told to stop, to terminate and to die".to_owned(),
        })
    }
}
