//! Objects by key: definitions, archived executions, artifacts.

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::Timestamp;

/// An object with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub body: Bytes,
    pub info: ObjectInfo,
}

/// What a listing says about an object, or about one version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    pub key: String,
    /// Changes with the body; opaque.
    pub etag: String,
    /// Opaque; ordered by time within a key only by [`ObjectStore::versions`]. Empty in a listing of
    /// objects, where S3 does not name it.
    pub version: String,
    pub modified: Timestamp,
    pub size: usize,
    /// This version says that the object was deleted then.
    pub deleted: bool,
}

/// What a write answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub etag: String,
    pub version: String,
    pub modified: Timestamp,
}

/// When a write may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Always,
    /// Only if there is no such object.
    IfAbsent,
    /// Only if the object still has this etag.
    IfMatch(String),
}

/// Why an object store refused.
#[derive(Debug, thiserror::Error)]
pub enum ObjectStoreError {
    /// The condition does not hold: somebody else wrote first.
    #[error("{key} has changed meanwhile")]
    ConditionFailed { key: String },
    #[error("{what} has {size} bytes, at most {max} are allowed")]
    TooLarge {
        what: String,
        size: usize,
        max: usize,
    },
    /// The key is empty, too long, or has a part that is `.` or `..`.
    #[error("{key:?} is not a key: {reason}")]
    BadKey { key: String, reason: String },
    #[error("the object store is not available: {reason}")]
    Unavailable { reason: String },
}

/// Objects by key. Keys are any UTF-8 text with `/` between parts, as in S3. A key is not a folder of
/// another key as well (`k` and `k/deeper`): stores that keep objects as files cannot hold both.
///
/// Guarantees: a read after an answered write sees it; a conditional write is atomic among all
/// writers; a body is never seen half written; earlier versions are kept.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError>;
    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError>;
    /// Removes the object, keeping its earlier versions; fine when there is none.
    async fn delete(&self, key: &str, condition: Condition) -> Result<(), ObjectStoreError>;
    /// Removes the object and every version of it.
    async fn erase(&self, key: &str) -> Result<(), ObjectStoreError>;
    /// Objects whose key starts with `prefix`, sorted by key.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError>;
    /// Versions of exactly this key, newest first, delete markers included.
    async fn versions(&self, key: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError>;
    async fn get_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Object>, ObjectStoreError>;
}
