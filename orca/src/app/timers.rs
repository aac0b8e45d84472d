//! The timer wheel: one entry per execution, the next moment at which the engine wants to look at it.
//!
//! It is fed from the states, so it can be lost at any time: recovery fills it again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use kork_model::{ExecutionId, Timestamp};
use orca_engine::Command;
use tokio::sync::{Notify, Semaphore};

use super::Shell;

/// Ticks that run at the same time when many timers are due in the same instant.
const TICKS_AT_ONCE_MAX: usize = 64;

/// All timers of the process.
#[derive(Default)]
pub struct Timers {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    by_time: BTreeSet<(Timestamp, ExecutionId)>,
    by_id: HashMap<ExecutionId, Timestamp>,
}

impl Timers {
    /// Sets, moves or clears the timer of an execution.
    pub(crate) fn set(&self, id: &ExecutionId, at: Option<Timestamp>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match at {
            Some(at) => inner.by_id.insert(id.clone(), at),
            None => inner.by_id.remove(id),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            inner.by_time.remove(&(before, id.clone()));
        }
        if let Some(at) = at {
            inner.by_time.insert((at, id.clone()));
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// The execution waits for a moment.
    pub(crate) fn is_set(&self, id: &ExecutionId) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_id.contains_key(id)
    }

    fn len(&self) -> usize {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .len()
    }

    fn next(&self) -> Option<Timestamp> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_time.first().map(|(at, _)| *at)
    }

    /// Ids whose moment has come, each with that moment.
    fn take_due(&self, now: Timestamp) -> Vec<(Timestamp, ExecutionId)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while let Some((at, id)) = inner.by_time.first().cloned() {
            if at > now {
                break;
            }
            inner.by_time.pop_first();
            inner.by_id.remove(&id);
            due.push((at, id));
        }
        due
    }
}

/// Starts the task that lets executions look at the clock when their time has come.
pub(crate) fn spawn(shell: Arc<Shell>) {
    let shutdown = shell.shutdown.clone();
    shutdown.spawn_until_requested(async move {
        let at_once = Arc::new(Semaphore::new(TICKS_AT_ONCE_MAX));
        loop {
            let changed = shell.timers.changed.notified();
            match shell.timers.next() {
                None => changed.await,
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = shell.ports.clock.sleep_until(at) => {}
                        () = changed => {}
                    }
                }
            }
            let now = shell.ports.clock.now();
            let due = shell.timers.take_due(now);
            shell.measures.waiting(shell.timers.len());
            for (at, id) in due {
                shell.measures.fired(at, now);
                let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else {
                    return;
                };
                let shell = Arc::clone(&shell);
                shell.shutdown.clone().spawn(async move {
                    tick(&shell, &id).await;
                    drop(permit);
                });
            }
        }
    });
}

async fn tick(shell: &Arc<Shell>, id: &ExecutionId) {
    match shell.execute(id, &Command::Tick).await {
        // A tick that changed nothing must not leave the execution without its timer.
        Ok(state) => shell.timers.set(id, state.next_wake()),
        Err(error) => {
            tracing::warn!(execution.id = %id, error = %error.problem(), "a timer is tried again");
            let later = shell.ports.clock.now().plus_ms(1_000);
            if error.is_passing() {
                shell.timers.set(id, Some(later));
            }
        }
    }
}
