//! How NATS looks: whether it answers, what its streams hold, how long the queues are, and whether it
//! keeps the promise of the logs.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use async_nats::{connection::State, jetstream::stream::Stream};
use bytes::Bytes;
use futures_util::StreamExt;
use kork::service::{Gauge, Look, Metrics, Seen};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

use super::{Nats, queue::Consumers, queue::NatsQueue};
use crate::{
    ClusterConfig, ClusterError,
    watch::{ANSWER_MAX, NEAR_PERCENT, answered, missing},
};

/// Slower answers are worth a word.
const SLOW: Duration = Duration::from_millis(250);
/// From so many replicas on, an answered write is on several machines.
const REPLICAS_SAFE: usize = 3;
/// The streams of a suite.
const STREAMS: [&str; 4] = ["queue", "custom", "topic", "dead"];
/// Those that only who writes logs can reach.
const LOGS: [&str; 2] = ["journal", "position"];

/// What is looked at.
pub(crate) struct NatsLook {
    nats: Nats,
    logs: Option<Nats>,
    queue: Stream,
    dead: Stream,
    consumers: Arc<Mutex<Consumers>>,
    stuck: std::sync::Mutex<Stuck>,
    monitor: Option<(reqwest::Client, String)>,
}

/// Figures of streams and queues.
pub(crate) struct NatsFigures {
    stream_messages: Gauge,
    stream_bytes: Gauge,
    lag: Gauge,
    waiting: Gauge,
    held: Gauge,
    oldest: Gauge,
    dead: Gauge,
}

impl NatsFigures {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            stream_messages: metrics
                .gauge("gennaker_stream_messages", "messages in a stream of NATS"),
            stream_bytes: metrics.gauge("gennaker_stream_bytes", "size of a stream of NATS"),
            lag: metrics.gauge(
                "gennaker_follower_lag_messages",
                "messages that the slowest follower of this process has not read, by stream; what a \
                 stream took in within two seconds may count",
            ),
            waiting: metrics.gauge(
                "gennaker_queue_messages_waiting",
                "messages that no worker has taken, by queue",
            ),
            held: metrics.gauge(
                "gennaker_queue_messages_held",
                "messages that a worker has and has not finished, by queue",
            ),
            oldest: metrics.gauge(
                "gennaker_queue_oldest_age_seconds",
                "how old the oldest message that is not done is at least, by queue",
            ),
            dead: metrics.gauge("gennaker_queue_dead_messages", "dead letters of all queues"),
        }
    }
}

impl NatsLook {
    pub(crate) fn new(
        nats: Nats,
        logs: Option<Nats>,
        queue: &NatsQueue,
        config: &ClusterConfig,
    ) -> Result<Self, ClusterError> {
        let monitor = config.nats_monitor.as_ref().map(|address| {
            let client = kork_http::client().timeout(ANSWER_MAX).build();
            let url = format!("{}/varz", address.trim_end_matches('/'));
            client.map(|client| (client, url))
        });
        let monitor = monitor.transpose().map_err(|error| ClusterError {
            server: nats.server.clone(),
            reason: kork::problem::chain(&error),
        })?;
        let (queue, dead, consumers) = queue.seen();
        Ok(Self {
            nats,
            logs,
            queue,
            dead,
            consumers,
            stuck: std::sync::Mutex::default(),
            monitor,
        })
    }

    pub(crate) async fn look(&self) -> Seen {
        let next = "start NATS, or look at its log and at the setting `nats`; until it is back nothing \
                    goes on, and nothing is lost";
        if self.nats.client.connection_state() != State::Connected {
            return missing("there is no connection", next);
        }
        let began = Instant::now();
        let told = match tokio::time::timeout(ANSWER_MAX, self.echo()).await {
            Ok(told) => told,
            Err(_) => Err("no answer within 2 s".to_owned()),
        };
        if let Err(reason) = told {
            return missing(&reason, next);
        }
        let took = began.elapsed();
        let version = self.nats.client.server_info().version;
        let mut seen = answered(&format!("NATS {version}"), took, SLOW);
        let worries = [self.disk().await, self.limits().await];
        for (detail, next) in worries.into_iter().flatten() {
            seen.state = Look::Warning;
            seen.detail = format!("{}; {detail}", seen.detail);
            seen.next = Some(
                seen.next
                    .map_or(next.clone(), |more| format!("{more}; {next}")),
            );
        }
        seen
    }

    /// To the server and back.
    async fn echo(&self) -> Result<(), String> {
        let client = &self.nats.client;
        let inbox = client.new_inbox();
        let heard = client.subscribe(inbox.clone()).await;
        let mut heard = heard.map_err(|e| e.to_string())?;
        let sent = client.publish(inbox, Bytes::new()).await;
        sent.map_err(|e| e.to_string())?;
        match heard.next().await {
            Some(_) => Ok(()),
            None => Err("the connection was closed".to_owned()),
        }
    }

    /// Whether an answered write survives the loss of power; what to say if not.
    async fn disk(&self) -> Option<(String, String)> {
        if self.nats.replicas >= REPLICAS_SAFE {
            return None;
        }
        let next = "set `jetstream { sync_interval: always }` in its configuration, or use 3 replicas \
                    (`natsReplicas: 3`)";
        let Some((client, url)) = &self.monitor else {
            let text = "whether it writes to the disk before it answers cannot be seen from here";
            let ask = "set `natsMonitor` to its monitoring port (http://host:8222)";
            return Some((
                text.to_owned(),
                format!("{next}, and {ask} to have it checked"),
            ));
        };
        let told = async { client.get(url).send().await?.json::<Value>().await };
        match told.await {
            Ok(told) if writes_at_once(&told) => None,
            Ok(_) => {
                let text =
                    "it answers before it writes to the disk: a loss of power loses executions";
                Some((text.to_owned(), next.to_owned()))
            }
            Err(error) => {
                let error = kork::problem::chain(&error);
                let text = format!("its monitoring port does not answer: {error}");
                Some((text, "look at the setting `natsMonitor`".to_owned()))
            }
        }
    }

    /// Streams that refuse messages soon.
    async fn limits(&self) -> Option<(String, String)> {
        let told = tokio::time::timeout(ANSWER_MAX, self.queue.get_info()).await;
        let info = told.ok()?.ok()?;
        let (held, max) = (info.state.messages, info.config.max_messages);
        let max = u64::try_from(max).ok().filter(|max| *max > 0)?;
        near("queue", held, max)
    }

    /// Notes how full streams and queues are. What cannot be asked keeps its last figure.
    pub(crate) async fn measure(&self, figures: &NatsFigures) {
        let known = tokio::time::timeout(ANSWER_MAX, async {
            self.measure_streams(figures).await;
            self.measure_queues(figures).await;
        });
        if known.await.is_err() {
            tracing::debug!("NATS does not tell how full its streams are");
        }
    }

    async fn measure_streams(&self, figures: &NatsFigures) {
        let own = STREAMS.map(|kind| (kind, Some(&self.nats)));
        let logs = LOGS.map(|kind| (kind, self.logs.as_ref()));
        for (kind, nats) in own.into_iter().chain(logs) {
            let Some(nats) = nats else { continue };
            let name = format!("{}_{kind}", nats.namespace);
            let Ok(stream) = nats.context.get_stream(&name).await else {
                continue;
            };
            let state = &stream.cached_info().state;
            let labels = [("stream", kind)];
            figures.stream_messages.set(&labels, state.messages as i64);
            figures.stream_bytes.set(&labels, state.bytes as i64);
            let lag = nats.positions.lag(kind, state.last_sequence);
            figures.lag.set(&labels, lag as i64);
        }
        if let Ok(info) = self.dead.get_info().await {
            figures.dead.set(&[], info.state.messages as i64);
        }
    }

    async fn measure_queues(&self, figures: &NatsFigures) {
        let consumers = self.consumers.lock().await.clone();
        for (queue, mut consumer) in consumers {
            let Ok(info) = consumer.info().await else {
                continue;
            };
            let labels = [("queue", queue.as_str())];
            let (waiting, held) = (info.num_pending, info.num_ack_pending);
            figures.waiting.set(&labels, waiting as i64);
            figures.held.set(&labels, held as i64);
            let floor = (waiting > 0 || held > 0).then_some(info.ack_floor.stream_sequence);
            let now_ms = self.nats.clock.now().millis();
            let stuck_ms = lock(&self.stuck).ms(&queue, floor, now_ms);
            figures.oldest.set(&labels, (stuck_ms / 1_000) as i64);
        }
    }
}

fn lock(stuck: &std::sync::Mutex<Stuck>) -> std::sync::MutexGuard<'_, Stuck> {
    stuck.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Since when the oldest message of each queue is the oldest. Nobody may read messages that are not
/// theirs, so this is how old it is at least.
#[derive(Default)]
struct Stuck(HashMap<String, (u64, u64)>);

impl Stuck {
    /// For how long everything up to the same `floor` was done, and no more; 0 for an empty queue.
    fn ms(&mut self, queue: &str, floor: Option<u64>, now_ms: u64) -> u64 {
        let Some(floor) = floor else {
            self.0.remove(queue);
            return 0;
        };
        let known = self.0.entry(queue.to_owned()).or_insert((floor, now_ms));
        if known.0 != floor {
            *known = (floor, now_ms);
        }
        now_ms.saturating_sub(known.1)
    }
}

/// What the monitoring port says about the disk.
fn writes_at_once(varz: &Value) -> bool {
    let config = &varz["jetstream"]["config"];
    config["sync_always"] == Value::Bool(true)
}

fn near(stream: &str, held: u64, max: u64) -> Option<(String, String)> {
    (held * 100 >= max * NEAR_PERCENT).then(|| {
        let text = format!("the stream {stream} holds {held} of at most {max} messages");
        let next = "see `gennaker_queue_messages_waiting` for the queue that grows: its worker is away or \
                    too slow";
        (text, next.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_always_is_always() {
        let told = |config: Value| json!({"jetstream": {"config": config}});
        assert!(writes_at_once(&told(json!({"sync_always": true}))));
        assert!(!writes_at_once(&told(
            json!({"sync_interval": 120_000_000_000_u64})
        )));
        assert!(!writes_at_once(&json!({})));
    }

    #[test]
    fn a_queue_that_does_not_get_on_grows_old() {
        let mut stuck = Stuck::default();
        assert_eq!(stuck.ms("a", Some(7), 1_000), 0);
        assert_eq!(stuck.ms("a", Some(7), 9_000), 8_000);
        assert_eq!(stuck.ms("b", Some(7), 9_000), 0);
        assert_eq!(stuck.ms("a", Some(8), 10_000), 0);
        assert_eq!(stuck.ms("a", None, 20_000), 0);
        assert_eq!(stuck.ms("a", Some(8), 30_000), 0);
    }

    #[test]
    fn a_stream_near_its_limit_is_named() {
        assert_eq!(near("queue", 79, 100), None);
        let (text, _) = near("queue", 80, 100).unwrap();
        assert!(text.contains("queue holds 80 of at most 100"), "{text}");
    }
}
