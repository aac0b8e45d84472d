//! The journal: an ordered log per subject, and the only arbiter between writers.

use async_trait::async_trait;
use bytes::Bytes;

/// Position of a record. Grows over the whole journal; `NONE` before the first record of a subject.
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
pub struct Revision(pub u64);

impl Revision {
    /// The subject holds nothing.
    pub const NONE: Self = Self(0);
}

/// One record of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub subject: String,
    pub revision: Revision,
    pub payload: Bytes,
}

/// Why a journal refused.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Somebody else wrote first: read again and decide again.
    #[error("{subject} is at revision {actual:?}, not {expected:?}")]
    Conflict {
        subject: String,
        expected: Revision,
        actual: Revision,
    },
    /// Larger than [`super::limit::MESSAGE_BYTES_MAX`], or a name longer than allowed.
    #[error("{what} has {size} bytes, at most {max} are allowed")]
    TooLarge {
        what: String,
        size: usize,
        max: usize,
    },
    /// The store does not answer or is full; nothing was written, or it is not known whether it was.
    #[error("the journal is not available: {reason}")]
    Unavailable { reason: String },
    /// The stored bytes are not what was written.
    #[error("the journal is damaged: {reason}")]
    Corrupt { reason: String },
}

/// Ordered logs, one per subject.
///
/// Guarantees: a record that was acknowledged survives `kill -9` of this process and, on adapters of
/// durability class D2, the loss of power. Per subject, revisions grow and records are never
/// reordered. Two appends with the same expectation: exactly one wins. A read sees every
/// acknowledged append. Subjects are words joined with dots; a prefix ends at a dot or is whole.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends one record if the subject's last revision is `expected` ([`Revision::NONE`]: the
    /// subject holds nothing). Answers with the record's revision once it is durable.
    async fn append(
        &self,
        subject: &str,
        expected: Revision,
        payload: Bytes,
    ) -> Result<Revision, JournalError>;

    /// Records of a subject with a revision above `after`, oldest first.
    async fn read(&self, subject: &str, after: Revision) -> Result<Vec<Record>, JournalError>;

    /// Revision of the last record; [`Revision::NONE`] when there is none.
    async fn last(&self, subject: &str) -> Result<Revision, JournalError>;

    /// Subjects that start with `prefix` and hold at least one record, sorted.
    async fn subjects(&self, prefix: &str) -> Result<Vec<String>, JournalError>;

    /// Removes the records of a subject up to and including `up_to`. A subject whose last record is
    /// removed is as if it had never been written.
    async fn purge(&self, subject: &str, up_to: Revision) -> Result<(), JournalError>;

    /// Follows all subjects under `prefix` under a durable name: starts behind the last
    /// acknowledged record of that name (at the oldest for a new name), waits for new ones.
    async fn subscribe(
        &self,
        durable: &str,
        prefix: &str,
    ) -> Result<Box<dyn Subscription>, JournalError>;

    /// Follows all subjects under `prefix` from now on, without a name: acknowledging does nothing.
    async fn follow(&self, prefix: &str) -> Result<Box<dyn Subscription>, JournalError>;
}

/// A durable position in the journal.
#[async_trait]
pub trait Subscription: Send {
    /// The next record; waits for one. Cancel-safe: a dropped call loses nothing, and neither does an
    /// error: the next call goes on where it was.
    async fn next(&mut self) -> Result<Record, JournalError>;
    /// Everything up to this revision is done and is not delivered again to this name.
    async fn ack(&mut self, revision: Revision) -> Result<(), JournalError>;
}
