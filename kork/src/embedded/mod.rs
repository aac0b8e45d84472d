//! The embedded adapters: every port in one process and, unless in memory, in one directory.
//!
//! - [`store`]: one redb file and its only writer, shared by [`journal`], [`queue`] and [`topic`].
//! - [`objects`]: objects as files. [`rpc`], [`cache`]: in memory.
//! - [`clock`], [`ids`]: the system's, and the ones for tests.

mod cache;
mod clock;
mod ids;
mod journal;
mod lock;
mod objects;
mod queue;
mod rpc;
mod store;
mod topic;

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

pub use self::{
    clock::{SystemClock, TokioClock, WALL_CLOCK_RECHECK_MAX},
    ids::SeededIds,
};
use self::{lock::DirectoryLock, store::Store};
use crate::{
    model::{Kind, Problem},
    ports::{Clock, Ids, Ports, limit},
};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works there.
    #[error(
        "the data directory {dir} is in use by {}; stop it, or choose another directory",
        holder(*.pid)
    )]
    InUse { dir: Utf8PathBuf, pid: Option<u32> },
    /// It cannot be made, read or written.
    #[error("{path} cannot be used")]
    Unavailable {
        path: Utf8PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// What was acknowledged is not there any more.
    #[error("{path} is damaged: {reason}")]
    Damaged { path: Utf8PathBuf, reason: String },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        let (code, kind) = match &error {
            OpenError::InUse { .. } => ("KORK-0005", Kind::Conflict),
            OpenError::Unavailable { .. } => ("KORK-0008", Kind::Unavailable),
            OpenError::Damaged { .. } => ("KORK-0007", Kind::Bug),
        };
        let problem = Self::new(code, kind, error.to_string());
        match std::error::Error::source(&error) {
            Some(cause) => problem.because(cause),
            None => problem,
        }
    }
}

/// All ports of one process. The directory is free again when this and all its ports are dropped;
/// dropping waits for what is still to be written.
pub struct Embedded {
    ports: Ports,
}

impl Embedded {
    /// Opens or makes a data directory, with the machine's clock.
    pub fn open(dir: &Utf8Path) -> Result<Self, OpenError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = Arc::new(SeededIds::system(Arc::clone(&clock)));
        Self::open_with(dir, clock, ids)
    }

    /// Opens or makes a data directory with another clock and other ids.
    pub fn open_with(
        dir: &Utf8Path,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Result<Self, OpenError> {
        std::fs::create_dir_all(dir).map_err(|source| OpenError::Unavailable {
            path: dir.to_owned(),
            source,
        })?;
        let lock = DirectoryLock::take(dir)?;
        let objects = objects::DirectoryObjects::open(&dir.join("objects"), Arc::clone(&clock))?;
        let store = Store::open(dir, lock)?;
        Ok(Self {
            ports: ports(Arc::new(store), Arc::new(objects), clock, ids),
        })
    }

    /// Ports without a directory, threads or a time of their own: with a seeded `ids`, a
    /// [`TokioClock`] and a paused single-threaded runtime, a program does the same every time.
    pub fn in_memory(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let objects = Arc::new(objects::MemoryObjects::new(Arc::clone(&clock)));
        Self {
            ports: ports(Arc::new(Store::in_memory()), objects, clock, ids),
        }
    }

    /// The ports; clones share everything.
    pub fn ports(&self) -> Ports {
        self.ports.clone()
    }
}

fn ports(
    store: Arc<Store>,
    objects: Arc<dyn crate::ports::ObjectStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
) -> Ports {
    Ports {
        journal: Arc::new(journal::EmbeddedJournal {
            store: Arc::clone(&store),
        }),
        queue: Arc::new(queue::EmbeddedQueue {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
        }),
        rpc: Arc::new(rpc::EmbeddedRpc::default()),
        topic: Arc::new(topic::EmbeddedTopic { store }),
        cache: Arc::new(cache::EmbeddedCache::new(Arc::clone(&clock))),
        objects,
        clock,
        ids,
    }
}

/// True when a subject is under a prefix: the prefix ends at a dot or at the end of the subject. The
/// empty prefix is over everything.
fn is_under(subject: &str, prefix: &str) -> bool {
    subject.strip_prefix(prefix).is_some_and(|rest| {
        prefix.is_empty() || prefix.ends_with('.') || rest.is_empty() || rest.starts_with('.')
    })
}

/// What of a name and a payload is larger than the limits allow: what, its size, the limit.
fn oversized(name: &str, payload_bytes: usize) -> Option<(String, usize, usize)> {
    limit::oversized(limit::MESSAGE_BYTES_MAX, name, payload_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_dot_or_is_whole() {
        assert!(is_under("execution.a", "execution."));
        assert!(is_under("execution.a", "execution"));
        assert!(is_under("execution.a", "execution.a"));
        assert!(is_under("execution.a", ""));
        assert!(!is_under("executions.a", "execution"));
        assert!(!is_under("execution.ab", "execution.a"));
    }
}
