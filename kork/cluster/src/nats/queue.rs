//! Work queues on a JetStream stream: a subject per message, so that an id is there once; a durable
//! pull consumer per queue. The queues of custom stages lie on a stream of their own: their workers are
//! no part of the suite, and the server can only tell whole streams or single queues apart.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_nats::{
    HeaderMap,
    jetstream::{
        self, AckKind,
        consumer::{AckPolicy, PullConsumer, pull},
        message::PublishMessage,
        stream::Stream,
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use kork::{
    model::Timestamp,
    ports::{
        Delivery, Enqueued, Lease, Queue, QueueError,
        limit::{MESSAGE_BYTES_MAX, QUEUE_MESSAGES_MAX, oversized},
    },
};
use tokio::{sync::Mutex, time::Instant};

use super::{
    ANSWER_MAX, Nats, batch,
    lease::{Leases, SILENCE_MAX, Taken},
    names,
    publish::{Published, is_full},
};

/// Dead letters that are kept.
pub(super) const DEAD_MESSAGES_MAX: i64 = 100_000;
/// Header with the id of a message.
const ID: &str = "Gennaker-Id";
/// Header with the time before which it is not delivered, in milliseconds since 1970.
const AT: &str = "Gennaker-At";
/// Header of a dead letter.
const REASON: &str = "Gennaker-Reason";
/// Longest time that one request for messages stays open at the server.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Shortest time that is worth a request.
const REQUEST_MIN: Duration = Duration::from_millis(2);

/// Queues of custom stages begin so.
const CUSTOM: &str = "task.custom.";

pub(crate) struct NatsQueue {
    nats: Nats,
    streams: Streams,
    leases: Leases,
    consumers: Arc<Mutex<Consumers>>,
}

/// The streams on which queues lie.
pub(super) struct Streams {
    pub(super) queue: Stream,
    pub(super) custom: Stream,
    pub(super) dead: Stream,
}

/// Where a queue lies.
pub(super) struct Place {
    /// `queue` or `custom`: what the stream is named after.
    pub(super) kind: &'static str,
    /// The name of the queue there.
    pub(super) name: String,
    /// The name of its consumer, one word.
    pub(super) consumer: String,
}

impl Place {
    fn of(queue: &str) -> Self {
        let (kind, name) = match queue.strip_prefix(CUSTOM) {
            Some(name) => ("custom", name),
            None => ("queue", queue),
        };
        Self {
            kind,
            name: name.to_owned(),
            consumer: names::subject(name).replace('.', "%2e"),
        }
    }

    /// The same for a name in which `*` stands for any word.
    pub(super) fn of_pattern(queue: &str) -> Self {
        let mut place = Self::of(queue);
        if place.name == "*" {
            "*".clone_into(&mut place.consumer);
        }
        place
    }

    pub(super) fn is_custom(&self) -> bool {
        self.kind == "custom"
    }

    pub(super) fn stream(&self, namespace: &str) -> String {
        format!("{namespace}_{}", self.kind)
    }
}

/// The consumers of the queues that this process has used, by queue.
pub(super) type Consumers = HashMap<String, PullConsumer>;

fn unavailable(error: &(impl std::error::Error + 'static)) -> QueueError {
    QueueError::Unavailable {
        reason: kork::problem::chain(error),
    }
}

fn said(error: &async_nats::Error) -> QueueError {
    QueueError::Unavailable {
        reason: error.to_string(),
    }
}

fn check(name: &str, payload_bytes: usize) -> Result<(), QueueError> {
    match oversized(MESSAGE_BYTES_MAX, name, payload_bytes) {
        Some((what, size, max)) => Err(QueueError::TooLarge { what, size, max }),
        None => Ok(()),
    }
}

impl NatsQueue {
    pub(super) fn new(nats: Nats, streams: Streams) -> Self {
        Self {
            nats,
            streams,
            leases: Leases::default(),
            consumers: Arc::default(),
        }
    }

    /// What is needed to look at the queues of this process.
    pub(super) fn seen(&self) -> (Stream, Stream, Arc<Mutex<Consumers>>) {
        let consumers = Arc::clone(&self.consumers);
        (
            self.streams.queue.clone(),
            self.streams.dead.clone(),
            consumers,
        )
    }

    fn subject(&self, place: &Place) -> String {
        let base = self.nats.subjects(place.kind);
        format!("{base}{}", names::subject(&place.name))
    }

    fn dead_subject(&self, queue: &str) -> String {
        format!("{}{}", self.nats.subjects("dead"), names::subject(queue))
    }

    fn stream(&self, place: &Place) -> &Stream {
        if place.is_custom() {
            &self.streams.custom
        } else {
            &self.streams.queue
        }
    }

    async fn consumer(&self, queue: &str) -> Result<PullConsumer, QueueError> {
        let mut consumers = self.consumers.lock().await;
        if let Some(consumer) = consumers.get(queue) {
            return Ok(consumer.clone());
        }
        let place = Place::of(queue);
        let config = pull::Config {
            durable_name: Some(place.consumer.clone()),
            filter_subject: format!("{}.*", self.subject(&place)),
            ack_policy: AckPolicy::Explicit,
            ack_wait: SILENCE_MAX,
            max_ack_pending: -1,
            ..pull::Config::default()
        };
        let stream = self.stream(&place);
        let made = stream.get_or_create_consumer(&place.consumer, config);
        let consumer = made.await.map_err(|e| unavailable(&e))?;
        consumers.insert(queue.to_owned(), consumer.clone());
        Ok(consumer)
    }

    /// Whatever lies there now; with `wait`, the first that comes within that time.
    async fn request(
        &self,
        queue: &str,
        max: usize,
        wait: Option<Duration>,
    ) -> Result<Vec<jetstream::Message>, QueueError> {
        let reconnected = self.nats.connections.next();
        let (mut taken, limit) = (Vec::new(), wait.unwrap_or_default() + ANSWER_MAX);
        let ask = async {
            let consumer = self.consumer(queue).await?;
            let batch = match wait {
                None => consumer.fetch().max_messages(max).messages().await,
                Some(wait) => {
                    let one = consumer.batch().max_messages(1);
                    one.expires(wait).messages().await
                }
            };
            let mut batch = batch.map_err(|e| unavailable(&e))?;
            while let Some(message) = batch.next().await {
                taken.push(message.map_err(|e| said(&e))?);
            }
            Ok(())
        };
        let outcome = tokio::select! {
            biased;
            outcome = ask => outcome,
            // The request went with the old connection, and so will its answer.
            () = reconnected => Ok(()),
            () = tokio::time::sleep(limit) => Err(QueueError::Unavailable {
                reason: format!("NATS says nothing about the queue {queue} for {limit:?}"),
            }),
        };
        if outcome.is_err() {
            // It may have been removed, with its stream; it is made again.
            self.consumers.lock().await.remove(queue);
        }
        if taken.is_empty() {
            outcome?;
        }
        Ok(taken)
    }

    /// The message as a delivery, unless it came before its time and goes back.
    async fn accept(
        &self,
        queue: &str,
        message: jetstream::Message,
        lease: Duration,
    ) -> Result<Option<Delivery>, QueueError> {
        let headers = message.headers.clone().unwrap_or_default();
        let number = |key: &str| headers.get(key)?.as_str().parse::<u64>().ok();
        let (mut attempt, stored_ms) = {
            let info = message.info().map_err(|e| said(&e))?;
            let stored_ms = SystemTime::from(info.published)
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |time| time.as_millis() as u64);
            (u32::try_from(info.delivered).unwrap_or(u32::MAX), stored_ms)
        };
        let at = number(AT).unwrap_or(0);
        let now = self.nats.clock.now().millis();
        let id = headers.get(ID).map(|id| names::name(id.as_str()));
        let id = id.unwrap_or_default();
        let (message, acker) = message.split();
        if at > now {
            let delay = Duration::from_millis(at - now);
            let back = acker.double_ack_with(AckKind::Nak(Some(delay))).await;
            back.map_err(|e| said(&e))?;
            return Ok(None);
        }
        if at > stored_ms && attempt > 1 {
            // It was taken once before its time, and went back.
            attempt -= 1;
        }
        Ok(Some(Delivery {
            lease: Lease {
                queue: queue.to_owned(),
                id: id.clone(),
                token: self.leases.hold(acker, message.payload.clone(), lease),
            },
            id,
            payload: message.payload,
            attempt,
        }))
    }

    fn take(&self, lease: &Lease) -> Result<Taken, QueueError> {
        self.leases
            .take(lease.token)
            .ok_or_else(|| QueueError::LeaseLost {
                queue: lease.queue.clone(),
                id: lease.id.clone(),
            })
    }
}

#[async_trait]
impl Queue for NatsQueue {
    async fn enqueue(
        &self,
        queue: &str,
        id: &str,
        payload: Bytes,
        deliver_at: Option<Timestamp>,
    ) -> Result<Enqueued, QueueError> {
        check(queue, payload.len())?;
        check(id, 0)?;
        // Without its consumer, a queue would not be a queue for whoever asks how deep it is.
        let place = Place::of(queue);
        if place.is_custom() {
            // Workers of custom stages may not make consumers.
            self.consumer(queue).await?;
        }
        let subject = format!("{}.{}", self.subject(&place), names::hashed(id));
        let mut message = PublishMessage::build()
            .payload(payload)
            .header(ID, names::word(id).as_str())
            .expected_last_subject_sequence(0);
        if let Some(at) = deliver_at {
            message = message.header(AT, at.millis().to_string().as_str());
        }
        match self.nats.publish(&subject, message).await {
            Ok(Published::Stored(_)) => Ok(Enqueued::New),
            Ok(Published::Refused { .. }) => Ok(Enqueued::Duplicate),
            Err(reason) if is_full(&reason) => Err(QueueError::Full {
                queue: queue.to_owned(),
                max: QUEUE_MESSAGES_MAX,
            }),
            Err(reason) => Err(QueueError::Unavailable { reason }),
        }
    }

    async fn pull(
        &self,
        queue: &str,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        check(queue, 0)?;
        let until = Instant::now() + wait;
        let mut waits = None;
        loop {
            let mut accepted = Vec::new();
            for message in self.request(queue, max, waits).await? {
                accepted.extend(self.accept(queue, message, lease).await?);
            }
            let left = until.saturating_duration_since(Instant::now());
            if !accepted.is_empty() || left.is_zero() {
                return Ok(accepted);
            }
            waits = Some(left.clamp(REQUEST_MIN, REQUEST_MAX));
        }
    }

    async fn ack(&self, lease: &Lease) -> Result<(), QueueError> {
        let taken = self.take(lease)?;
        taken.acker.double_ack().await.map_err(|e| said(&e))
    }

    async fn nak(&self, lease: &Lease, delay: Duration) -> Result<(), QueueError> {
        let taken = self.take(lease)?;
        let kind = AckKind::Nak((!delay.is_zero()).then_some(delay));
        taken
            .acker
            .double_ack_with(kind)
            .await
            .map_err(|e| said(&e))
    }

    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<(), QueueError> {
        if self.leases.extend(lease.token, duration) {
            return Ok(());
        }
        Err(QueueError::LeaseLost {
            queue: lease.queue.clone(),
            id: lease.id.clone(),
        })
    }

    async fn reject(&self, lease: &Lease, reason: &str) -> Result<(), QueueError> {
        let Taken { acker, payload } = self.take(lease)?;
        let mut headers = HeaderMap::new();
        headers.insert(ID, names::word(&lease.id).as_str());
        headers.insert(REASON, names::word(reason).as_str());
        let to = format!(
            "{}.{}",
            self.dead_subject(&lease.queue),
            names::hashed(&lease.id)
        );
        let sent = self
            .nats
            .context
            .publish_with_headers(to, headers, payload)
            .await;
        let written = async { sent?.await }.await;
        written.map_err(|e| unavailable(&e))?;
        acker.double_ack().await.map_err(|e| said(&e))
    }

    async fn depth(&self, queue: &str) -> Result<usize, QueueError> {
        let place = Place::of(queue);
        let filter = format!("{}.*", self.subject(&place));
        let listed = self.stream(&place).info_with_subjects(filter).await;
        let mut listed = listed.map_err(|e| unavailable(&e))?;
        let mut depth = 0;
        while let Some(entry) = listed.next().await {
            depth += entry.map_err(|e| unavailable(&e))?.1;
        }
        Ok(depth)
    }

    async fn dead(&self, queue: &str) -> Result<Vec<(String, String, Bytes)>, QueueError> {
        let filter = format!("{}.*", self.dead_subject(queue));
        let mut letters = Vec::new();
        let mut from = 1;
        loop {
            let (found, more) =
                batch::read(&self.nats.client, &self.streams.dead, Some(&filter), from)
                    .await
                    .map_err(|reason| QueueError::Unavailable { reason })?;
            for letter in found {
                let text = |key: &str| letter.headers.get(key).map(|t| names::name(t.as_str()));
                let (id, reason) = (text(ID), text(REASON));
                from = letter.sequence + 1;
                letters.push((
                    id.unwrap_or_default(),
                    reason.unwrap_or_default(),
                    letter.payload,
                ));
            }
            if !more {
                return Ok(letters);
            }
        }
    }
}
