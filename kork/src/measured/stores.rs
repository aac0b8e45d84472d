//! The journal and the cache, counted.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    ports::{Cache, CacheError, Journal, JournalError, Record, Revision, Subscription, Writes},
    service::{Counter, Histogram, Metrics},
};

pub(super) struct MeasuredJournal {
    inner: Arc<dyn Journal>,
    appends: Histogram,
    followed: Counter,
}

impl MeasuredJournal {
    pub(super) fn new(inner: Arc<dyn Journal>, metrics: &Metrics) -> Self {
        Self {
            inner,
            appends: metrics.histogram(
                "gennaker_journal_append_duration_seconds",
                "until an append is durable, by outcome (ok, conflict, failed)",
            ),
            followed: metrics.counter(
                "gennaker_journal_records_followed",
                "records that this process was told of, by the name it follows under",
            ),
        }
    }

    fn counted(&self, name: &str, inner: Box<dyn Subscription>) -> Box<dyn Subscription> {
        Box::new(Counted {
            name: name.to_owned(),
            inner,
            followed: self.followed.clone(),
        })
    }
}

#[async_trait]
impl Journal for MeasuredJournal {
    async fn append(
        &self,
        subject: &str,
        expected: Revision,
        payload: Bytes,
    ) -> Result<Revision, JournalError> {
        let began = Instant::now();
        let outcome = self.inner.append(subject, expected, payload).await;
        let word = match &outcome {
            Ok(_) => "ok",
            Err(JournalError::Conflict { .. }) => "conflict",
            Err(_) => "failed",
        };
        let took_s = began.elapsed().as_secs_f64();
        self.appends.observe(&[("outcome", word)], took_s);
        outcome
    }

    async fn read(&self, subject: &str, after: Revision) -> Result<Vec<Record>, JournalError> {
        self.inner.read(subject, after).await
    }

    async fn last(&self, subject: &str) -> Result<Revision, JournalError> {
        self.inner.last(subject).await
    }

    async fn subjects(&self, prefix: &str) -> Result<Vec<String>, JournalError> {
        self.inner.subjects(prefix).await
    }

    async fn purge(&self, subject: &str, up_to: Revision) -> Result<(), JournalError> {
        self.inner.purge(subject, up_to).await
    }

    async fn subscribe(
        &self,
        durable: &str,
        prefix: &str,
    ) -> Result<Box<dyn Subscription>, JournalError> {
        let inner = self.inner.subscribe(durable, prefix).await?;
        Ok(self.counted(durable, inner))
    }

    async fn follow(&self, prefix: &str) -> Result<Box<dyn Subscription>, JournalError> {
        let inner = self.inner.follow(prefix).await?;
        Ok(self.counted(prefix, inner))
    }
}

struct Counted {
    name: String,
    inner: Box<dyn Subscription>,
    followed: Counter,
}

#[async_trait]
impl Subscription for Counted {
    async fn next(&mut self) -> Result<Record, JournalError> {
        let record = self.inner.next().await?;
        self.followed.inc(&[("follower", &self.name)]);
        Ok(record)
    }

    async fn ack(&mut self, revision: Revision) -> Result<(), JournalError> {
        self.inner.ack(revision).await
    }
}

pub(super) struct MeasuredCache {
    inner: Arc<dyn Cache>,
    reads: Counter,
}

impl MeasuredCache {
    pub(super) fn new(inner: Arc<dyn Cache>, metrics: &Metrics) -> Self {
        let reads = metrics.counter(
            "gennaker_cache_reads",
            "values that were asked for, by outcome (hit, miss, failed)",
        );
        Self { inner, reads }
    }
}

#[async_trait]
impl Cache for MeasuredCache {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        let outcome = self.inner.get(key).await;
        let word = match &outcome {
            Ok(Some(_)) => "hit",
            Ok(None) => "miss",
            Err(_) => "failed",
        };
        self.reads.inc(&[("outcome", word)]);
        outcome
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, CacheError> {
        let outcome = self.inner.get_many(keys).await;
        match &outcome {
            Ok(found) => {
                for value in found {
                    let word = if value.is_some() { "hit" } else { "miss" };
                    self.reads.inc(&[("outcome", word)]);
                }
            }
            Err(_) => self.reads.inc(&[("outcome", "failed")]),
        }
        outcome
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), CacheError> {
        self.inner.put(key, value, ttl).await
    }

    async fn delete(&self, key: &str) -> Result<(), CacheError> {
        self.inner.delete(key).await
    }

    async fn index_put(&self, index: &str, member: &str, score: u64) -> Result<(), CacheError> {
        self.inner.index_put(index, member, score).await
    }

    async fn index_remove(&self, index: &str, member: &str) -> Result<(), CacheError> {
        self.inner.index_remove(index, member).await
    }

    async fn write(&self, writes: Writes) -> Result<(), CacheError> {
        self.inner.write(writes).await
    }

    async fn index_newest(
        &self,
        index: &str,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, CacheError> {
        self.inner.index_newest(index, offset, limit).await
    }

    async fn index_len(&self, index: &str) -> Result<usize, CacheError> {
        self.inner.index_len(index).await
    }

    async fn flush(&self) -> Result<(), CacheError> {
        self.inner.flush().await
    }
}
