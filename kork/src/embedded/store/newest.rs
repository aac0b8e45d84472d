//! The newest of something that readers can see.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// A number that grows, and those who wait for a higher one. They wake in the order in which they came,
/// where `tokio::sync::watch` wakes them in a random one: a seeded simulation has to replay.
#[derive(Debug)]
pub(in crate::embedded) struct Newest {
    number: AtomicU64,
    higher: Notify,
}

impl Newest {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number: AtomicU64::new(number),
            higher: Notify::new(),
        }
    }

    pub(super) fn set(&self, number: u64) {
        self.number.store(number, Ordering::Release);
        self.higher.notify_waiters();
    }

    pub(in crate::embedded) fn get(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Waits until it is another one than this; answers with it.
    pub(in crate::embedded) async fn beyond(&self, known: u64) -> u64 {
        loop {
            let mut higher = std::pin::pin!(self.higher.notified());
            // From here on no change is missed.
            higher.as_mut().enable();
            let number = self.get();
            if number > known {
                return number;
            }
            higher.await;
        }
    }
}
