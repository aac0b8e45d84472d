//! Archives finished executions, behind the back of whatever runs.
//!
//! Archiving costs the servers more than a short execution does, and nobody waits for it. So few are
//! archived at a time, more only when many wait: what runs comes first, and what waits stays bounded by
//! what is archived faster then. A process that dies with some waiting finds their logs at the next start.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kork_model::ExecutionId;
use tokio::sync::Notify;

use super::Shell;

/// Executions that are archived at the same time, at most.
const AT_ONCE_MAX: usize = 8;
/// Another one is archived at the same time for so many that wait.
const WAITING_PER_MORE: usize = 4_000;
/// Pause before an execution that could not be archived is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Executions that wait to be archived.
#[derive(Default)]
pub(crate) struct Archiver {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    order: VecDeque<ExecutionId>,
    /// The same ones: a take-over names what waits here already.
    waiting: HashSet<ExecutionId>,
    running: usize,
}

impl Inner {
    /// The next one, if another may be archived now.
    fn take(&mut self) -> Option<ExecutionId> {
        let at_once = (1 + self.order.len() / WAITING_PER_MORE).min(AT_ONCE_MAX);
        if self.running >= at_once {
            return None;
        }
        let id = self.order.pop_front()?;
        self.waiting.remove(&id);
        self.running += 1;
        Some(id)
    }
}

impl Archiver {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an execution over that has ended.
    pub(crate) fn put(&self, id: &ExecutionId) {
        let mut inner = self.lock();
        if inner.waiting.insert(id.clone()) {
            inner.order.push_back(id.clone());
            self.changed.notify_one();
        }
    }

    /// This one waits.
    pub(crate) fn has(&self, id: &ExecutionId) -> bool {
        self.lock().waiting.contains(id)
    }

    /// Executions that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().order.len()
    }

    fn done(&self) {
        self.lock().running -= 1;
        self.changed.notify_one();
    }
}

/// Starts to archive.
pub(crate) fn spawn(shell: &Arc<Shell>) {
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn_until_requested(async move {
        loop {
            let changed = shell.archiver.changed.notified();
            while let Some(id) = { shell.archiver.lock().take() } {
                let shell = Arc::clone(&shell);
                shell.shutdown.clone().spawn(async move {
                    archive(&shell, &id).await;
                    shell.archiver.done();
                });
            }
            shell.measures.to_archive(shell.archiver.len());
            changed.await;
        }
    });
}

async fn archive(shell: &Arc<Shell>, id: &ExecutionId) {
    let Err(error) = shell.archive(id).await else {
        return;
    };
    let problem = error.problem();
    if !error.is_passing() {
        tracing::error!(execution.id = %id, error = %problem, "a finished execution cannot be archived");
        return;
    }
    tracing::warn!(execution.id = %id, error = %problem, "a finished execution is archived later");
    let again = Arc::clone(shell);
    let id = id.clone();
    shell.shutdown.spawn_until_requested(async move {
        tokio::time::sleep(RETRY).await;
        again.archiver.put(&id);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_are_archived_at_a_time_when_many_wait() {
        let archiver = Archiver::default();
        let put = |count: usize| {
            for number in 0..count {
                archiver.put(&ExecutionId::from(format!("e{number}").as_str()));
            }
        };
        let taken = || std::iter::from_fn(|| archiver.lock().take()).count();
        put(2);
        assert_eq!(taken(), 1);
        put(3 * WAITING_PER_MORE);
        assert_eq!(archiver.len(), 3 * WAITING_PER_MORE, "each waits once");
        assert_eq!(taken(), 2, "with the one before, three");
        put(20 * WAITING_PER_MORE);
        taken();
        assert_eq!(archiver.lock().running, AT_ONCE_MAX);
        (0..AT_ONCE_MAX).for_each(|_| archiver.done());
        assert_eq!(taken(), AT_ONCE_MAX);
    }
}
