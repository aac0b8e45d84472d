//! A journal whose appends, and reads, a test has a hand in; everything else is handed on.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kork::ports::{Journal, JournalError, Record, Revision, Subscription};

/// What becomes of an append to an execution.
#[async_trait]
pub(crate) trait Appends: Send + Sync {
    fn inner(&self) -> &Arc<dyn Journal>;

    async fn append(
        &self,
        subject: &str,
        expected: Revision,
        payload: Bytes,
    ) -> Result<Revision, JournalError> {
        self.inner().append(subject, expected, payload).await
    }

    /// Before a log is read.
    async fn before_read(&self) {}
}

pub(crate) struct Handled<A>(pub(crate) Arc<A>);

#[async_trait]
impl<A: Appends + 'static> Journal for Handled<A> {
    async fn append(
        &self,
        subject: &str,
        expected: Revision,
        payload: Bytes,
    ) -> Result<Revision, JournalError> {
        if subject.starts_with("execution.") {
            return self.0.append(subject, expected, payload).await;
        }
        self.0.inner().append(subject, expected, payload).await
    }

    async fn read(&self, subject: &str, after: Revision) -> Result<Vec<Record>, JournalError> {
        self.0.before_read().await;
        self.0.inner().read(subject, after).await
    }

    async fn last(&self, subject: &str) -> Result<Revision, JournalError> {
        self.0.inner().last(subject).await
    }

    async fn purge(&self, subject: &str, up_to: Revision) -> Result<(), JournalError> {
        self.0.inner().purge(subject, up_to).await
    }

    async fn subjects(&self, prefix: &str) -> Result<Vec<String>, JournalError> {
        self.0.inner().subjects(prefix).await
    }

    async fn subscribe(
        &self,
        durable: &str,
        prefix: &str,
    ) -> Result<Box<dyn Subscription>, JournalError> {
        self.0.inner().subscribe(durable, prefix).await
    }

    async fn follow(&self, prefix: &str) -> Result<Box<dyn Subscription>, JournalError> {
        self.0.inner().follow(prefix).await
    }
}
