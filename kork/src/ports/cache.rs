//! The cache: values with a time to live, and sorted indexes. May be empty at any moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

/// Why a cache refused.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("the cache is not available: {reason}")]
    Unavailable { reason: String },
}

/// Writes that are done in one go, each member of an index once.
#[derive(Debug, Default, Clone)]
pub struct Writes {
    /// Members with their scores, by index.
    pub puts: BTreeMap<String, BTreeMap<String, u64>>,
    /// Members that leave, by index.
    pub removes: BTreeMap<String, BTreeSet<String>>,
    /// Values, written after the indexes.
    pub values: Vec<(String, Bytes)>,
}

impl Writes {
    /// Puts a member; of several scores the highest counts.
    pub fn index_put(&mut self, index: &str, member: &str, score: u64) {
        let members = self.puts.entry(index.to_owned()).or_default();
        let known = members.entry(member.to_owned()).or_default();
        *known = score.max(*known);
    }

    pub fn index_remove(&mut self, index: &str, member: &str) {
        let members = self.removes.entry(index.to_owned()).or_default();
        members.insert(member.to_owned());
    }
}

/// Only ever a cache: `flush` at any moment changes nothing but speed.
#[async_trait]
pub trait Cache: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError>;
    /// The values of these keys, in their order, in one go.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, CacheError>;
    /// Stores a value, for `ttl` or until it is evicted.
    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), CacheError>;
    async fn delete(&self, key: &str) -> Result<(), CacheError>;

    /// Puts a member with a score into a sorted index; replaces its score.
    async fn index_put(&self, index: &str, member: &str, score: u64) -> Result<(), CacheError>;
    async fn index_remove(&self, index: &str, member: &str) -> Result<(), CacheError>;
    /// All of it, or an error: then any part of it may be done.
    async fn write(&self, writes: Writes) -> Result<(), CacheError>;
    /// Members by falling score, ties by falling name.
    async fn index_newest(
        &self,
        index: &str,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, CacheError>;
    async fn index_len(&self, index: &str) -> Result<usize, CacheError>;

    /// Forgets everything.
    async fn flush(&self) -> Result<(), CacheError>;
}
