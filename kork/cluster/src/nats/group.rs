//! Publishes to one stream that expect a revision of their subject. Few at a time go out as they are;
//! many that wait at the same moment go out as one atomic batch.
//!
//! A server that flushes each publish to the disk takes some four thousand of them in a second, however many
//! wait, and an atomic batch takes it about five milliseconds whatever its size. So a batch pays from
//! [`BATCH_MIN`] messages on, and never for one or two.

use std::collections::{HashSet, VecDeque};

use async_nats::{
    HeaderMap,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{message::PublishMessage, publish::PublishAck, response::Response, stream::Stream},
};
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::Instant,
};

use super::{
    Nats,
    publish::{Published, Sent},
};

/// Messages from which on a batch is the cheaper way.
const BATCH_MIN: usize = 24;
/// The same for messages that otherwise go one after the other, each when the one before it is stored.
const FIRST_MIN: usize = 12;
/// Messages of a batch; the server takes 1,000.
const BATCH_MAX: usize = 500;
/// Bytes of a batch.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages that are on their way by themselves; more wait, and become a batch.
const SINGLE_MAX: usize = BATCH_MIN;
/// Messages that are handed over and not yet looked at.
const WAITING_MAX: usize = 4096;

/// A message for the stream.
#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    /// Sequence that the last message of the subject has; 0 for none.
    pub(super) expected: u64,
}

/// What became of a message; an error says why it is not in the stream.
type Outcome = Result<Published, String>;

struct Waiting {
    message: Outgoing,
    done: oneshot::Sender<Outcome>,
}

/// The way into one stream.
#[derive(Clone)]
pub(super) struct Group {
    sender: mpsc::Sender<Waiting>,
    way: Way,
    batches: bool,
}

impl Group {
    /// For the stream; it ends with its last copy.
    pub(super) fn new(nats: &Nats, stream: &Stream) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let way = Way(nats.clone());
        // A stream of an older version takes no batches.
        let batches = stream.cached_info().config.allow_atomic_publish;
        let appender = Appender {
            way: way.clone(),
            batches,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            singles: 0,
            batch_runs: false,
        };
        tokio::spawn(appender.run(receiver));
        Self {
            sender,
            way,
            batches,
        }
    }

    /// Tries to publish the first messages, as many as fit into one batch: all of them or none.
    pub(super) async fn publish_first(&self, messages: &[Outgoing]) -> First {
        let count = first(messages.iter()).max(1);
        let stored = self.batches && count >= FIRST_MIN && {
            let together: Vec<&Outgoing> = messages[..count].iter().collect();
            matches!(self.way.together(&together).await, Batch::Stored { .. })
        };
        First { count, stored }
    }

    /// Publishes; messages that were handed over in some order are stored in that order.
    pub(super) async fn publish(&self, message: Outgoing) -> Result<Published, String> {
        let ended = || "the connection is closed".to_owned();
        let (done, outcome) = oneshot::channel();
        let handed = self.sender.send(Waiting { message, done }).await;
        handed.map_err(|_| ended())?;
        outcome.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The first of some messages.
pub(super) struct First {
    pub(super) count: usize,
    /// They are in the stream; else each has to be published by itself, as it may be there.
    pub(super) stored: bool,
}

/// What ended.
enum Ended {
    Single,
    Batch,
}

struct Appender {
    way: Way,
    batches: bool,
    waiting: VecDeque<Waiting>,
    running: JoinSet<Ended>,
    singles: usize,
    batch_runs: bool,
}

impl Appender {
    async fn run(mut self, mut receiver: mpsc::Receiver<Waiting>) {
        let mut handed = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => {
                    if !self.note(&ended) {
                        return;
                    }
                }
                received = receiver.recv_many(&mut handed, WAITING_MAX) => {
                    if received == 0 {
                        break;
                    }
                    self.waiting.extend(handed.drain(..));
                }
            }
            self.send().await;
        }
        while !self.waiting.is_empty() || !self.running.is_empty() {
            self.send().await;
            let ended = self.running.join_next().await;
            if !ended.is_some_and(|ended| self.note(&ended)) {
                return;
            }
        }
    }

    /// Makes room for more. False at the end of the runtime, which alone ends a task early.
    fn note(&mut self, ended: &Result<Ended, JoinError>) -> bool {
        match ended {
            Ok(Ended::Single) => self.singles -= 1,
            Ok(Ended::Batch) => self.batch_runs = false,
            Err(_) => return false,
        }
        true
    }

    /// Sends what can go now. While a batch is on its way the others gather behind it.
    async fn send(&mut self) {
        while !self.waiting.is_empty() && !self.batch_runs {
            if self.batches && self.waiting.len() >= BATCH_MIN {
                let together = take(&mut self.waiting);
                let way = self.way.clone();
                self.batch_runs = true;
                self.running.spawn(async move {
                    way.batch(together).await;
                    Ended::Batch
                });
            } else if self.singles < SINGLE_MAX || !self.batches {
                let Some(Waiting { message, done }) = self.waiting.pop_front() else {
                    return;
                };
                // Sent here and not in the task, so that the order stays.
                let sent = self.way.send(message).await;
                let way = self.way.clone();
                self.singles += 1;
                self.running.spawn(async move {
                    answer(done, way.0.settle(sent).await);
                    Ended::Single
                });
            } else {
                return;
            }
        }
    }
}

/// The first that fit into a batch. A subject occurs once in it: its second message expects the first.
fn take(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let count = first(waiting.iter().map(|next| &next.message)).max(1);
    waiting.drain(..count).collect()
}

/// How many of the first fit into a batch.
fn first<'a>(messages: impl Iterator<Item = &'a Outgoing>) -> usize {
    let mut subjects = HashSet::new();
    let mut bytes = 0;
    let fits = messages.take(BATCH_MAX).take_while(|next| {
        bytes += next.payload.len();
        bytes <= BATCH_BYTES_MAX && subjects.insert(next.subject.as_str())
    });
    fits.count()
}

/// Whoever does not wait any more reads the stream when it matters.
fn answer(done: oneshot::Sender<Outcome>, outcome: Outcome) {
    drop(done.send(outcome));
}

#[derive(Clone)]
struct Way(Nats);

impl Way {
    async fn send(&self, message: Outgoing) -> Sent {
        let (subject, publish) = message.into_publish();
        self.0.send(subject, publish).await
    }

    /// All or nothing; when nothing, then each by itself, for only one of them may be wrong.
    async fn batch(&self, together: Vec<Waiting>) {
        let count = together.len() as u64;
        let outcome = if together.len() < BATCH_MIN {
            Batch::Refused
        } else {
            let messages: Vec<&Outgoing> = together.iter().map(|w| &w.message).collect();
            self.together(&messages).await
        };
        match outcome {
            Batch::Stored { last } => {
                for (n, waiting) in (1..).zip(together) {
                    answer(waiting.done, Ok(Published::Stored(last + n - count)));
                }
            }
            Batch::Refused => {
                let mut each = Vec::with_capacity(together.len());
                for Waiting { message, done } in together {
                    let sent = self.send(message).await;
                    each.push(async move { answer(done, self.0.settle(sent).await) });
                }
                join_all(each).await;
            }
            Batch::Unknown => {
                let each = together.into_iter().map(|Waiting { message, done }| async {
                    let (subject, publish) = message.into_publish();
                    answer(done, self.0.publish_again(&subject, publish).await);
                });
                join_all(each).await;
            }
        }
    }

    async fn together(&self, together: &[&Outgoing]) -> Batch {
        let began = Instant::now();
        let client = &self.0.client;
        let next = self.0.connections.next();
        let id = client.new_inbox().replace('.', "-");
        let Some((last, before)) = together.split_last() else {
            return Batch::Refused;
        };
        for (n, message) in (1..).zip(before) {
            let (subject, payload) = (message.subject.clone(), message.payload.clone());
            let sent = client.publish_with_headers(subject, message.in_batch(&id, n), payload);
            if sent.await.is_err() {
                return Batch::Refused;
            }
        }
        let mut headers = last.in_batch(&id, together.len());
        headers.insert("Nats-Batch-Commit", "1");
        let (subject, payload) = (last.subject.clone(), last.payload.clone());
        let asked = tokio::select! {
            biased;
            asked = client.request_with_headers(subject, headers, payload) => asked,
            // The answer will not come on this connection.
            () = next => return Batch::Unknown,
        };
        let Ok(message) = asked else {
            return Batch::Unknown;
        };
        match serde_json::from_slice::<Response<PublishAck>>(&message.payload) {
            Ok(Response::Ok(ack)) => {
                let took_us = began.elapsed().as_micros() as u64;
                tracing::trace!(messages = together.len(), took_us, "a batch is stored");
                Batch::Stored { last: ack.sequence }
            }
            Ok(Response::Err { error }) => {
                tracing::debug!(%error, "a batch is refused, its messages go one by one");
                Batch::Refused
            }
            Err(error) => {
                tracing::warn!(%error, "NATS answers to a batch what cannot be read");
                Batch::Unknown
            }
        }
    }
}

/// What became of a batch.
enum Batch {
    /// All are stored, the last under this sequence.
    Stored {
        last: u64,
    },
    /// None is stored.
    Refused,
    Unknown,
}

impl Outgoing {
    fn into_publish(self) -> (String, PublishMessage) {
        let message = PublishMessage::build()
            .headers(self.headers)
            .payload(self.payload)
            .expected_last_subject_sequence(self.expected);
        (self.subject, message)
    }

    fn in_batch(&self, id: &str, number: usize) -> HeaderMap {
        let mut headers = self.headers.clone();
        let expected = self.expected.to_string();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected);
        headers.insert("Nats-Batch-Id", id);
        headers.insert("Nats-Batch-Sequence", number.to_string());
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(subject: &str, bytes: usize) -> Waiting {
        Waiting {
            message: Outgoing {
                subject: subject.to_owned(),
                headers: HeaderMap::new(),
                payload: Bytes::from(vec![0; bytes]),
                expected: 0,
            },
            done: oneshot::channel().0,
        }
    }

    fn taken(waiting: Vec<Waiting>) -> Vec<String> {
        let mut waiting = VecDeque::from(waiting);
        let all = waiting.len();
        let taken: Vec<String> = take(&mut waiting)
            .into_iter()
            .map(|w| w.message.subject)
            .collect();
        assert_eq!(taken.len() + waiting.len(), all);
        taken
    }

    #[test]
    fn a_batch_has_a_subject_once_and_is_not_too_large() {
        let twice = ["a", "b", "a", "c"].map(|s| waiting(s, 1)).into();
        assert_eq!(taken(twice), ["a", "b"]);
        let large = ["a", "b", "c"]
            .map(|s| waiting(s, BATCH_BYTES_MAX / 2))
            .into();
        assert_eq!(taken(large), ["a", "b"]);
        assert_eq!(taken(vec![waiting("a", BATCH_BYTES_MAX + 1)]), ["a"]);
        let many = (0..=BATCH_MAX).map(|n| waiting(&n.to_string(), 1));
        assert_eq!(taken(many.collect()).len(), BATCH_MAX);
    }
}
