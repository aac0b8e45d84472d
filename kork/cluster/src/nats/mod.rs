//! NATS: the connection, the streams, and names in subjects.
//!
//! Streams are made at the start, with this namespace in front: `<ns>_journal`, `<ns>_queue`,
//! `<ns>_custom`, `<ns>_dead`, `<ns>_topic`, `<ns>_position`. The journal and its positions may lie in an
//! account of their own, where only who writes logs can reach them.

mod batch;
pub mod flows;
mod follower;
mod journal;
mod lease;
mod login;
mod micro;
mod names;
mod no_journal;
pub mod permissions;
mod queue;
mod rpc;
mod topic;

use std::{sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event,
    jetstream::{
        self,
        stream::{Config, DiscardPolicy, Republish, RetentionPolicy, StorageType, Stream},
    },
};
use kork::ports::{Clock, limit};

use self::login::Account;
pub(crate) use self::{
    journal::NatsJournal, no_journal::NoJournal, queue::NatsQueue, rpc::NatsRpc, topic::NatsTopic,
};
use crate::{
    ClusterConfig, ClusterError,
    config::{secret, shown},
};

/// What must fit into one message of the server: the largest RPC and its headers.
const PAYLOAD_BYTES_MIN: usize = limit::RPC_BYTES_MAX + HEADER_BYTES_MAX;
/// Headers of a message, at most.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// How long an answer of the server is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Messages that one subscription may hold before it counts as slow.
const SUBSCRIPTION_MESSAGES_MAX: usize = 64 * 1024;
/// Pauses between tries to connect again.
const RECONNECT_FIRST_MS: u64 = 20;
const RECONNECT_LONGEST_MS: u64 = 1_000;

/// A connection, shared by the four ports.
#[derive(Clone)]
pub(crate) struct Nats {
    client: Client,
    context: jetstream::Context,
    namespace: String,
    server: String,
    replicas: usize,
    clock: Arc<dyn Clock>,
}

impl Nats {
    /// Connects to the account of the suite.
    pub(crate) async fn connect(
        config: &ClusterConfig,
        service: Option<&str>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClusterError> {
        Self::connect_with(config, service, clock, Account::Suite).await
    }

    /// The connection to the logs: another one when the login says that they lie in an account of
    /// their own.
    pub(crate) async fn to_logs(
        &self,
        config: &ClusterConfig,
        service: Option<&str>,
    ) -> Result<Self, ClusterError> {
        let apart = login::has_logs(config).map_err(|reason| ClusterError {
            server: self.server.clone(),
            reason,
        })?;
        if !apart {
            return Ok(self.clone());
        }
        let clock = Arc::clone(&self.clock);
        Self::connect_with(config, service, clock, Account::Logs).await
    }

    async fn connect_with(
        config: &ClusterConfig,
        service: Option<&str>,
        clock: Arc<dyn Clock>,
        account: Account,
    ) -> Result<Self, ClusterError> {
        let server = format!("NATS at {}", shown(&config.nats));
        let failed = |reason: String| ClusterError {
            server: server.clone(),
            reason,
        };
        let options = options(config, service, account).await.map_err(failed)?;
        let addresses: Vec<&str> = config.nats.split(',').map(str::trim).collect();
        let client = options
            .connect(addresses)
            .await
            .map_err(|e| match e.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    let (name, login) = (login::name(service), login::shown(config));
                    failed(format!("it refuses the login of {name} {login}"))
                }
                _ => failed(kork::problem::chain(&e)),
            })?;
        check(&client).map_err(failed)?;
        let context = jetstream::ContextBuilder::new()
            .timeout(ANSWER_MAX)
            .ack_timeout(ANSWER_MAX)
            .build(client.clone());
        Ok(Self {
            client,
            context,
            namespace: config.namespace.clone(),
            server,
            replicas: config.nats_replicas,
            clock,
        })
    }

    pub(crate) async fn journal(&self) -> Result<NatsJournal, ClusterError> {
        let stream = self
            .stream(Config {
                republish: Some(self.told("journal")),
                allow_direct: true,
                ..self.config("journal")
            })
            .await?;
        let positions = self
            .stream(Config {
                max_messages_per_subject: 1,
                allow_direct: true,
                discard: DiscardPolicy::Old,
                ..self.config("position")
            })
            .await?;
        Ok(NatsJournal::new(self.clone(), stream, positions))
    }

    pub(crate) async fn queue(&self) -> Result<NatsQueue, ClusterError> {
        let works = |kind| Config {
            retention: RetentionPolicy::WorkQueue,
            max_messages: limit::QUEUE_MESSAGES_MAX as i64,
            ..self.config(kind)
        };
        let queue = self.stream(works("queue")).await?;
        let custom = self.stream(works("custom")).await?;
        let dead = self
            .stream(Config {
                max_messages: queue::DEAD_MESSAGES_MAX,
                discard: DiscardPolicy::Old,
                allow_direct: true,
                ..self.config("dead")
            })
            .await?;
        let streams = queue::Streams {
            queue,
            custom,
            dead,
        };
        Ok(NatsQueue::new(self.clone(), streams))
    }

    pub(crate) async fn topic(&self) -> Result<NatsTopic, ClusterError> {
        let stream = self
            .stream(Config {
                republish: Some(self.told("topic")),
                max_messages: limit::TOPIC_MESSAGES_MAX as i64,
                discard: DiscardPolicy::Old,
                allow_direct: true,
                ..self.config("topic")
            })
            .await?;
        Ok(NatsTopic::new(self.clone(), stream))
    }

    pub(crate) fn rpc(&self) -> NatsRpc {
        NatsRpc::new(self.clone())
    }

    /// Subject in front of all of one kind: `<ns>.journal.`.
    fn subjects(&self, kind: &str) -> String {
        format!("{}.{kind}.", self.namespace)
    }

    /// Every stored message of a stream is told on core NATS, without its body: it wakes followers.
    fn told(&self, kind: &str) -> Republish {
        Republish {
            source: format!("{}>", self.subjects(kind)),
            destination: format!("{}>", self.subjects(&format!("told.{kind}"))),
            headers_only: true,
        }
    }

    fn config(&self, kind: &str) -> Config {
        Config {
            name: format!("{}_{kind}", self.namespace),
            subjects: vec![format!("{}>", self.subjects(kind))],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            num_replicas: self.replicas,
            max_messages: -1,
            max_messages_per_subject: -1,
            max_bytes: -1,
            ..Config::default()
        }
    }

    async fn stream(&self, config: Config) -> Result<Stream, ClusterError> {
        let name = config.name.clone();
        let made = self.context.get_or_create_stream(config).await;
        made.map_err(|e| ClusterError {
            server: self.server.clone(),
            reason: format!(
                "the stream {name} cannot be made: {}",
                kork::problem::chain(&e)
            ),
        })
    }
}

async fn options(
    config: &ClusterConfig,
    service: Option<&str>,
    account: Account,
) -> Result<ConnectOptions, String> {
    let mut options = ConnectOptions::new()
        .name(login::name(service))
        .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
        .request_timeout(Some(ANSWER_MAX))
        .reconnect_delay_callback(|tries| {
            let doubled = RECONNECT_FIRST_MS << tries.min(10);
            Duration::from_millis(doubled.min(RECONNECT_LONGEST_MS))
        })
        .event_callback(|event| async move {
            match event {
                Event::Connected => tracing::info!("connected with NATS"),
                Event::Disconnected => tracing::warn!("the connection with NATS is lost"),
                Event::LameDuckMode => tracing::warn!("a server of NATS is about to stop"),
                other => tracing::warn!(event = %other, "NATS"),
            }
        });
    if let Some(service) = service {
        options = options.custom_inbox_prefix(permissions::inbox(service));
    }
    if let Some(path) = &config.nats_credentials_file {
        let read = options.credentials_file(path).await;
        options = read.map_err(|e| format!("{path} cannot be read: {e}"))?;
    } else if let Some(path) = &config.nats_nkey_file {
        options = options.nkey(login::seed(path, account)?);
    } else if let Some(user) = &config.nats_user {
        let password = config
            .nats_password_file
            .as_deref()
            .map(secret)
            .transpose()?;
        options = options.user_and_password(user.clone(), password.unwrap_or_default());
    }
    if let Some(path) = &config.nats_ca_file {
        options = options.add_root_certificates(path.into());
    }
    Ok(options)
}

fn check(client: &Client) -> Result<(), String> {
    if !client.is_server_compatible(2, 12, 0) {
        let version = client.server_info().version;
        return Err(format!(
            "it has version {version}, at least 2.12.0 is needed"
        ));
    }
    let max = client.max_payload();
    if max < PAYLOAD_BYTES_MIN {
        return Err(format!(
            "it takes messages of at most {max} bytes; set `max_payload: {PAYLOAD_BYTES_MIN}` in its \
             configuration"
        ));
    }
    Ok(())
}
