//! The cluster adapters: every port on servers of its own, shared by any number of processes.
//!
//! - [`nats`]: journal, queue, topic and rpc on JetStream and core NATS.
//! - [`cache`]: the cache on Redis.
//! - [`s3`]: objects on any S3.
//! - [`setup`]: the logins of a cluster, made once.
//! - [`config`]: where the servers are, and how to log in. [`service`]: the main program of a service.
//!
//! A process has either these or the embedded ones; nothing above the ports knows which.

mod cache;
pub mod config;
mod healthy;
pub mod nats;
mod s3;
pub mod service;
pub mod setup;

use std::sync::Arc;

use kork::{
    embedded::{SeededIds, SystemClock},
    ports::{Clock, Ids, Journal, Ports},
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
    connect_as(config, None).await
}

/// The same for a service of this name: its answers arrive where only it may listen, and it opens
/// only what it needs.
pub async fn connect_as(
    config: &ClusterConfig,
    service: Option<&str>,
) -> Result<Ports, ClusterError> {
    // It fails when a provider is installed already: that one is used then.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn Ids> = Arc::new(SeededIds::system(Arc::clone(&clock)));
    let (nats, cache, objects) = tokio::try_join!(
        Box::pin(nats::Nats::connect(config, service, Arc::clone(&clock))),
        Box::pin(cache::RedisCache::connect(config)),
        Box::pin(s3::S3Objects::connect(config, Arc::clone(&clock))),
    )?;
    let journal: Arc<dyn Journal> = if nats::permissions::opens_logs(service) {
        let logs = Box::pin(nats.to_logs(config, service)).await?;
        Arc::new(logs.journal().await?)
    } else {
        Arc::new(nats::NoJournal)
    };
    Ok(Ports {
        journal,
        queue: Arc::new(nats.queue().await?),
        rpc: Arc::new(nats.rpc()),
        topic: Arc::new(nats.topic().await?),
        cache: Arc::new(cache),
        objects: Arc::new(objects),
        clock,
        ids,
    })
}
