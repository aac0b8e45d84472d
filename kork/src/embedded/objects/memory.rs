//! Objects in memory, for tests and simulations.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{VERSIONS_MAX, check, etag_of, hold, name::Version};
use crate::{
    embedded::store::lock,
    ports::{Clock, Condition, Object, ObjectInfo, ObjectStore, ObjectStoreError, Stored},
};

pub(in crate::embedded) struct MemoryObjects {
    clock: Arc<dyn Clock>,
    /// Key -> versions, oldest first.
    objects: Mutex<BTreeMap<String, Vec<(Version, Bytes)>>>,
}

impl MemoryObjects {
    pub(in crate::embedded) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            objects: Mutex::default(),
        }
    }

    fn write(
        &self,
        key: &str,
        body: Option<Bytes>,
        condition: &Condition,
    ) -> Result<Option<Stored>, ObjectStoreError> {
        let mut objects = lock(&self.objects);
        let newest = objects.get(key).and_then(|versions| versions.last());
        let current = newest.and_then(|(version, _)| version.body.as_ref());
        hold(condition, key, current.map(|(_, etag)| etag.as_str()))?;
        if body.is_none() && current.is_none() {
            return Ok(None);
        }
        let etag = body.as_ref().map(|body| etag_of(body));
        let version = Version {
            sequence: newest.map_or(1, |(version, _)| version.sequence + 1),
            modified: self.clock.now(),
            body: body.as_ref().map(Bytes::len).zip(etag.clone()),
        };
        let stored = Stored {
            etag: etag.unwrap_or_default(),
            version: version.name(),
            modified: version.modified,
        };
        let versions = objects.entry(key.to_owned()).or_default();
        versions.push((version, body.unwrap_or_default()));
        if versions.len() > VERSIONS_MAX {
            versions.remove(0);
        }
        Ok(Some(stored))
    }

    fn find(&self, key: &str, wanted: impl Fn(&Version) -> bool) -> Option<Object> {
        let objects = lock(&self.objects);
        let mut newest_first = objects.get(key)?.iter().rev();
        let (version, body) = newest_first.find(|(version, _)| wanted(version))?;
        version.body.as_ref()?;
        Some(Object {
            body: body.clone(),
            info: version.info(key),
        })
    }
}

#[async_trait]
impl ObjectStore for MemoryObjects {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError> {
        check(key, 0)?;
        Ok(self.find(key, |_| true))
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError> {
        check(key, body.len())?;
        let stored = self.write(key, Some(body), &condition)?;
        Ok(stored.expect("a write with a body always adds a version"))
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<(), ObjectStoreError> {
        check(key, 0)?;
        self.write(key, None, &condition).map(|_| ())
    }

    async fn erase(&self, key: &str) -> Result<(), ObjectStoreError> {
        check(key, 0)?;
        lock(&self.objects).remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        let objects = lock(&self.objects);
        let found = objects
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, versions)| Some((key, &versions.last()?.0)))
            .filter(|(_, version)| version.body.is_some())
            .map(|(key, version)| version.info(key))
            .collect();
        Ok(found)
    }

    async fn versions(&self, key: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        check(key, 0)?;
        let objects = lock(&self.objects);
        let versions = objects.get(key).map(Vec::as_slice).unwrap_or_default();
        Ok(versions
            .iter()
            .rev()
            .map(|(version, _)| version.info(key))
            .collect())
    }

    async fn get_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Object>, ObjectStoreError> {
        check(key, 0)?;
        Ok(self.find(key, |found| found.name() == version))
    }
}
