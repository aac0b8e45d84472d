//! The cluster adapters: every port on servers of its own, shared by any number of processes.
//!
//! - [`nats`]: journal, queue, topic and rpc on JetStream and core NATS.
//! - [`cache`]: the cache on Redis.
//! - [`s3`]: objects on any S3.
//! - [`config`]: where the servers are, and how to log in. [`service`]: the main program of a service.
//!
//! A process has either these or the embedded ones; nothing above the ports knows which.

mod cache;
pub mod config;
mod healthy;
mod nats;
mod s3;
pub mod service;

use std::sync::Arc;

use kork::{
    embedded::{SeededIds, SystemClock},
    ports::{Clock, Ids, Ports},
};
use kork_model::{Kind, Problem};

pub use self::config::{ClusterConfig, Common, OtherSection};

/// Why a server of the cluster cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{server} cannot be used: {reason}")]
pub struct ClusterError {
    /// `nats`, `redis` or `s3`, with its address without a password.
    pub server: String,
    pub reason: String,
}

impl From<ClusterError> for Problem {
    fn from(error: ClusterError) -> Self {
        Self::new("KORK-0011", Kind::Unavailable, error.to_string()).retry_after(1)
    }
}

/// Connects to all servers and makes what is needed there: streams, bucket. Clients reconnect by
/// themselves later; at the start a server that is missing is an error.
pub async fn connect(config: &ClusterConfig) -> Result<Ports, ClusterError> {
    // It fails when a provider is installed already: that one is used then.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(SeededIds::system(Arc::clone(&clock)));
    let (nats, cache, objects) = tokio::try_join!(
        Box::pin(nats::Nats::connect(config, Arc::clone(&clock))),
        Box::pin(cache::RedisCache::connect(config)),
        Box::pin(s3::S3Objects::connect(config, Arc::clone(&clock))),
    )?;
    Ok(Ports {
        journal: Arc::new(nats.journal().await?),
        queue: Arc::new(nats.queue().await?),
        rpc: Arc::new(nats.rpc()),
        topic: Arc::new(nats.topic().await?),
        cache: Arc::new(cache),
        objects: Arc::new(objects),
        clock,
        ids,
    })
}
