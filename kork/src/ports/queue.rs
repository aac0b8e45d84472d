//! The work queue: every message is done at least once, by one worker at a time.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::Timestamp;

/// What became of an enqueued message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It lies in the queue.
    New,
    /// A message with this id is waiting or being worked on; nothing was added.
    Duplicate,
}

/// A message that a worker holds until it acknowledges or its lease runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: String,
    pub payload: Bytes,
    /// 1 for the first delivery.
    pub attempt: u32,
    pub lease: Lease,
}

/// Names one delivery of one message. A lease that ran out acknowledges nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub queue: String,
    pub id: String,
    pub token: u64,
}

/// Why a queue refused.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("{what} has {size} bytes, at most {max} are allowed")]
    TooLarge {
        what: String,
        size: usize,
        max: usize,
    },
    /// [`super::limit::QUEUE_MESSAGES_MAX`] messages wait already.
    #[error("the queue {queue} is full with {max} messages")]
    Full { queue: String, max: usize },
    /// The lease ran out; another worker may have the message.
    #[error("the lease on message {id} of queue {queue} ran out")]
    LeaseLost { queue: String, id: String },
    #[error("the queue is not available: {reason}")]
    Unavailable { reason: String },
}

/// Work queues by name.
///
/// Guarantees: at least once; a message whose lease runs out is delivered again; while a message with
/// an id waits or is held, the same id is not added. Order is by time of delivery, then of arrival,
/// and only a hint.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a message that is delivered at `deliver_at`, or at once.
    async fn enqueue(
        &self,
        queue: &str,
        id: &str,
        payload: Bytes,
        deliver_at: Option<Timestamp>,
    ) -> Result<Enqueued, QueueError>;

    /// Takes up to `max` messages, each leased for `lease`; waits up to `wait` for the first.
    /// Cancel-safe up to the lease: what a dropped call had taken comes back when it runs out.
    async fn pull(
        &self,
        queue: &str,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError>;

    /// Done: removes the message.
    async fn ack(&self, lease: &Lease) -> Result<(), QueueError>;
    /// Not now: delivers it again after `delay`.
    async fn nak(&self, lease: &Lease, delay: Duration) -> Result<(), QueueError>;
    /// Still at it: the lease runs for `lease` from now.
    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<(), QueueError>;
    /// Never: moves it to the queue's dead letters (`<queue>.dead`) with the reason.
    async fn reject(&self, lease: &Lease, reason: &str) -> Result<(), QueueError>;
    /// Messages waiting or held.
    async fn depth(&self, queue: &str) -> Result<usize, QueueError>;
    /// Dead letters: id, reason, payload; oldest first.
    async fn dead(&self, queue: &str) -> Result<Vec<(String, String, Bytes)>, QueueError>;
}
