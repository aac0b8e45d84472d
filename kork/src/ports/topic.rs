//! Fan-out: every subscriber sees every message, and can go back to a cursor.

use async_trait::async_trait;
use bytes::Bytes;

/// Position in a topic; grows.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Cursor(pub u64);

/// One published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub cursor: Cursor,
    pub subject: String,
    pub id: String,
    pub payload: Bytes,
}

/// A message that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    pub subject: String,
    pub id: String,
    pub payload: Bytes,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the next message.
    Now,
    /// With the oldest that is kept.
    Oldest,
    /// Behind this one; [`TopicError::Expired`] when messages after it are gone.
    After(Cursor),
}

/// Why a topic refused.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Messages behind the cursor were dropped: load everything anew, then follow from `oldest`.
    #[error("messages after {asked:?} are gone, the oldest is {oldest:?}")]
    Expired { asked: Cursor, oldest: Cursor },
    #[error("{what} has {size} bytes, at most {max} are allowed")]
    TooLarge {
        what: String,
        size: usize,
        max: usize,
    },
    #[error("the topic is not available: {reason}")]
    Unavailable { reason: String },
}

/// Fan-out of messages with replay.
///
/// Guarantees: a message id that is still kept is not published twice; all subscribers see the same
/// order; a slow subscriber loses nothing within [`super::limit::TOPIC_MESSAGES_MAX`], and is told
/// ([`TopicError::Expired`]) when it fell behind further.
#[async_trait]
pub trait Topic: Send + Sync {
    /// Publishes once per id; answers with the cursor of the (first) message.
    async fn publish(&self, subject: &str, id: &str, payload: Bytes) -> Result<Cursor, TopicError>;
    /// Publishes many, each as [`Self::publish`] does, in this order. When it fails, the first of them are
    /// published and the others are not.
    async fn publish_all(&self, messages: &[NewMessage]) -> Result<(), TopicError> {
        for message in messages {
            let payload = message.payload.clone();
            self.publish(&message.subject, &message.id, payload).await?;
        }
        Ok(())
    }
    /// Follows subjects that start with `prefix`.
    async fn subscribe(
        &self,
        prefix: &str,
        start: Start,
    ) -> Result<Box<dyn TopicStream>, TopicError>;
    /// Cursor of the newest message; 0 when there is none.
    async fn newest(&self) -> Result<Cursor, TopicError>;
}

/// A running subscription.
#[async_trait]
pub trait TopicStream: Send {
    /// The next message; waits for one. Cancel-safe.
    async fn next(&mut self) -> Result<Message, TopicError>;
}
