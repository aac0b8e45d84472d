//! The topic on JetStream: a subject per message, so that an id is there once; the newest are kept.

use async_nats::{HeaderMap, jetstream::stream::Stream};
use async_trait::async_trait;
use bytes::Bytes;
use kork::ports::{
    Cursor, Message, NewMessage, Start, Topic, TopicError, TopicStream,
    limit::{MESSAGE_BYTES_MAX, oversized},
};

use super::{
    Nats,
    follower::{Follower, Gone},
    group::{Group, Outgoing},
    journal, names,
    publish::Published,
};

/// Header with the id of a message.
const ID: &str = "Gennaker-Id";

pub(crate) struct NatsTopic {
    nats: Nats,
    stream: Stream,
    group: Group,
}

fn unavailable(error: &(impl std::error::Error + 'static)) -> TopicError {
    TopicError::Unavailable {
        reason: kork::problem::chain(error),
    }
}

fn failed(reason: String) -> TopicError {
    TopicError::Unavailable { reason }
}

fn check(name: &str, payload_bytes: usize) -> Result<(), TopicError> {
    match oversized(MESSAGE_BYTES_MAX, name, payload_bytes) {
        Some((what, size, max)) => Err(TopicError::TooLarge { what, size, max }),
        None => Ok(()),
    }
}

fn expired(gone: &Gone) -> TopicError {
    TopicError::Expired {
        asked: Cursor(gone.asked),
        oldest: Cursor(gone.oldest),
    }
}

impl NatsTopic {
    pub(super) fn new(nats: Nats, stream: Stream) -> Self {
        Self {
            group: Group::new(&nats, &stream),
            nats,
            stream,
        }
    }

    fn outgoing(&self, subject: &str, id: &str, payload: Bytes) -> Result<Outgoing, TopicError> {
        check(subject, payload.len())?;
        check(id, 0)?;
        let base = self.nats.subjects("topic");
        let mut headers = HeaderMap::new();
        headers.insert(ID, names::word(id).as_str());
        Ok(Outgoing {
            subject: format!("{base}{}.{}", names::subject(subject), names::hashed(id)),
            headers,
            payload,
            expected: 0,
        })
    }
}

#[async_trait]
impl Topic for NatsTopic {
    async fn publish(&self, subject: &str, id: &str, payload: Bytes) -> Result<Cursor, TopicError> {
        let message = self.outgoing(subject, id, payload)?;
        for _ in 0..journal::UNSURE_MAX {
            let published = self.group.publish(message.clone()).await;
            match published.map_err(failed)? {
                Published::Stored(sequence) => return Ok(Cursor(sequence)),
                Published::Refused { .. } => {}
            }
            let known = journal::last(&self.stream, &message.subject).await;
            match known.map_err(|e| unavailable(&e))? {
                // A stream with replicas refuses now and then what it does not have.
                0 => {}
                sequence => return Ok(Cursor(sequence)),
            }
        }
        Err(failed(format!("{id} is refused though it is not there")))
    }

    async fn publish_all(&self, messages: &[NewMessage]) -> Result<(), TopicError> {
        // What is before one that is too large is published.
        let (mut right, mut refused) = (Vec::with_capacity(messages.len()), Ok(()));
        for message in messages {
            match self.outgoing(&message.subject, &message.id, message.payload.clone()) {
                Ok(message) => right.push(message),
                Err(error) => {
                    refused = Err(error);
                    break;
                }
            }
        }
        let mut published = 0;
        while published < right.len() {
            let first = self.group.publish_first(&right[published..]).await;
            let next = published + first.count;
            if !first.stored {
                for message in &messages[published..next] {
                    let payload = message.payload.clone();
                    self.publish(&message.subject, &message.id, payload).await?;
                }
            }
            published = next;
        }
        refused
    }

    async fn subscribe(
        &self,
        prefix: &str,
        start: Start,
    ) -> Result<Box<dyn TopicStream>, TopicError> {
        let opened = Follower::open(&self.nats, &self.stream, "topic", prefix).await;
        let mut follower = opened.map_err(failed)?;
        let info = self.stream.get_info().await.map_err(|e| unavailable(&e))?;
        let (oldest, newest) = (info.state.first_sequence, info.state.last_sequence);
        follower.start_behind(match start {
            Start::Now => newest,
            Start::Oldest => oldest.saturating_sub(1),
            Start::After(Cursor(asked)) => {
                if asked > newest || asked.saturating_add(1) < oldest {
                    return Err(expired(&Gone { asked, oldest }));
                }
                asked
            }
        });
        Ok(Box::new(Following {
            base: self.nats.subjects("topic"),
            follower,
        }))
    }

    async fn newest(&self) -> Result<Cursor, TopicError> {
        let info = self.stream.get_info().await.map_err(|e| unavailable(&e))?;
        Ok(Cursor(info.state.last_sequence))
    }
}

struct Following {
    base: String,
    follower: Follower,
}

#[async_trait]
impl TopicStream for Following {
    async fn next(&mut self) -> Result<Message, TopicError> {
        let found = match self.follower.next().await.map_err(failed)? {
            Ok(found) => found,
            Err(gone) => return Err(expired(&gone)),
        };
        let subject = found.subject.strip_prefix(&self.base);
        let subject = subject.unwrap_or(&found.subject);
        let subject = subject.rsplit_once('.').map_or(subject, |(name, _)| name);
        Ok(Message {
            cursor: Cursor(found.sequence),
            subject: names::name(subject),
            id: found
                .headers
                .get(ID)
                .map(|id| names::name(id.as_str()))
                .unwrap_or_default(),
            payload: found.payload,
        })
    }
}
