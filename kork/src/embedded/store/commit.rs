//! Applying a group of mutations in one transaction, and telling everybody how it went.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use redb::{Durability, ReadableTable};
use tokio::sync::oneshot;

use super::{
    CURSOR_GAP, LAZY_COMMITS_MAX, Lazy, Shared, StoreError, lock,
    mark::Mark,
    queues::Queues,
    tables::{FORMAT, Tables, counter, guard},
};
use crate::{
    model::Timestamp,
    ports::{Enqueued, limit},
};

/// Dead letters kept per queue; older ones are dropped.
const DEAD_LETTERS_MAX: u64 = 10_000;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// One change of the store, with where its answer goes.
pub(in crate::embedded) enum Mutation {
    Append { subject: String, expected: u64, payload: Bytes, reply: Reply<u64> },
    Purge { subject: String, up_to: u64, reply: Reply<()> },
    Enqueue { queue: Arc<str>, id: String, payload: Bytes, due: Timestamp, reply: Reply<Enqueued> },
    Bury { queue: Arc<str>, sequence: u64, id: String, reason: String, payload: Bytes, reply: Reply<()> },
    Publish { subject: String, id: String, payload: Bytes, reply: Reply<u64> },
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
        Self { counters, mark, lazy_commits: 0 }
    }
}

/// What a store holds in memory, read when it is opened.
pub(super) struct Loaded {
    pub(super) heads: BTreeMap<String, u64>,
    pub(super) positions: HashMap<String, u64>,
    pub(super) queues: Queues,
    pub(super) counters: Counters,
}

impl Loaded {
    pub(super) fn read(tables: &mut Tables<'_>, marked: Option<u64>) -> Result<Self, StoreError> {
        let counters = open_counters(tables, marked)?;
        let mut heads = BTreeMap::new();
        let mut last = tables.records.last()?.map(|(key, _)| owned(key.value()));
        // From the last key of a subject straight to the last key of the subject before it.
        while let Some((subject, revision)) = last {
            let before = tables.records.range(..(subject.as_str(), 0))?.next_back().transpose()?;
            last = before.map(|(key, _)| owned(key.value()));
            heads.insert(subject, revision);
        }
        let mut positions = HashMap::new();
        for row in tables.positions.iter()? {
            let (name, revision) = row?;
            positions.insert(name.value().to_owned(), revision.value());
        }
        let queues = Queues::new();
        for row in tables.queued.iter()? {
            let (key, value) = row?;
            let ((queue, sequence), (id, due, _)) = (key.value(), value.value());
            queues.insert(queue, sequence, id, Timestamp(due));
        }
        Ok(Self { heads, positions, queues, counters })
    }
}

fn owned((subject, revision): (&str, u64)) -> (String, u64) {
    (subject.to_owned(), revision)
}

fn open_counters(tables: &mut Tables<'_>, marked: Option<u64>) -> Result<Counters, StoreError> {
    let get = |key: &str| -> Result<Option<u64>, StoreError> {
        Ok(tables.counters.get(key)?.map(|value| value.value()))
    };
    let mut counters = Counters {
        revision: get(counter::REVISION)?.unwrap_or(0),
        sequence: get(counter::SEQUENCE)?.unwrap_or(0),
        cursor: get(counter::CURSOR)?.unwrap_or(0),
        dropped: get(counter::DROPPED)?.unwrap_or(0),
        commits: get(counter::COMMITS)?.unwrap_or(0),
    };
    match get(counter::FORMAT)? {
        None => {
            tables.counters.insert(counter::FORMAT, FORMAT)?;
        }
        Some(FORMAT) => {}
        Some(other) => {
            return Err(StoreError::Corrupt(format!(
                "it has format {other} and this version reads format {FORMAT}; use the version that wrote it"
            )));
        }
    }
    if let Some(marked) = marked.filter(|marked| *marked > counters.commits) {
        let lost = marked - counters.commits;
        return Err(StoreError::Corrupt(format!(
            "its last {lost} acknowledged commits are missing; restore a backup, or remove the file \
             {} to go on with what is left",
            super::mark::MARK_FILE
        )));
    }
    if counters.cursor > 0 {
        counters.cursor += CURSOR_GAP;
        tables.counters.insert(counter::CURSOR, counters.cursor)?;
    }
    Ok(counters)
}

/// What a group did so far; becomes visible only when its commit succeeds.
#[derive(Default)]
struct Batch {
    counters: Counters,
    heads: HashMap<String, u64>,
    enqueued: Vec<(Arc<str>, u64, String, Timestamp)>,
    /// (queue, id) of [`Self::enqueued`].
    ids: HashMap<(Arc<str>, String), ()>,
    buried: Vec<(Arc<str>, u64)>,
    answers: Vec<Box<dyn FnOnce(Option<&StoreError>) + Send>>,
    changed: bool,
    durable: bool,
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
        let mut batch = Batch { counters: committer.counters, durable, ..Batch::default() };
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
            write_counters(&mut tables, committer.counters, batch.counters)?;
        }
        let durability = if batch.durable { Durability::Immediate } else { Durability::None };
        transaction.set_durability(durability).map_err(redb::Error::from)?;
        transaction.commit()?;
        batch.changed = true;
        if batch.durable {
            committer.lazy_commits = 0;
            if let Some(Err(error)) = committer.mark.as_mut().map(|m| m.set(batch.counters.commits)) {
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
            Mutation::Append { subject, expected, payload, reply } => {
                let outcome = self.append(subject, expected, &payload, batch, tables);
                settle(batch, reply, outcome)
            }
            Mutation::Purge { subject, up_to, reply } => {
                let outcome = purge(subject, up_to, batch, tables);
                settle(batch, reply, outcome)
            }
            Mutation::Enqueue { queue, id, payload, due, reply } => {
                let outcome = self.enqueue(queue, id, &payload, due, batch, tables);
                settle(batch, reply, outcome)
            }
            Mutation::Bury { queue, sequence, id, reason, payload, reply } => {
                let outcome = bury(&queue, sequence, (&id, &reason, &payload), tables);
                batch.buried.push((queue, sequence));
                (batch.changed, batch.durable) = (true, true);
                settle(batch, reply, outcome)
            }
            Mutation::Publish { subject, id, payload, reply } => {
                let outcome = publish(&subject, &id, &payload, batch, tables);
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
        tables.records.insert((subject.as_str(), revision), bytes.as_slice())?;
        tables.order.insert(revision, subject.as_str())?;
        batch.counters.revision = revision;
        batch.heads.insert(subject, revision);
        (batch.changed, batch.durable) = (true, true);
        Ok(revision)
    }

    fn enqueue(
        &self,
        queue: Arc<str>,
        id: String,
        payload: &[u8],
        due: Timestamp,
        batch: &mut Batch,
        tables: &mut Tables<'_>,
    ) -> Result<Enqueued, StoreError> {
        let key = (Arc::clone(&queue), id);
        if batch.ids.contains_key(&key) || self.queues.contains(&queue, &key.1) {
            return Ok(Enqueued::Duplicate);
        }
        let max = limit::QUEUE_MESSAGES_MAX;
        // Counting the whole group is a little strict near the limit, and cheap.
        if self.queues.depth(&queue) + batch.enqueued.len() >= max {
            return Err(StoreError::Full { max });
        }
        let sequence = batch.counters.sequence + 1;
        let bytes = guard(&queue, sequence, payload);
        tables.queued.insert((&*queue, sequence), (key.1.as_str(), due.millis(), bytes.as_slice()))?;
        batch.counters.sequence = sequence;
        batch.enqueued.push((queue, sequence, key.1.clone(), due));
        batch.ids.insert(key, ());
        (batch.changed, batch.durable) = (true, true);
        Ok(Enqueued::New)
    }

    /// The commit succeeded: shows it to readers, then wakes those that wait.
    fn publish(&self, batch: &mut Batch, committer: &mut Committer) {
        let before = std::mem::replace(&mut committer.counters, batch.counters);
        let after = batch.counters;
        {
            let mut heads = self.heads.write().unwrap_or_else(std::sync::PoisonError::into_inner);
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
            self.dropped.send_replace(after.dropped);
        }
        if after.cursor != before.cursor {
            self.cursor.send_replace(after.cursor);
        }
        if after.revision != before.revision {
            self.revision.send_replace(after.revision);
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

fn purge(
    subject: String,
    up_to: u64,
    batch: &mut Batch,
    tables: &mut Tables<'_>,
) -> Result<(), StoreError> {
    let range = (subject.as_str(), 0)..=(subject.as_str(), up_to);
    let mut removed = Vec::new();
    for row in tables.records.extract_from_if(range, |_, _| true)? {
        removed.push(row?.0.value().1);
    }
    if removed.is_empty() {
        return Ok(());
    }
    for revision in removed {
        tables.order.remove(revision)?;
    }
    let rest = (subject.as_str(), 0)..=(subject.as_str(), u64::MAX);
    let last = tables.records.range(rest)?.next_back().transpose()?;
    let head = last.map_or(0, |(key, _)| key.value().1);
    batch.heads.insert(subject, head);
    (batch.changed, batch.durable) = (true, true);
    Ok(())
}

fn bury(
    queue: &str,
    sequence: u64,
    letter: (&str, &str, &[u8]),
    tables: &mut Tables<'_>,
) -> Result<(), StoreError> {
    tables.queued.remove((queue, sequence))?;
    tables.dead.insert((queue, sequence), letter)?;
    let all = (queue, 0)..=(queue, u64::MAX);
    let count = tables.dead.range(all.clone())?.count() as u64;
    if count > DEAD_LETTERS_MAX {
        let oldest = tables.dead.range(all)?.next().transpose()?.map(|(key, _)| key.value().1);
        if let Some(oldest) = oldest {
            tables.dead.remove((queue, oldest))?;
        }
    }
    Ok(())
}

fn publish(
    subject: &str,
    id: &str,
    payload: &[u8],
    batch: &mut Batch,
    tables: &mut Tables<'_>,
) -> Result<u64, StoreError> {
    if let Some(cursor) = tables.message_ids.get(id)? {
        return Ok(cursor.value());
    }
    let cursor = batch.counters.cursor + 1;
    let bytes = guard(subject, cursor, payload);
    tables.messages.insert(cursor, (subject, id, bytes.as_slice()))?;
    tables.message_ids.insert(id, cursor)?;
    batch.counters.cursor = cursor;
    batch.changed = true;
    while redb::ReadableTableMetadata::len(&tables.messages)? > limit::TOPIC_MESSAGES_MAX as u64 {
        let Some((oldest, row)) = tables.messages.pop_first()? else { break };
        tables.message_ids.remove(row.value().1)?;
        batch.counters.dropped = oldest.value();
    }
    Ok(cursor)
}

fn write_counters(
    tables: &mut Tables<'_>,
    before: Counters,
    after: Counters,
) -> Result<(), StoreError> {
    let all = [
        (counter::REVISION, before.revision, after.revision),
        (counter::SEQUENCE, before.sequence, after.sequence),
        (counter::CURSOR, before.cursor, after.cursor),
        (counter::DROPPED, before.dropped, after.dropped),
        (counter::COMMITS, before.commits, after.commits),
    ];
    for (key, before, after) in all {
        if before != after {
            tables.counters.insert(key, after)?;
        }
    }
    Ok(())
}
