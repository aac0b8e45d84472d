//! Listings: of objects, and of the versions of one.

use aws_sdk_s3::types::{DeleteMarkerEntry, ObjectVersion};
use kork::ports::{ObjectInfo, ObjectStoreError};

use super::{S3Objects, key, refusal, time_of, unavailable};

impl S3Objects {
    /// Objects whose stored key begins with this. A listing names no versions.
    pub(super) async fn list_beginning(
        &self,
        beginning: &str,
    ) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("{}{beginning}", self.prefix))
            .into_paginator()
            .send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| unavailable(refusal(&e)))?;
            for object in page.contents() {
                let stored = object.key().unwrap_or_default();
                // Folders, which some stores list as objects.
                if stored.ends_with('/') {
                    continue;
                }
                found.push(ObjectInfo {
                    key: key::decode(stored.strip_prefix(&self.prefix).unwrap_or(stored)),
                    etag: object.e_tag().unwrap_or_default().to_owned(),
                    version: String::new(),
                    modified: time_of(object.last_modified()),
                    size: usize::try_from(object.size().unwrap_or(0)).unwrap_or(0),
                    deleted: false,
                });
            }
        }
        Ok(found)
    }

    /// Versions of a key, newest first.
    pub(super) async fn list_versions(
        &self,
        key: &str,
    ) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        let mut found = self.pages_of_versions(key, None).await?;
        // Bodies and markers come in two lists, each newest first.
        found.sort_by_key(|version| std::cmp::Reverse((version.latest, version.time_ns)));
        let tied = |pair: &[Version]| {
            pair[0].info.deleted != pair[1].info.deleted && pair[0].time_ns == pair[1].time_ns
        };
        if found.windows(2).any(tied) {
            // Some stores know seconds only. One by one they come in their order.
            found = self.pages_of_versions(key, Some(1)).await?;
        }
        Ok(found.into_iter().map(|v| v.info(key)).collect())
    }

    async fn pages_of_versions(
        &self,
        key: &str,
        at_once: Option<i32>,
    ) -> Result<Vec<Version>, ObjectStoreError> {
        let stored = self.stored(key);
        let mut found: Vec<Version> = Vec::new();
        let (mut from_key, mut from_version) = (None, None);
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(&stored)
                .set_max_keys(at_once)
                .set_key_marker(from_key)
                .set_version_id_marker(from_version)
                .send()
                .await
                .map_err(|e| unavailable(refusal(&e)))?;
            let bodies = page.versions().iter().map(Version::of_body);
            let markers = page.delete_markers().iter().map(Version::of_marker);
            found.extend(bodies.chain(markers).filter(|v| v.key == stored));
            // Keys are listed in their order: behind the exact key come longer ones.
            let next = page.next_key_marker().filter(|next| **next == *stored);
            if page.is_truncated() != Some(true) || next.is_none() {
                return Ok(found);
            }
            from_key = next.map(str::to_owned);
            from_version = page.next_version_id_marker().map(str::to_owned);
        }
    }
}

struct Version {
    key: String,
    latest: bool,
    time_ns: i128,
    info: ObjectInfo,
}

impl Version {
    fn of_body(version: &ObjectVersion) -> Self {
        let time = version.last_modified();
        Self {
            key: version.key().unwrap_or_default().to_owned(),
            latest: version.is_latest() == Some(true),
            time_ns: time.map_or(0, aws_sdk_s3::primitives::DateTime::as_nanos),
            info: ObjectInfo {
                key: String::new(),
                etag: version.e_tag().unwrap_or_default().to_owned(),
                version: version.version_id().unwrap_or_default().to_owned(),
                modified: time_of(time),
                size: usize::try_from(version.size().unwrap_or(0)).unwrap_or(0),
                deleted: false,
            },
        }
    }

    fn of_marker(marker: &DeleteMarkerEntry) -> Self {
        let time = marker.last_modified();
        Self {
            key: marker.key().unwrap_or_default().to_owned(),
            latest: marker.is_latest() == Some(true),
            time_ns: time.map_or(0, aws_sdk_s3::primitives::DateTime::as_nanos),
            info: ObjectInfo {
                key: String::new(),
                etag: String::new(),
                version: marker.version_id().unwrap_or_default().to_owned(),
                modified: time_of(time),
                size: 0,
                deleted: true,
            },
        }
    }

    fn info(self, key: &str) -> ObjectInfo {
        ObjectInfo {
            key: key.to_owned(),
            ..self.info
        }
    }
}
