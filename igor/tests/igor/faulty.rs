//! Ports that fail when a test says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::{
    model::Timestamp,
    ports::{
        Condition, Delivery, Enqueued, Lease, Object, ObjectInfo, ObjectStore, ObjectStoreError,
        Ports, Queue, QueueError, Stored,
    },
};

/// What fails.
#[derive(Default)]
pub(crate) struct Faults {
    /// Nothing is written below `igor/builds/` and `igor/reports/`.
    pub(crate) records_are_away: AtomicBool,
    /// Largest message of the queues; 0 for the usual.
    pub(crate) message_bytes_max: AtomicUsize,
}

/// These ports, with what fails.
pub(crate) fn faulty(ports: Ports) -> (Ports, Arc<Faults>) {
    let faults: Arc<Faults> = Arc::default();
    let objects = Arc::new(Objects {
        inner: Arc::clone(&ports.objects),
        faults: Arc::clone(&faults),
    });
    let queue = Arc::new(Queues {
        inner: Arc::clone(&ports.queue),
        faults: Arc::clone(&faults),
    });
    let ports = Ports {
        objects,
        queue,
        ..ports
    };
    (ports, faults)
}

struct Objects {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

#[async_trait]
impl ObjectStore for Objects {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError> {
        self.inner.get(key).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError> {
        let is_record = ["igor/builds/", "igor/reports/"]
            .iter()
            .any(|folder| key.starts_with(folder));
        if self.faults.records_are_away.load(Ordering::SeqCst) && is_record {
            return Err(ObjectStoreError::Unavailable {
                reason: "on purpose".to_owned(),
            });
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

struct Queues {
    inner: Arc<dyn Queue>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Queue for Queues {
    async fn enqueue(
        &self,
        queue: &str,
        id: &str,
        payload: Bytes,
        deliver_at: Option<Timestamp>,
    ) -> Result<Enqueued, QueueError> {
        let max = self.faults.message_bytes_max.load(Ordering::SeqCst);
        if max > 0 && payload.len() > max {
            let (what, size) = (id.to_owned(), payload.len());
            return Err(QueueError::TooLarge { what, size, max });
        }
        self.inner.enqueue(queue, id, payload, deliver_at).await
    }

    async fn pull(
        &self,
        queue: &str,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.inner.pull(queue, max, lease, wait).await
    }

    async fn ack(&self, lease: &Lease) -> Result<(), QueueError> {
        self.inner.ack(lease).await
    }

    async fn nak(&self, lease: &Lease, delay: Duration) -> Result<(), QueueError> {
        self.inner.nak(lease, delay).await
    }

    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<(), QueueError> {
        self.inner.extend(lease, duration).await
    }

    async fn reject(&self, lease: &Lease, reason: &str) -> Result<(), QueueError> {
        self.inner.reject(lease, reason).await
    }

    async fn depth(&self, queue: &str) -> Result<usize, QueueError> {
        self.inner.depth(queue).await
    }

    async fn dead(&self, queue: &str) -> Result<Vec<(String, String, Bytes)>, QueueError> {
        self.inner.dead(queue).await
    }
}
