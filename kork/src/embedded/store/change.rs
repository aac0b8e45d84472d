//! The changes of the tables that one mutation makes.

use redb::ReadableTable;

use super::{
    StoreError,
    commit::{Batch, Counters},
    tables::{Tables, counter, guard},
};
use crate::ports::limit;

/// Dead letters kept per queue; older ones are dropped.
const DEAD_LETTERS_MAX: u64 = 10_000;

pub(super) fn purge(
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

pub(super) fn bury(
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
        let oldest = tables
            .dead
            .range(all)?
            .next()
            .transpose()?
            .map(|(key, _)| key.value().1);
        if let Some(oldest) = oldest {
            tables.dead.remove((queue, oldest))?;
        }
    }
    Ok(())
}

pub(super) fn publish(
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
    tables
        .messages
        .insert(cursor, (subject, id, bytes.as_slice()))?;
    tables.message_ids.insert(id, cursor)?;
    batch.counters.cursor = cursor;
    batch.changed = true;
    while redb::ReadableTableMetadata::len(&tables.messages)? > limit::TOPIC_MESSAGES_MAX as u64 {
        let Some((oldest, row)) = tables.messages.pop_first()? else {
            break;
        };
        tables.message_ids.remove(row.value().1)?;
        batch.counters.dropped = oldest.value();
    }
    Ok(cursor)
}

pub(super) fn write_counters(
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
