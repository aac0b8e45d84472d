//! Executions whose entry in the index is older than they are, because the cache refused it: put again until
//! it is taken. None of them leaves its log before, so a process that dies with some finds them at the next
//! start.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use kork_model::ExecutionId;
use tokio::sync::Notify;

use super::{Error, Shell};

/// Pause before the cache is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// Executions that are put at the same time, once one was taken.
const AT_ONCE: usize = 32;

/// Executions that are to be put again.
#[derive(Default)]
pub(crate) struct Behind {
    ids: Mutex<BTreeSet<ExecutionId>>,
    changed: Notify,
}

impl Behind {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<ExecutionId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index does not have the execution as it is.
    pub(crate) fn note(&self, id: &ExecutionId) {
        if self.lock().insert(id.clone()) {
            self.changed.notify_one();
        }
    }

    /// It does now.
    pub(crate) fn done(&self, id: &ExecutionId) {
        self.lock().remove(id);
    }

    pub(crate) fn has(&self, id: &ExecutionId) -> bool {
        self.lock().contains(id)
    }

    pub(crate) fn is_any(&self) -> bool {
        !self.lock().is_empty()
    }
}

impl Shell {
    /// Puts again what the index lacks. A cache that is away is asked only once.
    pub(crate) async fn catch_up(&self) -> Result<(), Error> {
        let ids: Vec<ExecutionId> = self.behind.lock().iter().cloned().collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.cache_answers().await?;
        let puts = ids
            .into_iter()
            .map(|id| async move { self.try_index_put_newest(&id).await });
        let mut puts = stream::iter(puts).buffer_unordered(AT_ONCE);
        let mut outcome = Ok(());
        while let Some(put) = puts.next().await {
            match put {
                Err(Error::Index { source }) => return Err(Error::Index { source }),
                // The log of one cannot be read just now: the others do not wait for it.
                Err(error) => outcome = Err(error),
                Ok(()) => {}
            }
        }
        outcome
    }
}

/// Starts to put again what the cache refuses.
pub(crate) fn spawn(shell: &Arc<Shell>) {
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn_until_requested(async move {
        loop {
            shell.behind.changed.notified().await;
            while let Err(error) = shell.catch_up().await {
                tracing::debug!(error = %error.problem(), "the index is behind");
                tokio::time::sleep(RETRY).await;
            }
        }
    });
}
