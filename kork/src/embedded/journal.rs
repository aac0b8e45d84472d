//! The journal on the store.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    is_under, oversized,
    store::{Mutation, ORDER, RECORDS, Store, StoreError, unguard},
};
use crate::ports::{Journal, JournalError, Record, Revision, Subscription};

/// Most records that a subscription reads ahead.
const READ_AHEAD_MAX: usize = 256;
/// Most payload bytes that a subscription reads ahead.
const READ_AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most records of other subjects that are passed over in one go.
const SCAN_MAX: usize = 4096;

pub(super) struct EmbeddedJournal {
    pub(super) store: Arc<Store>,
}

fn refused(error: StoreError, subject: &str, expected: Revision) -> JournalError {
    match error {
        StoreError::Conflict { actual } => JournalError::Conflict {
            subject: subject.to_owned(),
            expected,
            actual: Revision(actual),
        },
        StoreError::Corrupt(reason) => JournalError::Corrupt { reason },
        StoreError::Full { .. } | StoreError::Unavailable(_) => JournalError::Unavailable {
            reason: error.reason(),
        },
    }
}

fn unreadable(error: StoreError) -> JournalError {
    refused(error, "", Revision::NONE)
}

fn missing(subject: &str, revision: u64) -> StoreError {
    StoreError::Corrupt(format!("record {revision} of {subject} is missing"))
}

fn payload_of(subject: &str, revision: u64, bytes: &[u8]) -> Result<Bytes, StoreError> {
    unguard(subject, revision, bytes)
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| {
            StoreError::Corrupt(format!(
                "record {revision} of {subject} is not what was written"
            ))
        })
}

#[async_trait]
impl Journal for EmbeddedJournal {
    async fn append(
        &self,
        subject: &str,
        expected: Revision,
        payload: Bytes,
    ) -> Result<Revision, JournalError> {
        if let Some((what, size, max)) = oversized(subject, payload.len()) {
            return Err(JournalError::TooLarge { what, size, max });
        }
        let name = subject.to_owned();
        self.store
            .submit(|reply| Mutation::Append {
                subject: name,
                expected: expected.0,
                payload,
                reply,
            })
            .await
            .map(Revision)
            .map_err(|error| refused(error, subject, expected))
    }

    async fn read(&self, subject: &str, after: Revision) -> Result<Vec<Record>, JournalError> {
        let read = self.store.read(|view| {
            let table = view.open_table(RECORDS)?;
            let mut records = Vec::new();
            let first = (subject, after.0.saturating_add(1));
            for row in table.range(first..=(subject, u64::MAX))? {
                let (key, value) = row?;
                let revision = key.value().1;
                let payload = payload_of(subject, revision, value.value())?;
                let revision = Revision(revision);
                records.push(Record {
                    subject: subject.to_owned(),
                    revision,
                    payload,
                });
            }
            Ok(records)
        });
        read.map_err(unreadable)
    }

    async fn last(&self, subject: &str) -> Result<Revision, JournalError> {
        Ok(Revision(self.store.head(subject)))
    }

    async fn subjects(&self, prefix: &str) -> Result<Vec<String>, JournalError> {
        Ok(self.store.subjects(prefix))
    }

    async fn purge(&self, subject: &str, up_to: Revision) -> Result<(), JournalError> {
        let name = subject.to_owned();
        self.store
            .submit(|reply| Mutation::Purge {
                subject: name,
                up_to: up_to.0,
                reply,
            })
            .await
            .map_err(|error| refused(error, subject, up_to))
    }

    async fn subscribe(
        &self,
        durable: &str,
        prefix: &str,
    ) -> Result<Box<dyn Subscription>, JournalError> {
        if let Some((what, size, max)) = oversized(durable, 0) {
            return Err(JournalError::TooLarge { what, size, max });
        }
        Ok(Box::new(Follower {
            durable: Some(durable.to_owned()),
            prefix: prefix.to_owned(),
            position: self.store.position(durable).unwrap_or(0),
            ahead: VecDeque::new(),
            store: Arc::clone(&self.store),
        }))
    }

    async fn follow(&self, prefix: &str) -> Result<Box<dyn Subscription>, JournalError> {
        Ok(Box::new(Follower {
            durable: None,
            prefix: prefix.to_owned(),
            position: self.store.revision().get(),
            ahead: VecDeque::new(),
            store: Arc::clone(&self.store),
        }))
    }
}

struct Follower {
    durable: Option<String>,
    prefix: String,
    /// Last revision that was looked at.
    position: u64,
    ahead: VecDeque<Record>,
    store: Arc<Store>,
}

impl Follower {
    /// Reads on from the position; moves it over records of other subjects.
    fn read_ahead(&mut self, newest: u64) -> Result<(), StoreError> {
        let Self {
            prefix,
            ahead,
            position,
            ..
        } = self;
        self.store.read(|view| {
            let (order, records) = (view.open_table(ORDER)?, view.open_table(RECORDS)?);
            let mut bytes = 0;
            for (scanned, row) in order.range(*position + 1..=newest)?.enumerate() {
                let (revision, subject) = row?;
                let (revision, subject) = (revision.value(), subject.value());
                if is_under(subject, prefix) {
                    let found = records.get((subject, revision))?;
                    let found = found.ok_or_else(|| missing(subject, revision))?;
                    let payload = payload_of(subject, revision, found.value())?;
                    bytes += payload.len();
                    let (subject, number) = (subject.to_owned(), Revision(revision));
                    ahead.push_back(Record {
                        subject,
                        revision: number,
                        payload,
                    });
                }
                *position = revision;
                let full = ahead.len() >= READ_AHEAD_MAX || bytes >= READ_AHEAD_BYTES_MAX;
                if full || scanned >= SCAN_MAX {
                    return Ok(());
                }
            }
            *position = newest;
            Ok(())
        })
    }
}

#[async_trait]
impl Subscription for Follower {
    async fn next(&mut self) -> Result<Record, JournalError> {
        loop {
            if let Some(record) = self.ahead.pop_front() {
                return Ok(record);
            }
            let newest = self.store.revision().beyond(self.position).await;
            self.read_ahead(newest).map_err(unreadable)?;
        }
    }

    async fn ack(&mut self, revision: Revision) -> Result<(), JournalError> {
        if let Some(durable) = &self.durable {
            self.store.set_position(durable, revision.0);
        }
        Ok(())
    }
}
