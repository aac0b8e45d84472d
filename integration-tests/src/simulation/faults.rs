//! Ports that misbehave: calls are late, fail before or after they took effect, or never come back
//! because the process died in the middle of them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::{
    model::Timestamp,
    ports::{
        Cursor, Delivery, Enqueued, Journal, JournalError, Lease, Ports, Queue, QueueError, Record,
        Revision, Start, Subscription, Topic, TopicError, TopicStream,
    },
};
use tokio::sync::Notify;

/// A reproducible sequence of numbers.
#[derive(Clone)]
pub(super) struct Dice(Arc<Mutex<u64>>);

impl Dice {
    /// The sequence of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        )))
    }

    /// A number below `sides`.
    pub(super) fn roll(&self, sides: u64) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) % sides
    }
}

/// What goes wrong in one process, and whether it still does.
pub(super) struct Faults {
    dice: Dice,
    active: AtomicBool,
    died: AtomicBool,
    /// Some process is to die now.
    death: Arc<Notify>,
}

enum Fate {
    Fine,
    FailBefore,
    FailAfter,
}

impl Faults {
    /// Faults by these dice.
    pub(super) fn new(dice: Dice, active: bool, death: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            dice,
            active: AtomicBool::new(active),
            died: AtomicBool::new(false),
            death: Arc::clone(death),
        })
    }

    /// The process hangs in the middle of a call, and is to be killed.
    pub(super) fn has_died(&self) -> bool {
        self.died.load(Ordering::SeqCst)
    }

    /// From now on everything works.
    pub(super) fn end(&self) {
        self.active.store(false, Ordering::SeqCst);
    }

    async fn fate(&self) -> Fate {
        if !self.active.load(Ordering::SeqCst) {
            return Fate::Fine;
        }
        match self.dice.roll(200) {
            0 => {
                self.died.store(true, Ordering::SeqCst);
                self.death.notify_one();
                std::future::pending().await
            }
            1..=3 => Fate::FailBefore,
            4..=6 => Fate::FailAfter,
            7..=40 => {
                tokio::time::sleep(Duration::from_millis(self.dice.roll(80))).await;
                Fate::Fine
            }
            _ => Fate::Fine,
        }
    }
}

/// The same ports with these faults.
pub(super) fn faulty(ports: &Ports, faults: &Arc<Faults>) -> Ports {
    let wrapped = || Arc::clone(faults);
    Ports {
        journal: Arc::new(Faulty {
            inner: Arc::clone(&ports.journal),
            faults: wrapped(),
        }),
        queue: Arc::new(Faulty {
            inner: Arc::clone(&ports.queue),
            faults: wrapped(),
        }),
        topic: Arc::new(Faulty {
            inner: Arc::clone(&ports.topic),
            faults: wrapped(),
        }),
        ..ports.clone()
    }
}

struct Faulty<P: ?Sized> {
    inner: Arc<P>,
    faults: Arc<Faults>,
}

/// Makes a call meet its fate.
macro_rules! meets_fate {
    ($self:ident, $error:ident, $call:expr) => {{
        let broken = || $error::Unavailable {
            reason: "simulated".to_owned(),
        };
        match $self.faults.fate().await {
            Fate::Fine => $call.await,
            Fate::FailBefore => Err(broken()),
            Fate::FailAfter => {
                // It took effect, and nobody hears of it.
                drop($call.await);
                Err(broken())
            }
        }
    }};
}

#[async_trait]
impl Journal for Faulty<dyn Journal> {
    async fn append(
        &self,
        subject: &str,
        expected: Revision,
        payload: Bytes,
    ) -> Result<Revision, JournalError> {
        meets_fate!(
            self,
            JournalError,
            self.inner.append(subject, expected, payload)
        )
    }

    async fn read(&self, subject: &str, after: Revision) -> Result<Vec<Record>, JournalError> {
        meets_fate!(self, JournalError, self.inner.read(subject, after))
    }

    async fn last(&self, subject: &str) -> Result<Revision, JournalError> {
        meets_fate!(self, JournalError, self.inner.last(subject))
    }

    async fn subjects(&self, prefix: &str) -> Result<Vec<String>, JournalError> {
        // Read at the start; a start that fails is a start that is tried again by the operator.
        self.inner.subjects(prefix).await
    }

    async fn purge(&self, subject: &str, up_to: Revision) -> Result<(), JournalError> {
        meets_fate!(self, JournalError, self.inner.purge(subject, up_to))
    }

    async fn subscribe(
        &self,
        durable: &str,
        prefix: &str,
    ) -> Result<Box<dyn Subscription>, JournalError> {
        self.inner.subscribe(durable, prefix).await
    }

    async fn follow(&self, prefix: &str) -> Result<Box<dyn Subscription>, JournalError> {
        self.inner.follow(prefix).await
    }
}

#[async_trait]
impl Queue for Faulty<dyn Queue> {
    async fn enqueue(
        &self,
        queue: &str,
        id: &str,
        payload: Bytes,
        at: Option<Timestamp>,
    ) -> Result<Enqueued, QueueError> {
        meets_fate!(self, QueueError, self.inner.enqueue(queue, id, payload, at))
    }

    async fn pull(
        &self,
        queue: &str,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let mut taken = meets_fate!(self, QueueError, self.inner.pull(queue, max, lease, wait))?;
        if taken.len() > 1 && self.faults.dice.roll(2) == 0 {
            taken.reverse();
        }
        Ok(taken)
    }

    async fn ack(&self, lease: &Lease) -> Result<(), QueueError> {
        meets_fate!(self, QueueError, self.inner.ack(lease))
    }

    async fn nak(&self, lease: &Lease, delay: Duration) -> Result<(), QueueError> {
        meets_fate!(self, QueueError, self.inner.nak(lease, delay))
    }

    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<(), QueueError> {
        meets_fate!(self, QueueError, self.inner.extend(lease, duration))
    }

    async fn reject(&self, lease: &Lease, reason: &str) -> Result<(), QueueError> {
        meets_fate!(self, QueueError, self.inner.reject(lease, reason))
    }

    async fn depth(&self, queue: &str) -> Result<usize, QueueError> {
        self.inner.depth(queue).await
    }

    async fn dead(&self, queue: &str) -> Result<Vec<(String, String, Bytes)>, QueueError> {
        self.inner.dead(queue).await
    }
}

#[async_trait]
impl Topic for Faulty<dyn Topic> {
    async fn publish(&self, subject: &str, id: &str, payload: Bytes) -> Result<Cursor, TopicError> {
        meets_fate!(self, TopicError, self.inner.publish(subject, id, payload))
    }

    async fn subscribe(
        &self,
        prefix: &str,
        start: Start,
    ) -> Result<Box<dyn TopicStream>, TopicError> {
        self.inner.subscribe(prefix, start).await
    }

    async fn newest(&self) -> Result<Cursor, TopicError> {
        self.inner.newest().await
    }
}
