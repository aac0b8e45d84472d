//! What the use cases need from the machine: processes, the proxy, artifacts.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use camino::Utf8PathBuf;
use kork_model::{Problem, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::{
    group::{Artifact, ServerGroup},
    health::HealthCheck,
    restart::Exit,
    routing::{Metrics, Table},
};

/// One start of one instance. The run grows with every start of the same instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunId {
    pub group: String,
    pub ordinal: u32,
    pub run: u32,
}

impl RunId {
    /// The run that is shown as this text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '/');
        let run = parts.next()?.parse().ok()?;
        let ordinal = parts.next()?.parse().ok()?;
        let group = parts.next()?.to_owned();
        Some(Self {
            group,
            ordinal,
            run,
        })
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.group, self.ordinal, self.run)
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Launch {
    pub id: RunId,
    /// Program and arguments; `$PORT`, `$PORT_<NAME>`, `$ARTIFACT` and `$GENNAKER` are filled in.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub dir: Utf8PathBuf,
    pub artifact: Option<Utf8PathBuf>,
    /// Names of ports besides `PORT`.
    pub ports: Vec<String>,
    pub health: HealthCheck,
    pub liveness: Option<HealthCheck>,
}

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    pub id: RunId,
    pub pid: u32,
    /// `PORT` and the named ones.
    pub ports: BTreeMap<String, u16>,
    pub started: Timestamp,
    pub ready: bool,
}

/// What was found of an instance when clouddriver started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Live(Running),
    /// It has ended while nobody watched.
    Ended(RunId),
}

/// News of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub id: RunId,
    pub news: News,
}

/// What happened to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Readiness, and what the last probe said.
    Probed { ready: bool, message: String },
    /// It ended; `because` when clouddriver ended it for its liveness.
    Exited { exit: Exit, because: Option<String> },
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    pub instance: String,
    /// When it was first seen; precise to half a second.
    pub time: Timestamp,
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    pub line: String,
}

/// Processes of this machine, which live on when clouddriver ends.
#[async_trait]
pub trait Processes: Send + Sync {
    /// Starts a process in its own process group and watches it: every change is a [`Notice`].
    async fn start(&self, launch: Launch) -> Result<Running, Problem>;
    /// Finds what still runs of these server groups and watches it again; ends everything else
    /// that was once started from this data directory.
    async fn take_over(&self, groups: &[ServerGroup]) -> Vec<Found>;
    /// SIGTERM to the process group, SIGKILL after `grace` to all that is left of the run. Returns
    /// when nothing is left.
    async fn stop(&self, id: &RunId, grace: Duration);
    /// The last lines of a run's output, oldest first.
    async fn tail(&self, id: &RunId, lines: usize) -> Vec<LogLine>;
    /// Forgets the runs of a server group; its output is kept for a while.
    async fn forget(&self, group: &str);
}

/// The proxy process.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// Replaces the table; answers with the port of each listener that works. Starts the proxy when
    /// it is not there. When this has returned, no request is sent to what is not in the table.
    async fn apply(&self, table: &Table) -> Result<BTreeMap<String, u16>, Problem>;
    /// False when the table must be applied anew: the proxy went away.
    async fn is_connected(&self) -> bool;
    /// Waits until nothing is in flight to these targets; answers with what is left.
    async fn idle(&self, targets: Vec<String>, timeout: Duration) -> Result<u64, Problem>;
    /// Cuts what is in flight; answers with how many requests that were.
    async fn cut(&self, targets: Vec<String>) -> Result<u64, Problem>;
    /// Requests so far by server group; empty when the proxy is not there.
    async fn metrics(&self) -> BTreeMap<String, Metrics>;
}

/// Where a server group's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub dir: Utf8PathBuf,
    pub file: Option<Utf8PathBuf>,
}

/// Programs and files that server groups are made from.
#[async_trait]
pub trait ArtifactSource: Send + Sync {
    /// Fetches and checks an artifact and places it, read-only, in the group's own directory.
    async fn prepare(&self, group: &str, artifact: Option<&Artifact>) -> Result<Placed, Problem>;
    /// Where [`Self::prepare`] has placed it.
    fn placed(&self, group: &str, artifact: Option<&Artifact>) -> Result<Placed, Problem>;
    /// The bytes of an artifact, checked.
    async fn fetch(&self, artifact: &Artifact) -> Result<Bytes, Problem>;
    /// Removes the group's directory.
    async fn remove(&self, group: &str) -> Result<(), Problem>;
}
