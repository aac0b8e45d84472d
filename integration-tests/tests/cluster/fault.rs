//! What goes wrong in a cluster, and how it is made to.

use std::time::Duration;

use integration_tests::{
    cluster::Cluster,
    harness::{Random, eventually},
    servers::{Passes, Proxy},
};
use tokio::time::sleep;

/// Longest time that the server takes to change a stream.
const CHANGE_MAX: Duration = Duration::from_secs(20);

/// A server that all services share.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Server {
    Nats,
    Redis,
    S3,
}

/// What goes wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// `kill -9` of a service.
    Killed(String),
    /// A service stands still.
    Held(String),
    NatsKilled,
    /// NATS sends its clients away one after the other, ends and comes back.
    NatsUpgraded,
    /// It comes back empty.
    RedisKilled,
    RedisFlushed,
    S3Killed,
    /// All connections of half of the services with a server are reset.
    Cut(Server),
    /// Half of the services get no byte to a server or from it, and nothing is closed.
    Stuck(Server),
    /// The same for ever, for the connections that there are; new ones are fine.
    Forgotten(Server),
    /// A stream takes no message more than it has.
    Full(&'static str),
}

impl Fault {
    pub(crate) fn any(random: &mut Random, names: &[String]) -> Self {
        // Those of whom much depends, more often.
        let busy: Vec<&String> = names
            .iter()
            .filter(|n| !n.starts_with("igor") && !n.starts_with("deck"))
            .collect();
        let at = usize::try_from(random.below(busy.len() as u64)).unwrap();
        let name = busy[at].clone();
        let server = match random.below(4) {
            0 => Server::Redis,
            1 => Server::S3,
            _ => Server::Nats,
        };
        match random.below(20) {
            0 => Self::NatsKilled,
            1 => Self::RedisKilled,
            2 => Self::S3Killed,
            3 => Self::RedisFlushed,
            4 => Self::NatsUpgraded,
            5 => Self::Full("queue"),
            6 => Self::Full("journal"),
            7 | 8 => Self::Cut(server),
            9 | 10 => Self::Stuck(server),
            11 => Self::Forgotten(server),
            12..=14 => Self::Held(name),
            _ => Self::Killed(name),
        }
    }

    /// Its kind, for a table.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Killed(_) => "service killed",
            Self::Held(_) => "service held",
            Self::NatsKilled => "NATS killed",
            Self::NatsUpgraded => "NATS lame duck",
            Self::RedisKilled => "Redis killed",
            Self::RedisFlushed => "Redis flushed",
            Self::S3Killed => "S3 killed",
            Self::Cut(_) => "connections reset",
            Self::Stuck(_) => "bytes held",
            Self::Forgotten(_) => "connections forgotten",
            Self::Full(_) => "stream full",
        }
    }

    pub(crate) async fn strike(&self, cluster: &mut Cluster, time: Duration) {
        match self {
            Self::Killed(name) => {
                cluster.kill(name);
                sleep(time / 4).await;
                cluster.start_again(name);
            }
            Self::Held(name) => {
                cluster.hold(name, true);
                sleep(time).await;
                cluster.hold(name, false);
            }
            Self::NatsKilled => cluster.nats.restart().await,
            Self::NatsUpgraded => cluster.nats.upgrade().await,
            Self::RedisKilled => cluster.redis.restart().await,
            Self::RedisFlushed => cluster.redis.flush().await,
            Self::S3Killed => cluster.s3.restart().await,
            Self::Cut(server) => proxy(cluster, *server).cut(),
            Self::Stuck(server) => {
                let proxy = proxy(cluster, *server);
                proxy.pass(Passes::Nothing);
                sleep(time).await;
                proxy.pass(Passes::All);
            }
            Self::Forgotten(server) => proxy(cluster, *server).forget(),
            Self::Full(stream) => {
                let normal = limit(cluster, stream, 1).await;
                sleep(time).await;
                limit(cluster, stream, normal).await;
            }
        }
    }
}

const fn proxy(cluster: &Cluster, server: Server) -> &Proxy {
    match server {
        Server::Nats => &cluster.proxies.nats,
        Server::Redis => &cluster.proxies.redis,
        Server::S3 => &cluster.proxies.s3,
    }
}

/// Lets a stream hold at most so many messages; what it has, it keeps. Answers with the limit before.
async fn limit(cluster: &Cluster, stream: &str, messages: i64) -> i64 {
    let name = format!("gennaker_{stream}");
    eventually(&name, CHANGE_MAX, async || {
        let account = if stream == "journal" { "LOGS" } else { "SUITE" };
        let client = cluster.nats.anything_in(account).await?;
        let context = async_nats::jetstream::new(client);
        let stream = context.get_stream(&name).await.map_err(|e| e.to_string())?;
        let mut config = stream.cached_info().config.clone();
        let before = std::mem::replace(&mut config.max_messages, messages);
        let changed = context.update_stream(config).await;
        changed.map(|_| before).map_err(|e| e.to_string())
    })
    .await
}
