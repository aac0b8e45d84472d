//! The cluster adapters against the contract suites of the ports, on real servers.

use std::sync::atomic::{AtomicUsize, Ordering};

use camino::Utf8Path;
use integration_tests::servers::{MinioServer, NatsServer, RedisServer, S3Server};
use kork::{contract, ports::Ports};
use kork_cluster::{ClusterConfig, setup::Setup};

/// All servers that the ports need.
pub(crate) struct Servers {
    pub(crate) nats: NatsServer,
    pub(crate) redis: RedisServer,
    pub(crate) s3: S3Server,
    made: AtomicUsize,
}

impl Servers {
    pub(crate) async fn start() -> Option<Self> {
        Some(Self {
            nats: NatsServer::start_lazy().await?,
            redis: RedisServer::start().await?,
            s3: S3Server::start().await?,
            made: AtomicUsize::new(0),
        })
    }

    /// Ports of a suite that nobody has used.
    async fn ports(&self) -> Ports {
        kork_cluster::connect(&self.config()).await.unwrap()
    }

    /// Where they are, for a suite that nobody has used.
    pub(crate) fn config(&self) -> ClusterConfig {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut config = ClusterConfig {
            namespace: format!("t{number}"),
            ..ClusterConfig::default()
        };
        config.nats = self.nats.url();
        config.redis = self.redis.url();
        config.s3_endpoint = self.s3.endpoint();
        config.s3_bucket = format!("bucket-{number}");
        config.s3_credentials_file = Some(self.s3.credentials_file().into_string());
        config
    }
}

macro_rules! contracts {
    ($($port:ident, $name:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(servers) = Servers::start().await {
                    contract::$port(|| servers.ports()).await;
                }
            }
        )*
    };
}

contracts! {
    journal, the_journal_on_jetstream;
    queue, the_queue_on_jetstream;
    topic, the_topic_on_jetstream;
    rpc, the_rpc_on_nats;
    cache, the_cache_on_redis;
    objects, the_objects_on_s3;
}

/// With the rights that a service has: a command that it may not say is refused there only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_on_redis_as_a_service() {
    let keys = tempfile::tempdir().unwrap();
    let keys = Utf8Path::from_path(keys.path()).unwrap();
    Setup::new(keys).run().unwrap();
    let redis = RedisServer::start_with(&keys.join("redis/redis.conf")).await;
    let (Some(servers), Some(redis)) = (Servers::start().await, redis) else {
        return;
    };
    let password = std::fs::read_to_string(keys.join("orca/redis.password")).unwrap();
    let at = redis.url().replace("redis://", "");
    let config = ClusterConfig {
        redis: format!("redis://orca:{}@{at}", password.trim()),
        namespace: ClusterConfig::default().namespace,
        ..servers.config()
    };
    let ports = async || {
        let ports = kork_cluster::connect(&config).await.unwrap();
        ports.cache.flush().await.unwrap();
        ports
    };
    contract::cache(ports).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_objects_on_minio() {
    let (Some(servers), Some(minio)) = (Servers::start().await, MinioServer::start().await) else {
        return;
    };
    let ports = async || {
        let config = ClusterConfig {
            s3_endpoint: minio.endpoint(),
            s3_credentials_file: Some(minio.credentials_file().into_string()),
            ..servers.config()
        };
        kork_cluster::connect(&config).await.unwrap()
    };
    contract::objects(ports).await;
}
