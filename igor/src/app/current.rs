//! A CI server as its account says now: whoever follows a build for days hears of an address or a password that
//! changed meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use igor_ci::{
    Build, BuildRequest, BuildServer, CiError, PropertiesError,
    breaker::BreakerState,
    server::{Located, LogPage, LogStart, Prepared, Started},
};
use kork::ports::Clock;
use kork_model::{Context, Problem};

use super::Igor;

/// The client that the account of a name has at the time of each call.
pub(crate) struct Current {
    igor: Arc<Igor>,
    name: String,
    sender: &'static str,
}

impl Current {
    /// The server under a name; it must be there now.
    pub(crate) fn new(igor: &Arc<Igor>, name: &str) -> Result<Self, Problem> {
        Ok(Self {
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
}

#[async_trait]
impl BuildServer for Current {
    fn sender(&self) -> &'static str {
        self.sender
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn clock(&self) -> &dyn Clock {
        &*self.igor.ports.clock
    }

    fn breaker(&self) -> BreakerState {
        self.client()
            .map_or(BreakerState::Closed { failures: 0 }, |c| c.breaker())
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
        self.client()?.look_for(request, prepared).await
    }

    async fn locate(&self, job: &str, item: u64) -> Result<Located, CiError> {
        self.client()?.locate(job, item).await
    }

    async fn watch(&self, job: &str, number: u64, age_ms: u64) -> Result<Build, CiError> {
        self.client()?.watch(job, number, age_ms).await
    }

    async fn build(&self, job: &str, number: u64) -> Result<Build, CiError> {
        self.client()?.build(job, number).await
    }

    async fn stop(&self, job: &str, item: Option<u64>, number: Option<u64>) -> Result<(), CiError> {
        self.client()?.stop(job, item, number).await
    }

    async fn log(&self, job: &str, number: u64, start: LogStart) -> Result<LogPage, CiError> {
        self.client()?.log(job, number, start).await
    }

    async fn properties(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        self.client()?.properties(job, build, file).await
    }
}
