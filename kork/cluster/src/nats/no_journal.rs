//! The journal of a service that has no part in the logs: its login cannot even open them.

use async_trait::async_trait;
use bytes::Bytes;
use kork::ports::{Journal, JournalError, Record, Revision, Subscription};

pub(crate) struct NoJournal;

fn refused<T>(name: &str) -> Result<T, JournalError> {
    Err(JournalError::Unavailable {
        reason: format!("this service has no part in the logs, {name} is one"),
    })
}

#[async_trait]
impl Journal for NoJournal {
    async fn append(&self, name: &str, _: Revision, _: Bytes) -> Result<Revision, JournalError> {
        refused(name)
    }

    async fn read(&self, name: &str, _: Revision) -> Result<Vec<Record>, JournalError> {
        refused(name)
    }

    async fn last(&self, name: &str) -> Result<Revision, JournalError> {
        refused(name)
    }

    async fn subjects(&self, prefix: &str) -> Result<Vec<String>, JournalError> {
        refused(prefix)
    }

    async fn purge(&self, name: &str, _: Revision) -> Result<(), JournalError> {
        refused(name)
    }

    async fn subscribe(
        &self,
        _: &str,
        prefix: &str,
    ) -> Result<Box<dyn Subscription>, JournalError> {
        refused(prefix)
    }

    async fn follow(&self, prefix: &str) -> Result<Box<dyn Subscription>, JournalError> {
        refused(prefix)
    }
}
