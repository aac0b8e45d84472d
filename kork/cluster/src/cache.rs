//! The cache on Redis. Lost at any moment, it costs nothing but speed.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::ports::{Cache, CacheError, Writes};
use redis::{
    AsyncCommands, IntoConnectionInfo,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use crate::{
    ClusterConfig, ClusterError,
    config::{secret, shown},
};

/// How long an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Keys of one round of a flush.
const FLUSH_KEYS: usize = 1_000;

pub(crate) struct RedisCache {
    client: redis::Client,
    connection: Mutex<Connection>,
    prefix: String,
}

struct Connection {
    manager: ConnectionManager,
    made: Instant,
}

fn settings() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_response_timeout(Some(ANSWER_MAX))
        .set_connection_timeout(Some(ANSWER_MAX))
}

impl RedisCache {
    pub(crate) async fn connect(config: &ClusterConfig) -> Result<Self, ClusterError> {
        let failed = |reason: String| ClusterError {
            server: format!("Redis at {}", shown(&config.redis)),
            reason,
        };
        let info = config.redis.as_str().into_connection_info();
        let mut info = info.map_err(|e| failed(e.to_string()))?;
        if let Some(user) = &config.redis_user {
            let settings = info.redis_settings().clone().set_username(user);
            info = info.set_redis_settings(settings);
        }
        if let Some(path) = &config.redis_password_file {
            let password = secret(path).map_err(failed)?;
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        let client = redis::Client::open(info).map_err(|e| failed(e.to_string()))?;
        let manager = ConnectionManager::new_with_config(client.clone(), settings()).await;
        let connection = Connection {
            manager: manager.map_err(|e| failed(kork::problem::chain(&e)))?,
            made: Instant::now(),
        };
        Ok(Self {
            client,
            connection: Mutex::new(connection),
            prefix: format!("{}:", config.namespace),
        })
    }

    /// A handle of the connection.
    pub(crate) fn connection(&self) -> ConnectionManager {
        let connection = self.connection.lock();
        let connection = connection.unwrap_or_else(PoisonError::into_inner);
        connection.manager.clone()
    }

    /// The manager makes a new connection when the old one breaks, not when it falls silent: then it is
    /// done here.
    fn failed(&self, error: &redis::RedisError) -> CacheError {
        if error.is_timeout() {
            let connection = self.connection.lock();
            let mut connection = connection.unwrap_or_else(PoisonError::into_inner);
            if connection.made.elapsed() > ANSWER_MAX {
                match ConnectionManager::new_lazy_with_config(self.client.clone(), settings()) {
                    Ok(manager) => connection.manager = manager,
                    Err(error) => tracing::warn!(%error, "Redis is not connected anew"),
                }
                connection.made = Instant::now();
            }
        }
        CacheError::Unavailable {
            reason: kork::problem::chain(error),
        }
    }

    fn value(&self, key: &str) -> String {
        format!("{}v:{key}", self.prefix)
    }

    fn index(&self, name: &str) -> String {
        format!("{}i:{name}", self.prefix)
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        let mut connection = self.connection();
        let found: Option<Vec<u8>> = connection
            .get(self.value(key))
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(found.map(Bytes::from))
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, CacheError> {
        // Redis refuses to be asked for nothing.
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = keys.iter().map(|key| self.value(key)).collect();
        let mut connection = self.connection();
        let found: Result<Vec<Option<Vec<u8>>>, _> = connection.mget(keys).await;
        let found = found.map_err(|e| self.failed(&e))?;
        Ok(found
            .into_iter()
            .map(|body| body.map(Bytes::from))
            .collect())
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), CacheError> {
        let mut connection = self.connection();
        let key = self.value(key);
        let put = match ttl {
            None => connection.set(key, &value[..]).await,
            Some(ttl) => {
                let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
                connection.pset_ex(key, &value[..], ms).await
            }
        };
        put.map_err(|e| self.failed(&e))
    }

    async fn delete(&self, key: &str) -> Result<(), CacheError> {
        let mut connection = self.connection();
        let deleted: Result<(), _> = connection.del(self.value(key)).await;
        deleted.map_err(|e| self.failed(&e))
    }

    async fn index_put(&self, index: &str, member: &str, score: u64) -> Result<(), CacheError> {
        let mut connection = self.connection();
        let put: Result<(), _> = connection.zadd(self.index(index), member, score).await;
        put.map_err(|e| self.failed(&e))
    }

    async fn index_remove(&self, index: &str, member: &str) -> Result<(), CacheError> {
        let mut connection = self.connection();
        let removed: Result<(), _> = connection.zrem(self.index(index), member).await;
        removed.map_err(|e| self.failed(&e))
    }

    async fn write(&self, writes: Writes) -> Result<(), CacheError> {
        let mut commands = redis::Pipeline::new();
        for (index, members) in &writes.puts {
            commands.cmd("ZADD").arg(self.index(index)).ignore();
            for (member, score) in members {
                commands.arg(*score).arg(member);
            }
        }
        for (index, members) in &writes.removes {
            let members: Vec<&String> = members.iter().collect();
            commands.zrem(self.index(index), members).ignore();
        }
        // Not MSET: the logins that are out there may not.
        for (key, value) in &writes.values {
            commands.set(self.value(key), &value[..]).ignore();
        }
        if commands.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection();
        let written: Result<(), _> = commands.query_async(&mut connection).await;
        written.map_err(|e| self.failed(&e))
    }

    async fn index_newest(
        &self,
        index: &str,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, CacheError> {
        let Some(last) = limit.checked_sub(1).map(|more| offset + more) else {
            return Ok(Vec::new());
        };
        let mut connection = self.connection();
        let (from, to) = (offset as isize, last as isize);
        let found: Result<Vec<(String, f64)>, _> = connection
            .zrevrange_withscores(self.index(index), from, to)
            .await;
        let found = found.map_err(|e| self.failed(&e))?;
        Ok(found
            .into_iter()
            .map(|(member, score)| (member, score as u64))
            .collect())
    }

    async fn index_len(&self, index: &str) -> Result<usize, CacheError> {
        let mut connection = self.connection();
        connection
            .zcard(self.index(index))
            .await
            .map_err(|e| self.failed(&e))
    }

    /// Only what is this suite's: the server may be shared.
    async fn flush(&self) -> Result<(), CacheError> {
        let mut connection = self.connection();
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{}*", self.prefix))
                .arg("COUNT")
                .arg(FLUSH_KEYS)
                .query_async(&mut connection)
                .await
                .map_err(|e| self.failed(&e))?;
            if !keys.is_empty() {
                let removed: Result<(), _> = connection.unlink(keys).await;
                removed.map_err(|e| self.failed(&e))?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}
