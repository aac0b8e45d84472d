//! The topic on the store: a ring of the newest messages.
//!
//! Publishing costs no fsync: what a crash takes from the topic is told again from the journal. A
//! cursor that was given out never names another message, also after a crash.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use redb::ReadableTable;
use tokio::sync::oneshot;

use super::{
    is_under, oversized,
    store::{COUNTERS, DROPPED, MESSAGES, Mutation, Store, StoreError, unguard},
};
use crate::ports::{Cursor, Message, NewMessage, Start, Topic, TopicError, TopicStream};

/// Most messages that a subscription reads ahead.
const READ_AHEAD_MAX: usize = 256;
/// Most payload bytes that a subscription reads ahead.
const READ_AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most messages of other subjects that are passed over in one go.
const SCAN_MAX: usize = 4096;

pub(super) struct EmbeddedTopic {
    pub(super) store: Arc<Store>,
}

fn refused(error: &StoreError) -> TopicError {
    TopicError::Unavailable {
        reason: error.reason(),
    }
}

fn changed(cursor: u64) -> StoreError {
    StoreError::Corrupt(format!("message {cursor} is not what was written"))
}

impl EmbeddedTopic {
    /// The oldest kept cursor, or where the next one will come.
    fn oldest(&self) -> Result<Cursor, TopicError> {
        let read = self.store.read(|view| {
            Ok(view
                .open_table(MESSAGES)?
                .first()?
                .map(|(cursor, _)| cursor.value()))
        });
        Ok(Cursor(
            read.map_err(|error| refused(&error))?
                .unwrap_or(self.store.dropped() + 1),
        ))
    }
}

type Answer = oneshot::Receiver<Result<u64, StoreError>>;

impl EmbeddedTopic {
    async fn hand_over(
        &self,
        subject: &str,
        id: &str,
        payload: Bytes,
    ) -> Result<Answer, TopicError> {
        let too_large = oversized(subject, payload.len()).or_else(|| oversized(id, 0));
        if let Some((what, size, max)) = too_large {
            return Err(TopicError::TooLarge { what, size, max });
        }
        let (subject, id) = (subject.to_owned(), id.to_owned());
        let handed = self.store.hand_over(|reply| Mutation::Publish {
            subject,
            id,
            payload,
            reply,
        });
        handed.await.map_err(|error| refused(&error))
    }

    async fn stored(&self, answer: Answer) -> Result<Cursor, TopicError> {
        let outcome = self.store.outcome(answer).await;
        outcome.map(Cursor).map_err(|error| refused(&error))
    }
}

#[async_trait]
impl Topic for EmbeddedTopic {
    async fn publish(&self, subject: &str, id: &str, payload: Bytes) -> Result<Cursor, TopicError> {
        let answer = self.hand_over(subject, id, payload).await?;
        self.stored(answer).await
    }

    /// They are handed to the writer one behind the other, and then waited for: one commit takes many.
    async fn publish_all(&self, messages: &[NewMessage]) -> Result<(), TopicError> {
        let (mut handed, mut refused) = (Vec::with_capacity(messages.len()), Ok(()));
        for NewMessage {
            subject,
            id,
            payload,
        } in messages
        {
            match self.hand_over(subject, id, payload.clone()).await {
                Ok(answer) => handed.push(answer),
                Err(error) => {
                    refused = Err(error);
                    break;
                }
            }
        }
        for answer in handed {
            self.stored(answer).await?;
        }
        refused
    }

    async fn subscribe(
        &self,
        prefix: &str,
        start: Start,
    ) -> Result<Box<dyn TopicStream>, TopicError> {
        let (given_out, dropped) = (self.store.cursor().get(), self.store.dropped());
        let position = match start {
            Start::Now => given_out,
            Start::Oldest => dropped,
            // A cursor that was never given out comes from another data directory.
            Start::After(asked) if asked.0 < dropped || asked.0 > given_out => {
                return Err(TopicError::Expired {
                    asked,
                    oldest: self.oldest()?,
                });
            }
            Start::After(asked) => asked.0,
        };
        Ok(Box::new(Follower {
            prefix: prefix.to_owned(),
            position,
            ahead: VecDeque::new(),
            store: Arc::clone(&self.store),
        }))
    }

    async fn newest(&self) -> Result<Cursor, TopicError> {
        let read = self.store.read(|view| {
            Ok(view
                .open_table(MESSAGES)?
                .last()?
                .map(|(cursor, _)| cursor.value()))
        });
        Ok(Cursor(read.map_err(|error| refused(&error))?.unwrap_or(0)))
    }
}

struct Follower {
    prefix: String,
    /// Last cursor that was looked at.
    position: u64,
    ahead: VecDeque<Message>,
    store: Arc<Store>,
}

impl Follower {
    /// Reads on from the position; the cursor of the oldest kept message when some before it are gone.
    fn read_ahead(&mut self, newest: u64) -> Result<Option<u64>, StoreError> {
        let Self {
            prefix,
            ahead,
            position,
            ..
        } = self;
        self.store.read(|view| {
            let messages = view.open_table(MESSAGES)?;
            let dropped = view
                .open_table(COUNTERS)?
                .get(DROPPED)?
                .map_or(0, |row| row.value());
            if dropped > *position {
                *position = dropped;
                return Ok(Some(
                    messages
                        .first()?
                        .map_or(dropped + 1, |(key, _)| key.value()),
                ));
            }
            let mut bytes = 0;
            for (scanned, row) in messages.range(*position + 1..=newest)?.enumerate() {
                let (cursor, value) = row?;
                let (cursor, (subject, id, guarded)) = (cursor.value(), value.value());
                if is_under(subject, prefix) {
                    let payload = unguard(subject, cursor, guarded);
                    let payload = payload.ok_or_else(|| changed(cursor))?;
                    bytes += payload.len();
                    ahead.push_back(Message {
                        cursor: Cursor(cursor),
                        subject: subject.to_owned(),
                        id: id.to_owned(),
                        payload: Bytes::copy_from_slice(payload),
                    });
                }
                *position = cursor;
                let full = ahead.len() >= READ_AHEAD_MAX || bytes >= READ_AHEAD_BYTES_MAX;
                if full || scanned >= SCAN_MAX {
                    return Ok(None);
                }
            }
            *position = newest;
            Ok(None)
        })
    }
}

#[async_trait]
impl TopicStream for Follower {
    async fn next(&mut self) -> Result<Message, TopicError> {
        loop {
            if let Some(message) = self.ahead.pop_front() {
                return Ok(message);
            }
            let newest = self.store.cursor().beyond(self.position).await;
            let asked = Cursor(self.position);
            let expired = self.read_ahead(newest).map_err(|error| refused(&error))?;
            if let Some(oldest) = expired {
                return Err(TopicError::Expired {
                    asked,
                    oldest: Cursor(oldest),
                });
            }
        }
    }
}
