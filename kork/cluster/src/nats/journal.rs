//! The journal on JetStream: a subject per log, compare-and-append by the subject's last sequence.

use async_nats::{
    HeaderMap,
    jetstream::stream::{DirectGetErrorKind, Stream},
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use kork::ports::{
    Journal, JournalError, Record, Revision, Subscription,
    limit::{MESSAGE_BYTES_MAX, oversized},
};

use super::{
    Nats, batch,
    follower::Follower,
    group::{Group, Outgoing},
    names,
    publish::Published,
};

/// Times that an append which a replicated stream refused without a reason is tried again.
pub(super) const UNSURE_MAX: usize = 5;

pub(crate) struct NatsJournal {
    nats: Nats,
    stream: Stream,
    group: Group,
    positions: Stream,
}

impl NatsJournal {
    pub(super) fn new(nats: Nats, stream: Stream, positions: Stream) -> Self {
        Self {
            group: Group::new(&nats, &stream),
            nats,
            stream,
            positions,
        }
    }

    fn subject(&self, name: &str) -> String {
        format!("{}{}", self.nats.subjects("journal"), names::subject(name))
    }

    fn name(&self, subject: &str) -> String {
        let base = self.nats.subjects("journal");
        names::name(subject.strip_prefix(&base).unwrap_or(subject))
    }
}

fn unavailable(error: &(impl std::error::Error + 'static)) -> JournalError {
    JournalError::Unavailable {
        reason: kork::problem::chain(error),
    }
}

fn check(name: &str, payload_bytes: usize) -> Result<(), JournalError> {
    match oversized(MESSAGE_BYTES_MAX, name, payload_bytes) {
        Some((what, size, max)) => Err(JournalError::TooLarge { what, size, max }),
        None => Ok(()),
    }
}

/// Sequence of the last message of a subject; 0 when there is none.
pub(super) async fn last(stream: &Stream, subject: &str) -> Result<u64, JournalError> {
    match stream.direct_get_last_for_subject(subject).await {
        Ok(message) => Ok(message.sequence),
        Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(0),
        Err(error) => Err(unavailable(&error)),
    }
}

#[async_trait]
impl Journal for NatsJournal {
    async fn append(
        &self,
        subject: &str,
        expected: Revision,
        payload: Bytes,
    ) -> Result<Revision, JournalError> {
        check(subject, payload.len())?;
        let full = self.subject(subject);
        for _ in 0..UNSURE_MAX {
            let message = Outgoing {
                subject: full.clone(),
                headers: HeaderMap::new(),
                payload: payload.clone(),
                expected: expected.0,
            };
            let published = self.group.publish(message).await;
            match published.map_err(|reason| JournalError::Unavailable { reason })? {
                Published::Stored(sequence) => return Ok(Revision(sequence)),
                Published::Refused { unsure: true } => {
                    // Records name who wrote them and when: the same bytes are the same append.
                    let next = self.read(subject, expected).await?.into_iter().next();
                    if let Some(own) = next.filter(|record| record.payload == payload) {
                        return Ok(own.revision);
                    }
                }
                Published::Refused { unsure: false } => {}
            }
            let actual = self.last(subject).await?;
            if actual != expected {
                return Err(JournalError::Conflict {
                    subject: subject.to_owned(),
                    expected,
                    actual,
                });
            }
            // A stream with replicas refuses a right append now and then, before it has settled.
        }
        Err(JournalError::Unavailable {
            reason: format!("{subject} is refused though its revision is as expected"),
        })
    }

    async fn read(&self, subject: &str, after: Revision) -> Result<Vec<Record>, JournalError> {
        let full = self.subject(subject);
        let mut records: Vec<Record> = Vec::new();
        let mut from = after.0.saturating_add(1);
        loop {
            let read = |_| batch::read(&self.nats.client, &self.stream, Some(&full), from);
            let (found, more) = self
                .nats
                .connections
                .again(read)
                .await
                .map_err(|reason| JournalError::Unavailable { reason })?;
            records.extend(found.into_iter().map(|found| Record {
                subject: subject.to_owned(),
                revision: Revision(found.sequence),
                payload: found.payload,
            }));
            match records.last() {
                Some(record) if more => from = record.revision.0 + 1,
                _ => return Ok(records),
            }
        }
    }

    async fn last(&self, subject: &str) -> Result<Revision, JournalError> {
        let subject = self.subject(subject);
        let ask = |_| last(&self.stream, &subject);
        self.nats.connections.again(ask).await.map(Revision)
    }

    async fn subjects(&self, prefix: &str) -> Result<Vec<String>, JournalError> {
        let base = self.nats.subjects("journal");
        let mut found = Vec::new();
        for filter in names::filters(&base, prefix) {
            let listed = self.stream.info_with_subjects(filter).await;
            let mut listed = listed.map_err(|e| unavailable(&e))?;
            while let Some(entry) = listed.next().await {
                let (subject, _) = entry.map_err(|e| unavailable(&e))?;
                found.push(self.name(&subject));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn purge(&self, subject: &str, up_to: Revision) -> Result<(), JournalError> {
        let purge = self.stream.purge().filter(self.subject(subject));
        let purged = purge.sequence(up_to.0.saturating_add(1)).await;
        purged.map(drop).map_err(|e| unavailable(&e))
    }

    async fn subscribe(
        &self,
        durable: &str,
        prefix: &str,
    ) -> Result<Box<dyn Subscription>, JournalError> {
        check(durable, 0)?;
        let failed = |reason| JournalError::Unavailable { reason };
        let position = format!("{}{}", self.nats.subjects("position"), names::word(durable));
        let stored = self.positions.direct_get_last_for_subject(&position).await;
        let behind = match stored {
            Ok(message) => String::from_utf8_lossy(&message.payload)
                .parse()
                .unwrap_or(0),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => 0,
            Err(error) => return Err(unavailable(&error)),
        };
        let opened = Follower::open(&self.nats, &self.stream, "journal", prefix).await;
        let mut follower = opened.map_err(failed)?;
        follower.start_behind(behind);
        Ok(Box::new(Following {
            base: self.nats.subjects("journal"),
            nats: self.nats.clone(),
            follower,
            position: Some(position),
        }))
    }

    async fn follow(&self, prefix: &str) -> Result<Box<dyn Subscription>, JournalError> {
        let failed = |reason| JournalError::Unavailable { reason };
        let opened = Follower::open(&self.nats, &self.stream, "journal", prefix).await;
        let mut follower = opened.map_err(failed)?;
        let info = self.stream.get_info().await.map_err(|e| unavailable(&e))?;
        follower.start_behind(info.state.last_sequence);
        Ok(Box::new(Following {
            base: self.nats.subjects("journal"),
            nats: self.nats.clone(),
            follower,
            position: None,
        }))
    }
}

struct Following {
    nats: Nats,
    base: String,
    follower: Follower,
    position: Option<String>,
}

#[async_trait]
impl Subscription for Following {
    async fn next(&mut self) -> Result<Record, JournalError> {
        loop {
            let next = self.follower.next().await;
            // Records that were purged before they were read are nobody's any more.
            if let Ok(found) = next.map_err(|reason| JournalError::Unavailable { reason })? {
                let subject = found.subject.strip_prefix(&self.base);
                return Ok(Record {
                    subject: names::name(subject.unwrap_or(&found.subject)),
                    revision: Revision(found.sequence),
                    payload: found.payload,
                });
            }
        }
    }

    async fn ack(&mut self, revision: Revision) -> Result<(), JournalError> {
        let Some(position) = self.position.clone() else {
            return Ok(());
        };
        let payload = Bytes::from(revision.0.to_string());
        let sent = self.nats.context.publish(position, payload).await;
        match async { sent?.await }.await {
            Ok(_) => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }
}
