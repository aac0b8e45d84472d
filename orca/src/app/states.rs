//! States in memory, and how one is read when it is not there.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use kork::ports::Revision;
use kork_model::{ExecutionId, Kind, Problem, Shown};
use orca_engine::{Rejection, State, evolve};

use super::{BATCH_VERSION, Batch, Error, Shell};

/// A state with the revision of the log that it is the fold of.
#[derive(Clone, Default)]
pub(crate) struct Loaded {
    pub state: Arc<State>,
    pub revision: Revision,
    /// It comes from the archive; there is no log.
    pub archived: bool,
    /// Of the archived object.
    pub etag: String,
    /// The instance that wrote last, when that is known.
    pub by: String,
    /// Bytes of the log or the archived object that it was read from: about what it weighs.
    pub bytes: usize,
    /// The execution as lists show it, since somebody asked.
    pub shown: Arc<OnceLock<Shown>>,
}

impl Loaded {
    pub(crate) fn shown(&self) -> Result<Shown, serde_json::Error> {
        if let Some(shown) = self.shown.get() {
            return Ok(shown.clone());
        }
        let shown = Shown::of(&self.state.execution)?;
        Ok(self.shown.get_or_init(|| shown).clone())
    }
}

/// One decision in the log of an execution.
pub(crate) struct Entry {
    pub revision: Revision,
    pub bytes: usize,
    pub batch: Batch,
}

/// The states that were used last. Never more than the configured number, and never more than the
/// configured bytes (by what they weigh in the log) unless a single one does.
pub(crate) struct States {
    max: usize,
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_id: HashMap<ExecutionId, (Loaded, u64)>,
    by_use: BTreeMap<u64, ExecutionId>,
    clock: u64,
    bytes: usize,
}

impl States {
    pub(crate) fn new(max: usize, bytes_max: usize) -> Self {
        Self {
            max: max.max(1),
            bytes_max,
            inner: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, id: &ExecutionId) -> Option<Loaded> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let (loaded, used) = inner.by_id.get_mut(id)?;
        let before = std::mem::replace(used, now);
        let loaded = loaded.clone();
        inner.by_use.remove(&before);
        inner.by_use.insert(now, id.clone());
        Some(loaded)
    }

    pub(crate) fn put(&self, id: &ExecutionId, loaded: Loaded) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        inner.remove(id);
        inner.bytes += loaded.bytes;
        inner.by_id.insert(id.clone(), (loaded, now));
        inner.by_use.insert(now, id.clone());
        let full = |inner: &Inner| inner.by_id.len() > self.max || inner.bytes > self.bytes_max;
        while inner.by_id.len() > 1 && full(&inner) {
            let Some((_, oldest)) = inner
                .by_use
                .first_key_value()
                .map(|(n, id)| (*n, id.clone()))
            else {
                break;
            };
            inner.remove(&oldest);
        }
    }

    /// Nobody has written an execution under this id: it need not be looked for.
    pub(crate) fn is_new(&self, id: &ExecutionId) {
        self.put_if_absent(id, &Loaded::default());
    }

    pub(crate) fn put_if_absent(&self, id: &ExecutionId, loaded: &Loaded) {
        if self.get(id).is_none() {
            self.put(id, loaded.clone());
        }
    }

    /// Forgets a state that another instance has written on.
    pub(crate) fn forget_older(&self, id: &ExecutionId, revision: Revision) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let known = inner.by_id.get(id);
        if known.is_some_and(|(loaded, _)| loaded.archived || loaded.revision < revision) {
            inner.remove(id);
        }
    }

    pub(crate) fn forget(&self, id: &ExecutionId) {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }
}

impl Inner {
    fn remove(&mut self, id: &ExecutionId) {
        if let Some((loaded, used)) = self.by_id.remove(id) {
            self.by_use.remove(&used);
            self.bytes -= loaded.bytes;
        }
    }
}

impl Shell {
    /// Memory, else the log, else the archive; an empty state when there is no such execution.
    pub(crate) async fn load(&self, id: &ExecutionId) -> Result<Loaded, Error> {
        if let Some(loaded) = self.states.get(id) {
            return Ok(loaded);
        }
        let loaded = self.load_from_log(id).await?;
        let loaded = if loaded.revision == Revision::NONE {
            match self.get_archive(id).await? {
                Some(archived) => archived,
                None => return Ok(loaded),
            }
        } else {
            loaded
        };
        // Somebody who wrote meanwhile knows better than what was read.
        self.states.put_if_absent(id, &loaded);
        Ok(loaded)
    }

    pub(crate) async fn load_from_log(&self, id: &ExecutionId) -> Result<Loaded, Error> {
        Ok(folded(&self.read_log(id).await?))
    }

    /// All decisions of an execution's log, oldest first.
    pub(crate) async fn read_log(&self, id: &ExecutionId) -> Result<Vec<Entry>, Error> {
        let entries = self.read_records(id).await?;
        self.believed(id, entries).await
    }

    /// What was read, unless it is a record alone that the archive contradicts: whoever wrote it may have died
    /// before it could ask the archive.
    pub(crate) async fn believed(
        &self,
        id: &ExecutionId,
        entries: Vec<Entry>,
    ) -> Result<Vec<Entry>, Error> {
        let [created] = entries.as_slice() else {
            return Ok(entries);
        };
        if !created.batch.chosen {
            return Ok(entries);
        }
        match self.was_first(id, created.revision).await {
            Ok(()) => Ok(entries),
            Err(Error::Rejected(Rejection::AlreadyExists(_))) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The same, as they were written.
    pub(crate) async fn read_records(&self, id: &ExecutionId) -> Result<Vec<Entry>, Error> {
        let records = self
            .ports
            .journal
            .read(&Self::subject(id), Revision::NONE)
            .await;
        let records = records.map_err(|source| Error::Journal {
            id: id.to_string(),
            source,
        })?;
        let mut batches = Vec::with_capacity(records.len());
        for record in records {
            let batch: Batch =
                serde_json::from_slice(&record.payload).map_err(|source| Error::Unreadable {
                    id: id.to_string(),
                    source,
                })?;
            if batch.v != BATCH_VERSION {
                let text = format!(
                    "the log of execution {id} has version {}, this orca reads version \
                     {BATCH_VERSION}",
                    batch.v
                );
                return Err(Error::Problem(Box::new(Problem::new(
                    "ORCA-0009",
                    Kind::Bug,
                    text,
                ))));
            }
            batches.push(Entry {
                revision: record.revision,
                bytes: record.payload.len(),
                batch,
            });
        }
        Ok(batches)
    }
}

/// What a log comes to.
pub(crate) fn folded(entries: &[Entry]) -> Loaded {
    let events = entries.iter().flat_map(|entry| &entry.batch.events);
    let last = entries.last();
    Loaded {
        state: Arc::new(events.fold(State::default(), evolve)),
        revision: last.map_or(Revision::NONE, |entry| entry.revision),
        bytes: entries.iter().map(|entry| entry.bytes).sum(),
        by: last.map_or_else(String::new, |entry| entry.batch.by.clone()),
        ..Loaded::default()
    }
}
