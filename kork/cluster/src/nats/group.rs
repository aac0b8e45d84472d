//! Publishes to one stream that expect a revision of their subject. Few at a time go out as they are;
//! many that wait at the same moment go out as one atomic batch.
//!
//! A server that flushes each publish to the disk takes some four thousand of them in a second, however many
//! wait, and an atomic batch costs it a handful of flushes whatever its size. So a batch pays from
//! [`BATCH_MIN`] messages on, and never for one or two.

use std::collections::{HashSet, VecDeque};

use async_nats::{
    Client, HeaderMap,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{
        self,
        context::{PublishError, PublishErrorKind},
        message::PublishMessage,
        publish::PublishAck,
        response::Response,
        stream::Stream,
    },
};
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::Nats;

/// Messages from which on a batch is the cheaper way.
const BATCH_MIN: usize = 6;
/// Messages of a batch; the server takes 1,000.
const BATCH_MAX: usize = 500;
/// Bytes of a batch.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages that are on their way by themselves; more wait, and become a batch.
const SINGLE_MAX: usize = BATCH_MIN;
/// Messages that are handed over and not yet looked at.
const WAITING_MAX: usize = 4096;

/// A message for the stream.
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    /// Sequence that the last message of the subject has; 0 for none.
    pub(super) expected: u64,
}

/// Why a message is not in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// The last message of the subject is another one.
    Unexpected,
    /// The stream has no room.
    Full(String),
    /// It may be in the stream or not.
    Unknown(String),
}

/// Sequence of the message in the stream.
type Outcome = Result<u64, Refused>;

struct Waiting {
    message: Outgoing,
    done: oneshot::Sender<Outcome>,
}

/// The way into one stream.
#[derive(Clone)]
pub(super) struct Group(mpsc::Sender<Waiting>);

impl Group {
    /// For the stream; it ends with its last copy.
    pub(super) fn new(nats: &Nats, stream: &Stream) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let appender = Appender {
            way: Way {
                client: nats.client.clone(),
                context: nats.context.clone(),
            },
            // A stream of an older version takes no batches.
            batches: stream.cached_info().config.allow_atomic_publish,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            singles: 0,
            batch_runs: false,
        };
        tokio::spawn(appender.run(receiver));
        Self(sender)
    }

    /// Publishes; messages that were handed over in some order are stored in that order.
    pub(super) async fn publish(&self, message: Outgoing) -> Outcome {
        let ended = || Refused::Unknown("the connection is closed".to_owned());
        let (done, outcome) = oneshot::channel();
        let handed = self.0.send(Waiting { message, done }).await;
        handed.map_err(|_| ended())?;
        outcome.await.unwrap_or_else(|_| Err(ended()))
    }
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
                    match ended {
                        Ok(Ended::Single) => self.singles -= 1,
                        Ok(Ended::Batch) => self.batch_runs = false,
                        // Only the end of the runtime ends one of them early.
                        Err(_) => return,
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
            match self.running.join_next().await {
                Some(Ok(Ended::Single)) => self.singles -= 1,
                Some(Ok(Ended::Batch)) => self.batch_runs = false,
                _ => return,
            }
        }
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
                let stored = self.way.single(&message).await;
                self.singles += 1;
                self.running.spawn(async move {
                    answer(done, stored.await);
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
    let mut subjects = HashSet::new();
    let mut bytes = 0;
    let fits = waiting.iter().take(BATCH_MAX).take_while(|next| {
        bytes += next.message.payload.len();
        bytes <= BATCH_BYTES_MAX && subjects.insert(next.message.subject.clone())
    });
    let count = fits.count().max(1);
    waiting.drain(..count).collect()
}

/// Whoever does not wait any more reads the stream when it matters.
fn answer(done: oneshot::Sender<Outcome>, outcome: Outcome) {
    drop(done.send(outcome));
}

fn refused(error: &PublishError) -> Refused {
    let reason = kork::problem::chain(error);
    match error.kind() {
        PublishErrorKind::WrongLastSequence => Refused::Unexpected,
        _ if reason.contains("maximum") => Refused::Full(reason),
        _ => Refused::Unknown(reason),
    }
}

#[derive(Clone)]
struct Way {
    client: Client,
    context: jetstream::Context,
}

impl Way {
    /// Hands the message to the connection; what comes out waits for the server's answer.
    async fn single(&self, message: &Outgoing) -> impl Future<Output = Outcome> + use<> {
        let publish = PublishMessage::build()
            .headers(message.headers.clone())
            .payload(message.payload.clone())
            .expected_last_subject_sequence(message.expected);
        let sent = self.context.send_publish(message.subject.clone(), publish);
        let sent = sent.await;
        async move {
            let stored = async { sent?.await }.await;
            stored.map(|ack| ack.sequence).map_err(|e| refused(&e))
        }
    }

    /// All or nothing; when nothing, then each by itself, for only one of them may be wrong.
    async fn batch(&self, together: Vec<Waiting>) {
        let count = together.len() as u64;
        let outcome = match together.len() {
            ..BATCH_MIN => None,
            _ => self.together(&together).await,
        };
        match outcome {
            Some(Ok(last)) => {
                for (n, waiting) in (1..).zip(together) {
                    answer(waiting.done, Ok(last + n - count));
                }
            }
            Some(Err(reason)) => {
                for waiting in together {
                    answer(waiting.done, Err(Refused::Unknown(reason.clone())));
                }
            }
            None => {
                let mut each = Vec::with_capacity(together.len());
                for Waiting { message, done } in together {
                    let stored = self.single(&message).await;
                    each.push(async move { answer(done, stored.await) });
                }
                join_all(each).await;
            }
        }
    }

    /// Sequence of the last one; `None` when the server took none; an error when nobody knows.
    async fn together(&self, together: &[Waiting]) -> Option<Result<u64, String>> {
        let id = self.client.new_inbox().replace('.', "-");
        let mut answered = None;
        for (n, Waiting { message, .. }) in (1..).zip(together) {
            let mut headers = message.headers.clone();
            headers.insert(
                NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
                message.expected.to_string(),
            );
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", n.to_string());
            let (subject, payload) = (message.subject.clone(), message.payload.clone());
            if n < together.len() {
                let sent = self
                    .client
                    .publish_with_headers(subject, headers, payload)
                    .await;
                if sent.is_err() {
                    return None;
                }
            } else {
                headers.insert("Nats-Batch-Commit", "1");
                let asked = self
                    .client
                    .request_with_headers(subject, headers, payload)
                    .await;
                answered = Some(asked);
            }
        }
        let message = match answered? {
            Ok(message) => message,
            Err(error) => return Some(Err(kork::problem::chain(&error))),
        };
        match serde_json::from_slice::<Response<PublishAck>>(&message.payload) {
            Ok(Response::Ok(ack)) => Some(Ok(ack.sequence)),
            Ok(Response::Err { error }) => {
                tracing::debug!(%error, "a batch is refused, its messages go one by one");
                None
            }
            Err(error) => Some(Err(error.to_string())),
        }
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
