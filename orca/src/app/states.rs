//! States in memory, and how one is read when it is not there.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use kork::ports::Revision;
use kork_model::{ExecutionId, Kind, Problem};
use orca_engine::{State, evolve};

use super::{BATCH_VERSION, Batch, Error, Shell};

/// A state with the revision of the log that it is the fold of.
#[derive(Clone, Default)]
pub(crate) struct Loaded {
    pub state: Arc<State>,
    pub revision: Revision,
    /// It comes from the archive; there is no log.
    pub archived: bool,
}

/// The states that were used last. Never more than the configured number.
pub(crate) struct States {
    max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_id: HashMap<ExecutionId, (Loaded, u64)>,
    by_use: BTreeMap<u64, ExecutionId>,
    clock: u64,
}

impl States {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
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

    pub(crate) fn put(
        &self,
        id: &ExecutionId,
        state: Arc<State>,
        revision: Revision,
        archived: bool,
    ) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let loaded = Loaded {
            state,
            revision,
            archived,
        };
        if let Some((_, before)) = inner.by_id.insert(id.clone(), (loaded, now)) {
            inner.by_use.remove(&before);
        }
        inner.by_use.insert(now, id.clone());
        while inner.by_id.len() > self.max {
            let Some((_, oldest)) = inner.by_use.pop_first() else {
                break;
            };
            inner.by_id.remove(&oldest);
        }
    }

    pub(crate) fn forget(&self, id: &ExecutionId) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, used)) = inner.by_id.remove(id) {
            inner.by_use.remove(&used);
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
                Some(state) => Loaded {
                    state: Arc::new(state),
                    revision: Revision::NONE,
                    archived: true,
                },
                None => return Ok(loaded),
            }
        } else {
            loaded
        };
        self.states.put(
            id,
            Arc::clone(&loaded.state),
            loaded.revision,
            loaded.archived,
        );
        Ok(loaded)
    }

    pub(crate) async fn load_from_log(&self, id: &ExecutionId) -> Result<Loaded, Error> {
        let mut state = State::default();
        let mut revision = Revision::NONE;
        for (at, batch) in self.read_log(id).await? {
            state = batch.events.iter().fold(state, evolve);
            revision = at;
        }
        Ok(Loaded {
            state: Arc::new(state),
            revision,
            archived: false,
        })
    }

    /// All decisions of an execution's log, oldest first.
    pub(crate) async fn read_log(&self, id: &ExecutionId) -> Result<Vec<(Revision, Batch)>, Error> {
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
            batches.push((record.revision, batch));
        }
        Ok(batches)
    }
}
