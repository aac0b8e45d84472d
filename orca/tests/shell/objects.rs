//! An object store with an eye on archived executions.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::ports::{Condition, Object, ObjectInfo, ObjectStore, ObjectStoreError, Stored};

/// Where they lie.
const EXECUTIONS: &str = "orca/executions/";

/// Counts what is read of archived executions, and takes no more of them while it is told so.
pub(crate) struct Archive {
    inner: Arc<dyn ObjectStore>,
    pub(crate) read: AtomicUsize,
    pub(crate) is_full: AtomicBool,
}

impl Archive {
    pub(crate) fn of(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            read: AtomicUsize::new(0),
            is_full: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl ObjectStore for Archive {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError> {
        let counts = key.starts_with(EXECUTIONS);
        self.read.fetch_add(usize::from(counts), Ordering::Relaxed);
        self.inner.get(key).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError> {
        if key.starts_with(EXECUTIONS) && self.is_full.load(Ordering::Relaxed) {
            let reason = "it is full".to_owned();
            return Err(ObjectStoreError::Unavailable { reason });
        }
        self.inner.put(key, body, condition).await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<(), ObjectStoreError> {
        self.inner.delete(key, condition).await
    }

    async fn erase(&self, key: &str) -> Result<(), ObjectStoreError> {
        self.inner.erase(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        self.inner.list(prefix).await
    }

    async fn versions(&self, key: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        self.inner.versions(key).await
    }

    async fn get_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Object>, ObjectStoreError> {
        self.inner.get_version(key, version).await
    }
}
