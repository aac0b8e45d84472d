//! What the follower of a build needs of a CI server, whichever it is.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use kork::ports::Clock;
use kork_model::{Context, InboundEvent, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Build, CiError, Controller, Generic, Github, Gitlab, Jenkins, PropertyFileError,
    breaker::BreakerState, config::Kind,
};

/// A build that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildRequest {
    /// Path of the job; of GitLab the project, of GitHub `owner/repository/workflow file`.
    pub job: String,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The same for every try of one stage and for nothing else.
    pub unique_key: String,
    /// Branch or tag, where the server builds one that is chosen by the request; without it, the default branch.
    #[serde(default)]
    pub branch: Option<String>,
    /// An archived file whose values the stage hands on.
    #[serde(default)]
    pub property_file: Option<String>,
    /// `UNSTABLE` is a success.
    #[serde(default)]
    pub mark_unstable_as_successful: bool,
    /// The stage ends when the build has started.
    #[serde(default = "yes")]
    pub wait_for_completion: bool,
    /// Bytes of what a build may hand on, as JSON.
    #[serde(default = "result_bytes_max")]
    pub result_bytes_max: usize,
    /// The build is given up, and stopped, after so long.
    #[serde(default = "follow_ms_max")]
    pub follow_ms_max: u64,
}

/// The longest that a build is followed unless told otherwise: three days.
pub const FOLLOW_MS_MAX: u64 = 72 * 3_600_000;

/// What a build hands on at most unless told otherwise.
pub const RESULT_BYTES_MAX: usize = 192 * 1024;

const fn result_bytes_max() -> usize {
    RESULT_BYTES_MAX
}

const fn yes() -> bool {
    true
}

const fn follow_ms_max() -> u64 {
    FOLLOW_MS_MAX
}

impl BuildRequest {
    /// A build of a job, with everything else as usual.
    pub fn new(job: &str, unique_key: &str) -> Self {
        Self {
            job: job.to_owned(),
            parameters: BTreeMap::new(),
            unique_key: unique_key.to_owned(),
            branch: None,
            property_file: None,
            mark_unstable_as_successful: false,
            wait_for_completion: true,
            result_bytes_max: RESULT_BYTES_MAX,
            follow_ms_max: FOLLOW_MS_MAX,
        }
    }
}

/// The number of a build that has none, or of which it is not known yet.
pub const NOT_NUMBERED: u64 = 0;

/// What is known before a build is asked for; kept, so that a lost answer can be looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Prepared {
    /// No build of ours has a lower number.
    pub first_number: u64,
    /// What is sent, the unique one included when the job declares it.
    pub parameters: BTreeMap<String, String>,
    /// The job declares the parameter that makes requests unique.
    pub is_unique: bool,
    /// The job declares parameters.
    pub has_parameters: bool,
    /// When it was prepared.
    pub at_ms: u64,
    /// Branch or tag, where the server has to be told one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// An accepted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It waits in a queue. `shared`: another request waits for the same build.
    Queued { item: u64, shared: bool },
    /// It is a build already.
    Build {
        number: u64,
        url: String,
        shared: bool,
    },
    /// Accepted without saying as what: it has to be looked for.
    Accepted,
}

/// Where a queued request is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    Waiting {
        why: String,
    },
    Build {
        number: u64,
    },
    Cancelled,
    /// Neither in the queue nor among the last builds.
    Lost,
}

/// Where a page of a log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStart {
    /// That many bytes from the beginning.
    At(u64),
    /// That many bytes before the end.
    Tail(u64),
}

/// A piece of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    pub text: String,
    /// Where the next page begins.
    pub next: u64,
    /// More is or will be there.
    pub more: bool,
}

/// Why the properties of a build cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PropertiesError {
    #[error(transparent)]
    File(#[from] PropertyFileError),
    #[error(transparent)]
    Server(#[from] CiError),
}

/// The client of a controller, whichever kind it is. Share one per controller.
pub fn connect(
    controller: &Controller,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn BuildServer>, CiError> {
    Ok(match controller.kind {
        Kind::Jenkins => Arc::new(Jenkins::new(controller, clock)?),
        Kind::Gitlab => Arc::new(Gitlab::new(controller, clock)?),
        Kind::GithubActions => Arc::new(Github::new(controller, clock)?),
        Kind::Generic => Arc::new(Generic::new(controller, clock)?),
    })
}

/// What all servers say of themselves.
pub struct About<'a> {
    /// `jenkins`, `gitlab`, `github`, `generic`.
    pub sender: &'static str,
    /// The name of the controller.
    pub name: &'a str,
    /// The clock of its calls.
    pub clock: &'a dyn Clock,
    /// The circuit breaker of its calls.
    pub breaker: BreakerState,
}

/// A CI server whose projects are looked at one by one: of GitLab by path, of GitHub `owner/repository`.
#[async_trait]
pub trait Projects: Send + Sync {
    /// A page of the builds of a project, the newest first, each as far as a list shows it. Pages count from 1.
    async fn newest(&self, project: &str, page: usize) -> Result<Vec<Build>, CiError>;
    /// The project and the number of the build that a trigger means: by its job and the number that people see there,
    /// and by its page where that is known. None when there is none.
    async fn find(
        &self,
        job: &str,
        shown: u64,
        url: Option<&str>,
    ) -> Result<Option<(String, u64)>, CiError>;
    /// A build, and what triggers see of it: the same as its webhook tells, under the same id. None when it starts
    /// nothing, whoever wants it.
    async fn seen(
        &self,
        project: &str,
        number: u64,
    ) -> Result<(Build, Option<InboundEvent>), CiError>;
}

/// A CI server. Jobs are named as in [`BuildRequest::job`].
#[async_trait]
pub trait BuildServer: Send + Sync {
    /// Which server it is, and how its calls go.
    fn about(&self) -> About<'_>;

    /// `jenkins`, `gitlab`, `github`, `generic`.
    fn sender(&self) -> &'static str {
        self.about().sender
    }

    /// The name of the controller.
    fn name(&self) -> &str {
        self.about().name
    }

    /// The clock of its calls.
    fn clock(&self) -> &dyn Clock {
        self.about().clock
    }

    /// How projects of it are looked at; none of a server that lists its jobs, or cannot.
    fn projects(&self) -> Option<&dyn Projects> {
        None
    }

    /// The circuit breaker of its calls, for health.
    fn breaker(&self) -> BreakerState {
        self.about().breaker
    }

    /// Now.
    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// Checks a request against the job. Changes nothing.
    async fn prepare(&self, request: &BuildRequest) -> Result<Prepared, CiError>;
    /// Asks for a build. [`CiError::Unanswered`] says that it may have been accepted.
    async fn start(&self, request: &BuildRequest, prepared: &Prepared) -> Result<Started, CiError>;
    /// Looks for what an unanswered [`Self::start`] may have left.
    async fn look_for(
        &self,
        request: &BuildRequest,
        prepared: &Prepared,
    ) -> Result<Option<Started>, CiError>;
    /// Where a queued request is.
    async fn locate(&self, job: &str, item: u64) -> Result<Located, CiError>;
    /// A build as it was at most `age_ms` ago. While it runs only the state of it may be filled in.
    async fn watch(&self, job: &str, number: u64, age_ms: u64) -> Result<Build, CiError>;
    /// Everything about a build, now.
    async fn build(&self, job: &str, number: u64) -> Result<Build, CiError>;
    /// Makes sure that neither the item nor a build of a request goes on. Done when it returns without an error.
    async fn stop(
        &self,
        request: &BuildRequest,
        item: Option<u64>,
        number: Option<u64>,
    ) -> Result<(), CiError>;
    /// A piece of the log.
    async fn log(&self, job: &str, number: u64, start: LogStart) -> Result<LogPage, CiError>;
    /// The values of a property file of a build that ended.
    async fn properties(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError>;
}
