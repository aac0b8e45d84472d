//! The cache in memory: bounded in bytes, the longest unused goes first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::store::lock;
use crate::{
    model::Timestamp,
    ports::{Cache, CacheError, Clock, Writes},
};

/// Bytes of values and their keys that the cache holds.
const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry costs besides its key and its value.
const ENTRY_OVERHEAD_BYTES: usize = 128;
/// Members of one sorted index; past it those with the lowest scores are dropped.
const INDEX_MEMBERS_MAX: usize = 500_000;

pub(super) struct EmbeddedCache {
    clock: Arc<dyn Clock>,
    value_bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    values: HashMap<Arc<str>, Value>,
    /// Tick of the last use -> key.
    used: BTreeMap<u64, Arc<str>>,
    tick: u64,
    bytes: usize,
    indexes: HashMap<String, Index>,
}

struct Value {
    body: Bytes,
    ends: Option<Timestamp>,
    used: u64,
}

#[derive(Default)]
struct Index {
    scores: HashMap<Arc<str>, u64>,
    sorted: BTreeSet<(u64, Arc<str>)>,
}

impl EmbeddedCache {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            value_bytes_max: VALUE_BYTES_MAX,
            state: Mutex::default(),
        }
    }
}

impl State {
    fn remove(&mut self, key: &str) {
        if let Some((key, value)) = self.values.remove_entry(key) {
            self.used.remove(&value.used);
            self.bytes -= cost(&key, &value.body);
        }
    }

    fn touch(&mut self, key: &str) {
        self.tick += 1;
        let tick = self.tick;
        if let Some(value) = self.values.get_mut(key) {
            if let Some(key) = self.used.remove(&value.used) {
                self.used.insert(tick, key);
            }
            value.used = tick;
        }
    }
}

fn cost(key: &str, body: &Bytes) -> usize {
    key.len() + body.len() + ENTRY_OVERHEAD_BYTES
}

#[async_trait]
impl Cache for EmbeddedCache {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let Some(value) = state.values.get(key) else {
            return Ok(None);
        };
        if value.ends.is_some_and(|end| end <= now) {
            state.remove(key);
            return Ok(None);
        }
        let body = value.body.clone();
        state.touch(key);
        Ok(Some(body))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, CacheError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.get(key).await?);
        }
        Ok(found)
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), CacheError> {
        let ends = ttl.map(|ttl| {
            self.clock
                .now()
                .plus_ms(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
        });
        let mut state = lock(&self.state);
        state.remove(key);
        let cost = cost(key, &value);
        if cost > self.value_bytes_max {
            return Ok(());
        }
        state.tick += 1;
        let (used, key): (_, Arc<str>) = (state.tick, Arc::from(key));
        state.bytes += cost;
        state.used.insert(used, Arc::clone(&key));
        state.values.insert(
            key,
            Value {
                body: value,
                ends,
                used,
            },
        );
        while state.bytes > self.value_bytes_max {
            let Some((_, oldest)) = state.used.pop_first() else {
                break;
            };
            state.remove(&oldest);
        }
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), CacheError> {
        lock(&self.state).remove(key);
        Ok(())
    }

    async fn index_put(&self, index: &str, member: &str, score: u64) -> Result<(), CacheError> {
        let mut state = lock(&self.state);
        let index = state.indexes.entry(index.to_owned()).or_default();
        let member: Arc<str> = Arc::from(member);
        if let Some(before) = index.scores.insert(Arc::clone(&member), score) {
            index.sorted.remove(&(before, Arc::clone(&member)));
        }
        index.sorted.insert((score, member));
        if index.sorted.len() > INDEX_MEMBERS_MAX
            && let Some((_, lowest)) = index.sorted.pop_first()
        {
            index.scores.remove(&lowest);
        }
        Ok(())
    }

    async fn index_remove(&self, index: &str, member: &str) -> Result<(), CacheError> {
        let mut state = lock(&self.state);
        if let Some(found) = state.indexes.get_mut(index) {
            if let Some((member, score)) = found.scores.remove_entry(member) {
                found.sorted.remove(&(score, member));
            }
            if found.sorted.is_empty() {
                state.indexes.remove(index);
            }
        }
        Ok(())
    }

    async fn write(&self, writes: Writes) -> Result<(), CacheError> {
        for (index, members) in &writes.puts {
            for (member, score) in members {
                self.index_put(index, member, *score).await?;
            }
        }
        for (index, members) in &writes.removes {
            for member in members {
                self.index_remove(index, member).await?;
            }
        }
        for (key, value) in writes.values {
            self.put(&key, value, None).await?;
        }
        Ok(())
    }

    async fn index_newest(
        &self,
        index: &str,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, CacheError> {
        let state = lock(&self.state);
        let Some(index) = state.indexes.get(index) else {
            return Ok(Vec::new());
        };
        let newest = index.sorted.iter().rev().skip(offset).take(limit);
        Ok(newest
            .map(|(score, member)| (member.to_string(), *score))
            .collect())
    }

    async fn index_len(&self, index: &str) -> Result<usize, CacheError> {
        Ok(lock(&self.state)
            .indexes
            .get(index)
            .map_or(0, |index| index.sorted.len()))
    }

    async fn flush(&self) -> Result<(), CacheError> {
        *lock(&self.state) = State::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::SystemClock;

    #[tokio::test]
    async fn the_longest_unused_value_goes_first_when_the_cache_is_full() {
        let value_bytes_max = 3 * (ENTRY_OVERHEAD_BYTES + 11);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cache = EmbeddedCache {
            clock,
            value_bytes_max,
            state: Mutex::default(),
        };
        for key in ["a", "b", "c"] {
            cache
                .put(key, Bytes::from_static(b"0123456789"), None)
                .await
                .unwrap();
        }
        assert!(cache.get("a").await.unwrap().is_some());
        cache
            .put("d", Bytes::from_static(b"0123456789"), None)
            .await
            .unwrap();
        assert!(cache.get("b").await.unwrap().is_none());
        for key in ["a", "c", "d"] {
            assert!(cache.get(key).await.unwrap().is_some(), "{key}");
        }
        cache
            .put("huge", Bytes::from(vec![0; 1000]), None)
            .await
            .unwrap();
        assert!(cache.get("huge").await.unwrap().is_none());
        assert_eq!(lock(&cache.state).bytes, value_bytes_max);
    }
}
