//! What a store holds in memory, read when it is opened, and the checks that come first.

use std::collections::{BTreeMap, HashMap};

use redb::ReadableTable;

use super::{
    CURSOR_GAP, StoreError,
    commit::Counters,
    mark::MARK_FILE,
    queues::Queues,
    tables::{FORMAT, Tables, counter},
};
use crate::model::Timestamp;

/// Bits of a lease's token that count within one run; above them is the number of the run.
const TOKEN_BITS: u32 = 32;

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
            let before = tables
                .records
                .range(..(subject.as_str(), 0))?
                .next_back()
                .transpose()?;
            last = before.map(|(key, _)| owned(key.value()));
            heads.insert(subject, revision);
        }
        let mut positions = HashMap::new();
        for row in tables.positions.iter()? {
            let (name, revision) = row?;
            positions.insert(name.value().to_owned(), revision.value());
        }
        let queues = Queues::new(counters.commits << TOKEN_BITS);
        for row in tables.queued.iter()? {
            let (key, value) = row?;
            let ((queue, sequence), (id, due, _)) = (key.value(), value.value());
            queues.insert(queue, sequence, id, Timestamp(due));
        }
        Ok(Self {
            heads,
            positions,
            queues,
            counters,
        })
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
        return Err(StoreError::Corrupt(format!(
            "its newest acknowledged commits are missing, it ends at {} and not at {marked}; restore \
             a backup, or remove the file {} to go on with what is left",
            counters.commits, MARK_FILE
        )));
    }
    // Opening is a commit too, so that no two runs begin with the same number.
    counters.commits += 1;
    tables.counters.insert(counter::COMMITS, counters.commits)?;
    if counters.cursor > 0 {
        counters.cursor += CURSOR_GAP;
        tables.counters.insert(counter::CURSOR, counters.cursor)?;
    }
    Ok(counters)
}
