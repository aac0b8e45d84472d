//! Soft and hard shutdown.
//!
//! Soft: take no new work, finish or hand back what is running. Hard: stop now. A service's `run`
//! returns when its tasks have ended.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Tells the tasks of a service to stop, and waits for them. Clones share the same state.
#[derive(Clone, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Asks everybody to stop when they are ready.
    pub fn request(&self) {
        self.soft.cancel();
        self.tasks.close();
    }

    /// Stops everybody now.
    pub fn abort(&self) {
        self.request();
        self.hard.cancel();
    }

    /// True once a stop was requested.
    pub fn is_requested(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Waits until a stop is requested.
    pub async fn requested(&self) {
        self.soft.cancelled().await;
    }

    /// Runs a task that watches [`Self::requested`] itself. It is dropped at the hard stop.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hard = self.hard.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = hard.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Runs a task that is dropped as soon as a stop is requested.
    pub fn spawn_until_requested<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let soft = self.soft.clone();
        self.spawn(async move {
            tokio::select! {
                biased;
                () = soft.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Does one piece of work that [`Self::finish`] waits for. `None` when the hard stop came first:
    /// the work is dropped where it stands, as the process would have dropped it.
    pub async fn unless_aborted<F: Future>(&self, work: F) -> Option<F::Output> {
        let _waited_for = self.tasks.token();
        tokio::select! {
           biased;
            () = self.hard.cancelled() => None,
            output = work => Some(output),
        }
    }

    /// Requests a stop, waits up to `grace` for the tasks, then drops the rest. True when all ended
    /// by themselves.
    pub async fn finish(&self, grace: Duration) -> bool {
        self.request();
        let in_time = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        if !in_time {
            self.abort();
            self.tasks.wait().await;
        }
        in_time
    }
}
