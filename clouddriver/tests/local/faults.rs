//! What must hold while the object store fails now and then.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::ports::{Condition, Object, ObjectInfo, ObjectStore, ObjectStoreError, Ports, Stored};
use kork_model::api::clouddriver::ListServerGroups;
use serde_json::json;

use crate::harness::{Suite, sample};

/// Of so many operations one fails, about.
const ONE_IN: u64 = 5;

/// And the first ones, with which clouddriver starts.
const FIRST: u64 = 2;

/// Fails some operations until it is told to stop.
struct Flaky {
    inner: Arc<dyn ObjectStore>,
    done: Arc<AtomicU64>,
}

impl Flaky {
    fn fail(&self) -> Result<(), ObjectStoreError> {
        let counts = |n: u64| (n > 0).then_some(n + 1);
        let before = self
            .done
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, counts);
        match before {
            // Spread, so that no two tries fail at the same place.
            Ok(n) if n <= FIRST || (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % ONE_IN == 0 => {
                Err(ObjectStoreError::Unavailable {
                    reason: "it does not answer".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError> {
        self.fail()?;
        self.inner.get(key).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError> {
        self.fail()?;
        self.inner.put(key, body, condition).await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<(), ObjectStoreError> {
        self.fail()?;
        self.inner.delete(key, condition).await
    }

    async fn erase(&self, key: &str) -> Result<(), ObjectStoreError> {
        self.fail()?;
        self.inner.erase(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        self.fail()?;
        self.inner.list(prefix).await
    }

    async fn versions(&self, key: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        self.fail()?;
        self.inner.versions(key).await
    }

    async fn get_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Object>, ObjectStoreError> {
        self.fail()?;
        self.inner.get_version(key, version).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_now_and_then_fails_no_deployment() {
    let done = Arc::new(AtomicU64::new(1));
    let flaky = |ports: Ports| Ports {
        objects: Arc::new(Flaky {
            inner: Arc::clone(&ports.objects),
            done: Arc::clone(&done),
        }),
        ..ports
    };
    let suite = Suite::start_on(|_| {}, flaky).await;
    for version in ["one", "two", "three"] {
        let payload = sample(version, &json!({"stack": "prod"}));
        suite.must("createServerGroup", &payload).await;
    }
    let operations = done.swap(0, Ordering::SeqCst);
    assert!(operations > 3 * ONE_IN, "only {operations} operations");
    // A number may be left out: it was taken by a try whose record could not be written.
    let list = ListServerGroups {
        application: "shop".to_owned(),
    };
    let groups = suite.ask(list).await;
    let up = groups.iter().filter(|g| g["instanceCounts"]["up"] == 1);
    assert_eq!((groups.len(), up.count()), (3, 3), "{groups:#?}");
}
