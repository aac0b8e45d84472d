//! Finished executions: out of the log, into the object store.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use kork::ports::{Condition, Object, Revision};
use kork_model::ExecutionId;
use orca_engine::State;

use super::{Error, Shell, index::Row, results, states::Loaded, token};

/// Folder of archived executions in the object store.
const FOLDER: &str = "orca/executions/";

impl Shell {
    fn archive_key(id: &ExecutionId) -> String {
        format!("{FOLDER}{}.json", token(id.as_str()))
    }

    /// Answers with the state as it is in the archive now.
    pub(crate) async fn put_archive(self: &Arc<Self>, state: &Arc<State>) -> Result<Loaded, Error> {
        let id = &state.execution.id;
        let body = serde_json::to_vec(&**state).map_err(|source| Error::Unreadable {
            id: id.to_string(),
            source,
        })?;
        let bytes = body.len();
        let key = Self::archive_key(id);
        let put = self
            .ports
            .objects
            .put(&key, Bytes::from(body), Condition::Always)
            .await;
        let stored = put.map_err(|source| Error::Store {
            what: format!("archiving execution {id}"),
            source,
        })?;
        self.note_row(id, stored.etag.clone(), Row::of(state));
        Ok(archived(Arc::clone(state), bytes, stored.etag))
    }

    /// The archived state.
    pub(crate) async fn get_archive(&self, id: &ExecutionId) -> Result<Option<Loaded>, Error> {
        let Some(object) = self.archived_object(id).await? else {
            return Ok(None);
        };
        let state = serde_json::from_slice(&object.body).map_err(|source| Error::Unreadable {
            id: id.to_string(),
            source,
        })?;
        let bytes = object.body.len();
        Ok(Some(archived(Arc::new(state), bytes, object.info.etag)))
    }

    async fn archived_object(&self, id: &ExecutionId) -> Result<Option<Object>, Error> {
        let found = self.ports.objects.get(&Self::archive_key(id)).await;
        found.map_err(|source| Error::Store {
            what: format!("reading archived execution {id}"),
            source,
        })
    }

    /// Nobody has changed or deleted the archived execution since.
    pub(crate) async fn is_archived_so(&self, id: &ExecutionId, etag: &str) -> Result<bool, Error> {
        let found = self.archived_object(id).await?;
        Ok(found.is_some_and(|object| object.info.etag == etag))
    }

    /// All archived executions, with the etags of their objects.
    pub(crate) async fn archived(&self) -> Result<BTreeMap<ExecutionId, String>, Error> {
        let listed = self
            .ports
            .objects
            .list(FOLDER)
            .await
            .map_err(|source| Error::Store {
                what: "listing archived executions".to_owned(),
                source,
            })?;
        let ids = listed.into_iter().filter_map(|info| {
            let name = info.key.strip_prefix(FOLDER)?.strip_suffix(".json")?;
            (!name.contains('=')).then(|| (ExecutionId::from(name), info.etag))
        });
        Ok(ids.collect())
    }

    /// Moves a finished execution out of the log. Doing it twice, or after a restart of the
    /// execution has written on, does nothing.
    pub(crate) async fn archive(self: &Arc<Self>, id: &ExecutionId) -> Result<(), Error> {
        // Once the log is gone, nobody could publish what was not. At a stop the next start does it.
        let told = self.told_up_to(id);
        if !self.publisher.flush().await {
            return Ok(());
        }
        if self.states.get(id).is_none() && self.last(id).await? == Revision::NONE {
            // Another instance took it over too, and was faster.
            self.nothing_to_tell(id);
            return Ok(());
        }
        // Before the lock: what is started has one of its own.
        let known = self.load(id).await?;
        if known.state.execution.status.is_complete() && !known.archived {
            self.start_dependents(&known.state).await?;
        }
        let _one_at_a_time = self.lock(id).await;
        let Some(loaded) = self.told(id).await? else {
            return Ok(());
        };
        if loaded.revision != told && !self.publisher.flush().await {
            return Ok(());
        }
        // The next start puts what has a log into the index; nobody looks through the archive for it.
        self.index_has(&loaded.state).await?;
        if !self.has_started_dependents(&loaded.state) {
            // It was restarted and has ended again meanwhile.
            self.archiver.put(id);
            return Ok(());
        }
        if keeps_results(&loaded.state) {
            self.forget_results(id).await?;
        }
        self.forget_claim(&loaded.state).await?;
        let archived = self.put_archive(&loaded.state).await?;
        self.ports
            .journal
            .purge(&Self::subject(id), loaded.revision)
            .await
            .map_err(|source| Error::Journal {
                id: id.to_string(),
                source,
            })?;
        self.nothing_to_tell(id);
        self.forget_dependents(id);
        self.states.put(id, archived);
        Ok(())
    }

    /// What the log of a finished execution comes to, with all of it handed to the publisher. `None` when
    /// there is no log, or the execution goes on.
    async fn told(self: &Arc<Self>, id: &ExecutionId) -> Result<Option<Loaded>, Error> {
        let mut loaded = self.load(id).await?;
        let known = !loaded.archived && self.told_up_to(id) == loaded.revision;
        if !known || !self.is_newest(id, &loaded).await? {
            let mut entries = self.read_records(id).await?;
            // What is in memory was believed when it was read.
            if entries.last().map(|entry| entry.revision) != Some(loaded.revision) {
                entries = self.believed(id, entries).await?;
            }
            loaded = self.tell_entries(id, entries).await;
        }
        if loaded.revision == Revision::NONE {
            self.nothing_to_tell(id);
        }
        let ended = loaded.state.execution.status.is_complete();
        Ok((loaded.revision != Revision::NONE && ended).then_some(loaded))
    }

    /// Removes a finished execution for good.
    pub(crate) async fn erase(self: &Arc<Self>, id: &ExecutionId) -> Result<(), Error> {
        self.archive(id).await?;
        let _one_at_a_time = self.lock(id).await;
        self.ports
            .objects
            .erase(&Self::archive_key(id))
            .await
            .map_err(|source| Error::Store {
                what: format!("deleting execution {id}"),
                source,
            })?;
        self.states.forget(id);
        Ok(())
    }
}

fn archived(state: Arc<State>, bytes: usize, etag: String) -> Loaded {
    Loaded {
        state,
        revision: Revision::NONE,
        archived: true,
        etag,
        bytes,
        ..Loaded::default()
    }
}

/// Some of its work was of the kind whose first result is kept.
fn keeps_results(state: &State) -> bool {
    let mut tasks = state.meta.values().flat_map(|notes| &notes.tasks);
    tasks.any(|task| task.kind == results::KEPT)
}
