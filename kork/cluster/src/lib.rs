//! The cluster adapters: every port on servers of its own, shared by any number of processes.
//!
//! - [`nats`]: journal, queue, topic and rpc on JetStream and core NATS.
//! - [`cache`]: the cache on Redis.
//! - [`s3`]: objects on any S3.
//! - [`setup`]: the logins of a cluster, made once.
//! - `watch`: how the servers look, for health, figures and `gennaker doctor`.
//! - `otlp`: traces for a collector.
//! - [`config`]: where the servers are, and how to log in. [`service`]: the main program of a service.
//!
//! A process has either these or the embedded ones; nothing above the ports knows which.

mod cache;
pub mod config;
mod healthy;
pub mod nats;
mod otlp;
mod s3;
pub mod service;
pub mod setup;
mod watch;

use std::sync::Arc;

use kork::{
    embedded::{SeededIds, SystemClock},
    ports::{Clock, Ids, Journal, ObjectStore, Ports},
};
use kork_model::{Kind, Problem};

pub use self::config::{ClusterConfig, Common, OtherSection};
pub use self::otlp::Telemetry;

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
    Ok(Box::pin(connect_and_look(config, service)).await?.0)
}

/// The same, with what is needed to look at the servers now and then.
pub(crate) async fn connect_and_look(
    config: &ClusterConfig,
    service: Option<&str>,
) -> Result<(Ports, watch::Servers), ClusterError> {
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
    let mut logs = None;
    let journal: Arc<dyn Journal> = if nats::permissions::opens_logs(service) {
        let own = Box::pin(nats.to_logs(config, service)).await?;
        let journal = own.journal().await?;
        logs = Some(own);
        Arc::new(journal)
    } else {
        Arc::new(nats::NoJournal)
    };
    let queue = nats.queue().await?;
    let cache = Arc::new(cache);
    let objects: Arc<dyn ObjectStore> = Arc::new(objects);
    let servers = watch::Servers {
        nats: nats::look::NatsLook::new(nats.clone(), logs, &queue, config)?,
        redis: Arc::clone(&cache),
        objects: Arc::clone(&objects),
    };
    let ports = Ports {
        journal,
        queue: Arc::new(queue),
        rpc: Arc::new(nats.rpc()),
        topic: Arc::new(nats.topic().await?),
        cache,
        objects,
        clock,
        ids,
    };
    Ok((ports, servers))
}
