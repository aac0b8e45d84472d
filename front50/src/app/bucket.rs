//! The bucket: documents by type and id on the object store, in Spinnaker's layout.

use std::sync::Arc;

use bytes::Bytes;
use kork::{
    model::{Context, Problem},
    ports::{Condition, ObjectInfo, ObjectStore, ObjectStoreError, Stored},
};
use serde_json::json;

use crate::domain::{ObjectType, layout::Layout, names, problems};

/// A stored object: its document, or why its bytes are none.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) body: Result<Context, String>,
    pub(crate) etag: String,
    pub(crate) size: usize,
}

impl Found {
    pub(crate) fn document(&self) -> Option<&Context> {
        self.body.as_ref().ok()
    }
}

/// Why a conditional write did not happen.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Somebody else wrote first: read again and decide again.
    Changed,
    Refused(Problem),
}

impl From<Problem> for WriteError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// Documents and records in one bucket.
pub(crate) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    pub(crate) layout: Layout,
}

impl Bucket {
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, root_folder: &str) -> Self {
        Self {
            objects,
            layout: Layout::new(root_folder),
        }
    }

    /// The document of an id, any case; `None` when there is none.
    pub(crate) async fn read(&self, of: ObjectType, id: &str) -> Result<Option<Found>, Problem> {
        if names::key_part("", "the id", id).is_some() {
            // Such a key is never written, so nothing can be there.
            return Ok(None);
        }
        let found = self.get(&self.layout.object(of, id)).await?;
        Ok(found.map(|(body, etag)| Found {
            body: parsed(&body),
            etag,
            size: body.len(),
        }))
    }

    pub(crate) async fn write(
        &self,
        of: ObjectType,
        id: &str,
        document: &Context,
        condition: Condition,
    ) -> Result<(Stored, usize), WriteError> {
        let body = serde_json::to_vec(document)
            .map_err(|error| problems::store("writing a document", &error))?;
        let size = body.len();
        let key = self.layout.object(of, id);
        Ok((self.put(&key, Bytes::from(body), condition).await?, size))
    }

    pub(crate) async fn delete(
        &self,
        of: ObjectType,
        id: &str,
        etag: String,
    ) -> Result<(), WriteError> {
        self.remove(&self.layout.object(of, id), Condition::IfMatch(etag))
            .await
    }

    /// Lower-cased ids of a type with their etags; foreign files are left out.
    pub(crate) async fn list(&self, of: ObjectType) -> Result<Vec<(String, String)>, Problem> {
        let listed = self
            .objects
            .list(&self.layout.group(of))
            .await
            .map_err(|error| problems::store("listing objects", &error))?;
        let id = |info: ObjectInfo| {
            let id = self.layout.id_of(of, &info.key)?.to_owned();
            Some((id, info.etag))
        };
        Ok(listed.into_iter().filter_map(id).collect())
    }

    /// Versions of a document, newest first, without delete markers and unreadable ones. Ends
    /// before `bytes_max` are passed.
    pub(crate) async fn history(
        &self,
        of: ObjectType,
        id: &str,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Context>, Problem> {
        if names::key_part("", "the id", id).is_some() {
            return Ok(Vec::new());
        }
        let failed = |error| problems::store("reading a history", &error);
        let key = self.layout.object(of, id);
        let versions = self.objects.versions(&key).await.map_err(failed)?;
        let (mut history, mut bytes) = (Vec::new(), 0);
        for info in versions.into_iter().filter(|info| !info.deleted) {
            bytes += info.size;
            if history.len() >= limit || bytes > bytes_max {
                break;
            }
            let found = self
                .objects
                .get_version(&key, &info.version)
                .await
                .map_err(failed)?;
            history.extend(found.and_then(|object| parsed(&object.body).ok()));
        }
        Ok(history)
    }

    /// When the group of a type was last written, by anybody; `None` without a readable marker.
    pub(crate) async fn marker(&self, of: ObjectType) -> Result<Option<u64>, Problem> {
        let marker = self.get(&self.layout.marker(of)).await?;
        let document = marker.and_then(|(body, _)| parsed(&body).ok());
        Ok(document.and_then(|document| document.get("lastModified")?.as_u64()))
    }

    pub(crate) async fn mark(&self, of: ObjectType, now_ms: u64) -> Result<(), Problem> {
        let body = json!({ "lastModified": now_ms }).to_string();
        match self
            .put(
                &self.layout.marker(of),
                Bytes::from(body),
                Condition::Always,
            )
            .await
        {
            Ok(_) | Err(WriteError::Changed) => Ok(()),
            Err(WriteError::Refused(problem)) => Err(problem),
        }
    }

    /// The body and the etag under a key of our own root.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<(Bytes, String)>, Problem> {
        let found = self.objects.get(key).await;
        let found = found.map_err(|error| problems::store("reading an object", &error))?;
        Ok(found.map(|object| (object.body, object.info.etag)))
    }

    pub(crate) async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, WriteError> {
        self.objects
            .put(key, body, condition)
            .await
            .map_err(refused)
    }

    pub(crate) async fn remove(&self, key: &str, condition: Condition) -> Result<(), WriteError> {
        self.objects.delete(key, condition).await.map_err(refused)
    }

    /// Removes records of finished work that were written before a moment.
    pub(crate) async fn forget_work(&self, before_ms: u64) -> Result<(), Problem> {
        let failed = |error| problems::store("clearing records of finished work", &error);
        let records = self
            .objects
            .list(&self.layout.work_prefix())
            .await
            .map_err(failed)?;
        for record in records
            .into_iter()
            .filter(|record| record.modified.millis() < before_ms)
        {
            self.objects.erase(&record.key).await.map_err(failed)?;
        }
        Ok(())
    }
}

fn refused(error: ObjectStoreError) -> WriteError {
    match error {
        ObjectStoreError::ConditionFailed { .. } => WriteError::Changed,
        error @ (ObjectStoreError::TooLarge { .. }
        | ObjectStoreError::BadKey { .. }
        | ObjectStoreError::Unavailable { .. }) => {
            WriteError::Refused(problems::store("writing an object", &error))
        }
    }
}

/// Of a member that occurs twice (`trafficGuards` in real buckets) the last one counts.
fn parsed(body: &[u8]) -> Result<Context, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
