//! Applying a group of mutations in one transaction, and telling everybody how it went.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use redb::Durability;
use tokio::sync::oneshot;

use super::{
    LAZY_COMMITS_MAX, Lazy, Shared, StoreError, change, lock,
    mark::Mark,
    tables::{Tables, guard},
};
use crate::{
    model::Timestamp,
    ports::{Enqueued, limit},
};

/// Tells a caller how it went, once it is known whether the commit failed.
type Answer = Box<dyn FnOnce(Option<&StoreError>) + Send>;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// One change of the store, with where its answer goes.
pub(in crate::embedded) enum Mutation {
    Append {
        subject: String,
        expected: u64,
        payload: Bytes,
        reply: Reply<u64>,
    },
    Purge {
        subject: String,
        up_to: u64,
        reply: Reply<()>,
    },
    Enqueue {
        queue: Arc<str>,
        id: String,
        payload: Bytes,
        due: Timestamp,
        reply: Reply<Enqueued>,
    },
    Bury {
        queue: Arc<str>,
        sequence: u64,
        id: String,
        reason: String,
        payload: Bytes,
        reply: Reply<()>,
    },
    Publish {
        subject: String,
        id: String,
        payload: Bytes,
        reply: Reply<u64>,
    },
}

/// Numbers that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) revision: u64,
    pub(super) sequence: u64,
    pub(super) cursor: u64,
    pub(super) dropped: u64,
    pub(super) commits: u64,
}

/// What only the one that commits needs.
pub(super) struct Committer {
    counters: Counters,
    mark: Option<Mark>,
    /// Commits without fsync since the last one with.
    lazy_commits: u32,
}

impl Committer {
    pub(super) fn new(counters: Counters, mark: Option<Mark>) -> Self {
        Self {
            counters,
            mark,
            lazy_commits: 0,
        }
    }
}

/// What a group did so far; becomes visible only when its commit succeeds.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) counters: Counters,
    pub(super) heads: HashMap<String, u64>,
    enqueued: Vec<(Arc<str>, u64, String, Timestamp)>,
    /// (queue, id) of [`Self::enqueued`].
    ids: HashSet<(Arc<str>, String)>,
    buried: Vec<(Arc<str>, u64)>,
    answers: Vec<Answer>,
    pub(super) changed: bool,
    pub(super) durable: bool,
}

impl Batch {
    /// Answers once it is known whether the commit succeeded. A refusal stays what it is.
    fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, outcome: Result<T, StoreError>) {
        self.answers.push(Box::new(move |failure| {
            let outcome = match failure {
                Some(error) => outcome.and(Err(error.clone())),
                None => outcome,
            };
            // Nobody waits any more: the caller was dropped.
            drop(reply.send(outcome));
        }));
    }
}

impl Shared {
    /// True when something is not on disk yet although nobody waits for it.
    pub(super) fn has_unsynced(&self) -> bool {
        lock(&self.lazy).len() > 0 || lock(&self.committer).lazy_commits > 0
    }

    /// Applies a group in one transaction; `durable`: with fsync even if no mutation asks for one.
    pub(super) fn commit(&self, group: Vec<Mutation>, durable: bool) {
        let mut committer = lock(&self.committer);
        let lazy = std::mem::take(&mut *lock(&self.lazy));
        let mut batch = Batch {
            counters: committer.counters,
            durable,
            ..Batch::default()
        };
        let outcome = self.write(group, &lazy, &mut batch, &mut committer);
        if let Err(error) = &outcome {
            tracing::error!(reason = %error.reason(), "the journal could not be written");
        } else if batch.changed {
            self.publish(&mut batch, &mut committer);
        }
        for answer in batch.answers {
            answer(outcome.as_ref().err());
        }
    }

    fn write(
        &self,
        group: Vec<Mutation>,
        lazy: &Lazy,
        batch: &mut Batch,
        committer: &mut Committer,
    ) -> Result<(), StoreError> {
        if group.is_empty() && lazy.len() == 0 && committer.lazy_commits == 0 {
            return Ok(());
        }
        let mut transaction = match self.db.begin_write() {
            Ok(transaction) => transaction,
            Err(error) => return refuse(group, batch, error.into()),
        };
        {
            let mut tables = match Tables::open(&transaction) {
                Ok(tables) => tables,
                Err(error) => return refuse(group, batch, error.into()),
            };
            self.apply_all(group, lazy, batch, &mut tables)?;
            let only_sync = batch.durable && committer.lazy_commits > 0;
            if !batch.changed && !only_sync {
                return Ok(());
            }
            batch.durable |= committer.lazy_commits >= LAZY_COMMITS_MAX;
            batch.counters.commits += u64::from(batch.durable);
            change::write_counters(&mut tables, committer.counters, batch.counters)?;
        }
        let durability = if batch.durable {
            Durability::Immediate
        } else {
            Durability::None
        };
        transaction
            .set_durability(durability)
            .map_err(redb::Error::from)?;
        transaction.commit()?;
        batch.changed = true;
        if batch.durable {
            committer.lazy_commits = 0;
            if let Some(Err(error)) = committer
                .mark
                .as_mut()
                .map(|m| m.set(batch.counters.commits))
            {
                // The commit stands; only a later damage would be noticed less surely.
                tracing::warn!(%error, "the journal's mark could not be written");
            }
        } else {
            committer.lazy_commits += 1;
        }
        Ok(())
    }

    fn apply_all(
        &self,
        group: Vec<Mutation>,
        lazy: &Lazy,
        batch: &mut Batch,
        tables: &mut Tables<'_>,
    ) -> Result<(), StoreError> {
        batch.changed = lazy.len() > 0;
        let mut failure = write_lazy(lazy, tables).err();
        for mutation in group {
            // A storage error dooms the transaction: the rest is only answered.
            let applied = match &failure {
                None => self.apply(mutation, batch, tables),
                Some(error) => refuse(vec![mutation], batch, StoreError::clone(error)),
            };
            failure = failure.or(applied.err());
        }
        failure.map_or(Ok(()), Err)
    }

    /// Applies one mutation. Refusals are answers; an error is one of the storage.
    fn apply(
        &self,
        mutation: Mutation,
        batch: &mut Batch,
        tables: &mut Tables<'_>,
    ) -> Result<(), StoreError> {
        match mutation {
            Mutation::Append {
                subject,
                expected,
                payload,
                reply,
            } => {
                let outcome = self.append(subject, expected, &payload, batch, tables);
                settle(batch, reply, outcome)
            }
            Mutation::Purge {
                subject,
                up_to,
                reply,
            } => {
                let outcome = change::purge(subject, up_to, batch, tables);
                settle(batch, reply, outcome)
            }
            Mutation::Enqueue {
                queue,
                id,
                payload,
                due,
                reply,
            } => {
                let outcome = self.enqueue((queue, id), &payload, due, batch, tables);
                settle(batch, reply, outcome)
            }
            Mutation::Bury {
                queue,
                sequence,
                id,
                reason,
                payload,
                reply,
            } => {
                let outcome = change::bury(&queue, sequence, (&id, &reason, &payload), tables);
                batch.buried.push((queue, sequence));
                (batch.changed, batch.durable) = (true, true);
                settle(batch, reply, outcome)
            }
            Mutation::Publish {
                subject,
                id,
                payload,
                reply,
            } => {
                let outcome = change::publish(&subject, &id, &payload, batch, tables);
                settle(batch, reply, outcome)
            }
        }
    }

    fn append(
        &self,
        subject: String,
        expected: u64,
        payload: &[u8],
        batch: &mut Batch,
        tables: &mut Tables<'_>,
    ) -> Result<u64, StoreError> {
        let head = batch.heads.get(&subject).copied();
        let actual = head.unwrap_or_else(|| self.heads().get(&subject).copied().unwrap_or(0));
        if actual != expected {
            return Err(StoreError::Conflict { actual });
        }
        let revision = batch.counters.revision + 1;
        let bytes = guard(&subject, revision, payload);
        tables
            .records
            .insert((subject.as_str(), revision), bytes.as_slice())?;
        tables.order.insert(revision, subject.as_str())?;
        batch.counters.revision = revision;
        batch.heads.insert(subject, revision);
        (batch.changed, batch.durable) = (true, true);
        Ok(revision)
    }

    fn enqueue(
        &self,
        key: (Arc<str>, String),
        payload: &[u8],
        due: Timestamp,
        batch: &mut Batch,
        tables: &mut Tables<'_>,
    ) -> Result<Enqueued, StoreError> {
        let queue = Arc::clone(&key.0);
        if batch.ids.contains(&key) || self.queues.contains(&queue, &key.1) {
            return Ok(Enqueued::Duplicate);
        }
        let max = limit::QUEUE_MESSAGES_MAX;
        // Counting the whole group is a little strict near the limit, and cheap.
        if self.queues.depth(&queue) + batch.enqueued.len() >= max {
            return Err(StoreError::Full { max });
        }
        let sequence = batch.counters.sequence + 1;
        let bytes = guard(&queue, sequence, payload);
        tables.queued.insert(
            (&*queue, sequence),
            (key.1.as_str(), due.millis(), bytes.as_slice()),
        )?;
        batch.counters.sequence = sequence;
        batch.enqueued.push((queue, sequence, key.1.clone(), due));
        batch.ids.insert(key);
        (batch.changed, batch.durable) = (true, true);
        Ok(Enqueued::New)
    }

    /// The commit succeeded: shows it to readers, then wakes those that wait.
    fn publish(&self, batch: &mut Batch, committer: &mut Committer) {
        let before = std::mem::replace(&mut committer.counters, batch.counters);
        let after = batch.counters;
        {
            let mut heads = self
                .heads
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            for (subject, revision) in batch.heads.drain() {
                if revision == 0 {
                    heads.remove(&subject);
                } else {
                    heads.insert(subject, revision);
                }
            }
        }
        for (queue, sequence) in batch.buried.drain(..) {
            self.queues.remove(&queue, sequence);
        }
        for (queue, sequence, id, due) in batch.enqueued.drain(..) {
            self.queues.insert(&queue, sequence, &id, due);
        }
        if after.dropped != before.dropped {
            self.dropped.store(after.dropped, Ordering::Release);
        }
        if after.cursor != before.cursor {
            self.cursor.set(after.cursor);
        }
        if after.revision != before.revision {
            self.revision.set(after.revision);
        }
    }
}

fn write_lazy(lazy: &Lazy, tables: &mut Tables<'_>) -> Result<(), StoreError> {
    for (queue, sequence) in &lazy.done {
        tables.queued.remove((&**queue, *sequence))?;
    }
    for (durable, revision) in &lazy.positions {
        tables.positions.insert(durable.as_str(), *revision)?;
    }
    Ok(())
}

/// Answers a mutation, and passes a storage error on.
fn settle<T: Send + 'static>(
    batch: &mut Batch,
    reply: Reply<T>,
    outcome: Result<T, StoreError>,
) -> Result<(), StoreError> {
    let storage = match &outcome {
        Err(error @ (StoreError::Unavailable(_) | StoreError::Corrupt(_))) => Err(error.clone()),
        Ok(_) | Err(StoreError::Conflict { .. } | StoreError::Full { .. }) => Ok(()),
    };
    batch.answer(reply, outcome);
    storage
}

fn refuse(group: Vec<Mutation>, batch: &mut Batch, error: StoreError) -> Result<(), StoreError> {
    for mutation in group {
        match mutation {
            Mutation::Append { reply, .. } | Mutation::Publish { reply, .. } => {
                batch.answer(reply, Err(error.clone()));
            }
            Mutation::Purge { reply, .. } | Mutation::Bury { reply, .. } => {
                batch.answer(reply, Err(error.clone()));
            }
            Mutation::Enqueue { reply, .. } => batch.answer(reply, Err(error.clone())),
        }
    }
    Err(error)
}
