//! The object store and the topic, timed.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    ports::{
        Condition, Cursor, NewMessage, Object, ObjectInfo, ObjectStore, ObjectStoreError, Start,
        Stored, Topic, TopicError, TopicStream,
    },
    service::{Histogram, Metrics},
};

pub(super) struct MeasuredObjects {
    inner: Arc<dyn ObjectStore>,
    took: Histogram,
}

impl MeasuredObjects {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, metrics: &Metrics) -> Self {
        Self {
            inner,
            took: metrics.histogram(
                "gennaker_object_store_duration_seconds",
                "requests to the object store, by operation and outcome (ok, conflict, failed)",
            ),
        }
    }

    fn observe<T>(&self, operation: &str, began: Instant, outcome: &Result<T, ObjectStoreError>) {
        let word = match outcome {
            Ok(_) => "ok",
            Err(ObjectStoreError::ConditionFailed { .. }) => "conflict",
            Err(_) => "failed",
        };
        let labels = [("operation", operation), ("outcome", word)];
        self.took.observe(&labels, began.elapsed().as_secs_f64());
    }
}

#[async_trait]
impl ObjectStore for MeasuredObjects {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError> {
        let began = Instant::now();
        let outcome = self.inner.get(key).await;
        self.observe("get", began, &outcome);
        outcome
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError> {
        let began = Instant::now();
        let outcome = self.inner.put(key, body, condition).await;
        self.observe("put", began, &outcome);
        outcome
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<(), ObjectStoreError> {
        let began = Instant::now();
        let outcome = self.inner.delete(key, condition).await;
        self.observe("delete", began, &outcome);
        outcome
    }

    async fn erase(&self, key: &str) -> Result<(), ObjectStoreError> {
        let began = Instant::now();
        let outcome = self.inner.erase(key).await;
        self.observe("erase", began, &outcome);
        outcome
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        let began = Instant::now();
        let outcome = self.inner.list(prefix).await;
        self.observe("list", began, &outcome);
        outcome
    }

    async fn versions(&self, key: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        let began = Instant::now();
        let outcome = self.inner.versions(key).await;
        self.observe("versions", began, &outcome);
        outcome
    }

    async fn get_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Object>, ObjectStoreError> {
        let began = Instant::now();
        let outcome = self.inner.get_version(key, version).await;
        self.observe("get", began, &outcome);
        outcome
    }
}

pub(super) struct MeasuredTopic {
    inner: Arc<dyn Topic>,
    took: Histogram,
}

impl MeasuredTopic {
    pub(super) fn new(inner: Arc<dyn Topic>, metrics: &Metrics) -> Self {
        Self {
            inner,
            took: metrics.histogram(
                "gennaker_topic_publish_duration_seconds",
                "until a group of events is durable on the event stream, by outcome (ok, failed)",
            ),
        }
    }

    fn observe<T>(&self, began: Instant, outcome: &Result<T, TopicError>) {
        let word = if outcome.is_ok() { "ok" } else { "failed" };
        let took_s = began.elapsed().as_secs_f64();
        self.took.observe(&[("outcome", word)], took_s);
    }
}

#[async_trait]
impl Topic for MeasuredTopic {
    async fn publish(&self, subject: &str, id: &str, payload: Bytes) -> Result<Cursor, TopicError> {
        let began = Instant::now();
        let outcome = self.inner.publish(subject, id, payload).await;
        self.observe(began, &outcome);
        outcome
    }

    async fn publish_all(&self, messages: &[NewMessage]) -> Result<(), TopicError> {
        let began = Instant::now();
        let outcome = self.inner.publish_all(messages).await;
        self.observe(began, &outcome);
        outcome
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
