//! A CI server as its account says now: whoever follows a build for days hears of an address or a password that
//! changed meanwhile. What a server posts of the build stands in for asking it, or says when to.

use std::sync::Arc;

use async_trait::async_trait;
use igor_ci::{
    Build, BuildRequest, BuildServer, CiError, PropertiesError, Report,
    breaker::BreakerState,
    config::Generic,
    server::{About, Located, LogPage, LogStart, NOT_NUMBERED, Prepared, Started},
};
use kork_model::{Context, Problem};

use super::Igor;

/// The client that the account of a name has at the time of each call, for the build of one order.
pub(crate) struct Current {
    igor: Arc<Igor>,
    name: String,
    sender: &'static str,
    /// The key of the order, under which the server posts.
    key: String,
}

/// What a server that posts has posted, and which build of it may be asked for.
struct Posted {
    report: Report,
    /// None when it is not asked: then what it posted is all there is.
    asked: Option<u64>,
}

impl Current {
    /// The server under a name; it must be there now.
    pub(crate) fn new(igor: &Arc<Igor>, name: &str, key: &str) -> Result<Self, Problem> {
        Ok(Self {
            key: key.to_owned(),
            sender: igor.build_server(name)?.sender(),
            igor: Arc::clone(igor),
            name: name.to_owned(),
        })
    }

    /// A server that was taken out of the accounts may come back with their next change.
    fn client(&self) -> Result<Arc<dyn BuildServer>, CiError> {
        let client = self.igor.build_server(&self.name);
        client.map_err(|problem| CiError::Unavailable {
            what: format!("the controller {}", self.name),
            said: problem.message(),
            source: None,
        })
    }

    /// How the server posts, if it does.
    fn posting(&self) -> Option<Generic> {
        let accounts = self.igor.accounts.now();
        let controller = accounts.controller(&self.name)?;
        controller.generic.clone().filter(|_| controller.posts())
    }

    async fn report(&self) -> Result<Report, CiError> {
        let found = self.igor.report_of(&self.name, &self.key).await;
        found.map_err(|error| CiError::Unavailable {
            what: "what the server posted of the build".to_owned(),
            said: error.to_string(),
            source: None,
        })
    }

    /// None of a server that posts nothing.
    async fn posted(&self, number: u64) -> Result<Option<Posted>, CiError> {
        let Some(how) = self.posting() else {
            return Ok(None);
        };
        let report = self.report().await?;
        let known = Some(number).filter(|number| *number != NOT_NUMBERED);
        let known = known.or(report.number);
        if how.is_asked() && known.is_none() && report.result.is_some() {
            return Err(CiError::Malformed {
                what: format!("what {} posted of the build", self.name),
                reason: "it has no number to ask for; correct generic.report.number".to_owned(),
            });
        }
        let asked = known.filter(|_| how.is_asked());
        Ok(Some(Posted { report, asked }))
    }
}

#[async_trait]
impl BuildServer for Current {
    fn about(&self) -> About<'_> {
        let client = self.client();
        About {
            sender: self.sender,
            name: &self.name,
            clock: &*self.igor.ports.clock,
            breaker: client.map_or(BreakerState::Closed { failures: 0 }, |c| c.breaker()),
        }
    }

    async fn prepare(&self, request: &BuildRequest) -> Result<Prepared, CiError> {
        self.client()?.prepare(request).await
    }

    async fn start(&self, request: &BuildRequest, prepared: &Prepared) -> Result<Started, CiError> {
        self.client()?.start(request, prepared).await
    }

    async fn look_for(
        &self,
        request: &BuildRequest,
        prepared: &Prepared,
    ) -> Result<Option<Started>, CiError> {
        if self.posting().is_some() {
            let report = self.report().await?;
            if report != Report::default() {
                return Ok(Some(report.started()));
            }
        }
        self.client()?.look_for(request, prepared).await
    }

    async fn locate(&self, job: &str, item: u64) -> Result<Located, CiError> {
        self.client()?.locate(job, item).await
    }

    async fn watch(&self, job: &str, number: u64, age_ms: u64) -> Result<Build, CiError> {
        match self.posted(number).await? {
            None => self.client()?.watch(job, number, age_ms).await,
            // It is time to look: what was seen before does not count.
            Some(Posted {
                asked: Some(number),
                ..
            }) => self.client()?.build(job, number).await,
            Some(Posted { report, .. }) => Ok(report.build(job, number)),
        }
    }

    async fn build(&self, job: &str, number: u64) -> Result<Build, CiError> {
        match self.posted(number).await? {
            None => self.client()?.build(job, number).await,
            Some(Posted {
                asked: Some(number),
                ..
            }) => self.client()?.build(job, number).await,
            Some(Posted { report, .. }) => Ok(report.build(job, number)),
        }
    }

    async fn stop(
        &self,
        request: &BuildRequest,
        item: Option<u64>,
        number: Option<u64>,
    ) -> Result<(), CiError> {
        let mut number = number;
        if number.is_none_or(|number| number == NOT_NUMBERED) && self.posting().is_some() {
            number = self.report().await?.number.or(number);
        }
        self.client()?.stop(request, item, number).await
    }

    async fn log(&self, job: &str, number: u64, start: LogStart) -> Result<LogPage, CiError> {
        match self.posted(number).await? {
            Some(Posted {
                asked: None,
                report,
            }) => Ok(LogPage {
                text: report.log,
                ..LogPage::default()
            }),
            _ => self.client()?.log(job, number, start).await,
        }
    }

    async fn properties(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        match self.posted(build.number).await? {
            Some(Posted {
                asked: None,
                report,
            }) => Ok(report.property_file(file)?),
            _ => self.client()?.properties(job, build, file).await,
        }
    }
}
