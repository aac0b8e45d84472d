//! The index that lists are served from: in the cache, and rebuilt when the cache lost it.
//!
//! Sorted indexes hold ids by build time: one per application, per pipeline, and per kind, and beside each
//! one of those that have not ended; and one per application of its pipelines. A row per execution holds
//! what filters need, and is written last: where it is, the indexes are. A row that is missing is read from
//! the execution itself.
//!
//! What the cache does not take is remembered and put again ([`super::behind`]), and no execution leaves its
//! log before the index has it. So the index is whole, or it is empty and says so: a list that cannot be
//! whole is an error, never a shorter list.

use std::{
    collections::BTreeSet,
    sync::{Arc, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use kork::ports::{CacheError, Writes};
use kork_model::{ExecutionId, ExecutionType, Status};
use orca_engine::State;
use serde::{Deserialize, Serialize};

use super::{Error, Shell, token};

/// Names the build of the index that is in the cache. Only together with that build's own mark, which is
/// put before anything else, does it say that the cache was not emptied since.
const BUILT: &str = "orca.index.built.4";
/// Ids that are read from an index in one go, at most and at least.
const PAGE: usize = 256;
const PAGE_MIN: usize = 16;
/// Times that the index is built, and read, when the cache is emptied meanwhile.
pub(crate) const BUILDS_MAX: usize = 8;
/// Executions that are read at the same time when the index is built.
const READS_AT_ONCE: usize = 32;

/// What filters need to know about an execution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub application: String,
    pub config: Option<String>,
    pub name: Option<String>,
    pub status: Status,
    pub kind: ExecutionType,
    pub built: u64,
}

impl Row {
    pub(crate) fn of(state: &State) -> Self {
        let execution = &state.execution;
        Self {
            application: execution.application.clone(),
            config: execution.pipeline_config_id.clone(),
            name: execution.name.clone(),
            status: execution.status,
            kind: execution.kind,
            built: execution
                .build_time
                .map_or(0, kork_model::Timestamp::millis),
        }
    }

    fn write(&self, id: &ExecutionId, writes: &mut Writes) {
        let id_text = id.as_str();
        for index in self.indexes() {
            writes.index_put(&index, id_text, self.built);
            if self.status.is_complete() {
                writes.index_remove(&open(&index), id_text);
            } else {
                writes.index_put(&open(&index), id_text, self.built);
            }
        }
        if self.kind == ExecutionType::Pipeline {
            let member = self.config.as_deref().unwrap_or(NO_CONFIG);
            writes.index_put(&pipelines_of(&self.application), member, self.built);
        }
        let body = serde_json::to_vec(self).unwrap_or_default();
        writes.values.push((row_key(id), Bytes::from(body)));
    }

    fn indexes(&self) -> Vec<String> {
        let kind = match self.kind {
            ExecutionType::Pipeline => "pipelines",
            ExecutionType::Orchestration => "tasks",
        };
        let mut names = vec![
            format!("orca.{kind}"),
            by_application(self.kind, &self.application),
        ];
        if self.kind == ExecutionType::Pipeline {
            names.push(match self.config.as_deref() {
                Some(config) => by_config(config),
                None => without_config(&self.application),
            });
        }
        names
    }
}

/// The part of an index that has not ended.
fn open(index: &str) -> String {
    format!("{index}.open")
}

/// Index of one application.
pub(crate) fn by_application(kind: ExecutionType, application: &str) -> String {
    let kind = match kind {
        ExecutionType::Pipeline => "pipelines",
        ExecutionType::Orchestration => "tasks",
    };
    format!(
        "orca.{kind}.application.{}",
        token(&application.to_lowercase())
    )
}

/// Index of one pipeline.
pub(crate) fn by_config(config: &str) -> String {
    format!("orca.pipelines.config.{}", token(config))
}

/// Index of executions of an application that belong to no stored pipeline.
pub(crate) fn without_config(application: &str) -> String {
    format!(
        "{}.adhoc",
        by_application(ExecutionType::Pipeline, application)
    )
}

/// Index of the pipelines of an application that have run, by when they did; [`NO_CONFIG`] stands for
/// those that are not stored.
pub(crate) fn pipelines_of(application: &str) -> String {
    format!(
        "{}.pipelines",
        by_application(ExecutionType::Pipeline, application)
    )
}

/// In the index of pipelines: executions that belong to none. No pipeline has this id.
pub(crate) const NO_CONFIG: &str = "";

fn row_key(id: &ExecutionId) -> String {
    format!("orca.row.{id}")
}

/// The mark of one build of the index.
fn mark(build: &str) -> String {
    format!("orca.index.build.{build}")
}

/// The cache refused, so the index cannot be used.
fn away(source: CacheError) -> Error {
    Error::Index { source }
}

/// However often it was tried.
pub(crate) fn emptied() -> Error {
    away(CacheError::Unavailable {
        reason: format!("it was emptied {BUILDS_MAX} times while the index was built or read"),
    })
}

impl Shell {
    /// Puts an execution into the index as it is; when the cache refuses, later. Done under the lock of the
    /// execution: what is older must not be put over what is newer.
    pub(crate) async fn index_put(&self, state: &State) {
        let id = &state.execution.id;
        // A cache that does not answer keeps no execution waiting: one at a time tries whether it does again.
        if self.behind.is_any() {
            return self.behind.note(id);
        }
        if let Err(error) = self.try_index_put(state).await {
            tracing::warn!(execution.id = %id, %error, "it is put into the index later");
        }
    }

    /// The same, at once; what is refused is remembered all the same.
    async fn try_index_put(&self, state: &State) -> Result<(), CacheError> {
        let id = &state.execution.id;
        let put = self.index_put_rows([(id, &Row::of(state))]).await;
        match put {
            Ok(()) => self.behind.done(id),
            Err(_) => self.behind.note(id),
        }
        put
    }

    /// Puts rows into the index, in this order.
    pub(crate) async fn index_put_rows<'a>(
        &self,
        rows: impl IntoIterator<Item = (&'a ExecutionId, &'a Row)>,
    ) -> Result<(), CacheError> {
        let mut writes = Writes::default();
        for (id, row) in rows {
            row.write(id, &mut writes);
        }
        self.ports.cache.write(writes).await
    }

    /// Puts executions into the index that are not in it as they are.
    pub(crate) async fn index_put_missing(&self, states: &[Arc<State>]) {
        let keys: Vec<String> = states.iter().map(|s| row_key(&s.execution.id)).collect();
        let stored = self.ports.cache.get_many(&keys).await;
        let stored = stored.unwrap_or_else(|_| vec![None; states.len()]);
        let missing = states.iter().zip(stored).filter_map(|(state, stored)| {
            let row = stored.and_then(|body| serde_json::from_slice::<Row>(&body).ok());
            (row != Some(Row::of(state))).then_some(&state.execution.id)
        });
        let missing: Vec<&ExecutionId> = missing.collect();
        stream::iter(missing)
            .for_each_concurrent(READS_AT_ONCE, |id| self.index_put_newest(id))
            .await;
    }

    /// Puts an execution into the index as it is now; when that cannot be done, later.
    pub(crate) async fn index_put_newest(&self, id: &ExecutionId) {
        if let Err(error) = self.try_index_put_newest(id).await {
            tracing::warn!(execution.id = %id, error = %error.problem(), "it is put into the index later");
        }
    }

    /// The same, at once; what cannot be done now but perhaps later is remembered.
    pub(crate) async fn try_index_put_newest(&self, id: &ExecutionId) -> Result<(), Error> {
        // What is read here must not be put over what is written meanwhile.
        let _one_at_a_time = self.lock(id).await;
        match self.load(id).await {
            Ok(loaded) if loaded.state.execution.id == *id => {
                self.try_index_put(&loaded.state).await.map_err(away)
            }
            // Deleted meanwhile.
            Ok(_) => {
                self.behind.done(id);
                Ok(())
            }
            Err(error) if error.is_passing() => {
                self.behind.note(id);
                Err(error)
            }
            Err(error) => {
                tracing::error!(execution.id = %id, error = %error.problem(), "not in the index");
                self.behind.done(id);
                Ok(())
            }
        }
    }

    /// The index has the execution as it is, or the error says why not. Called under its lock.
    pub(crate) async fn index_has(&self, state: &State) -> Result<(), Error> {
        if !self.behind.has(&state.execution.id) {
            return Ok(());
        }
        self.try_index_put(state).await.map_err(away)
    }

    pub(crate) async fn index_remove(&self, state: &State) {
        let row = Row::of(state);
        let id = &state.execution.id;
        let indexes = row.indexes();
        let open: Vec<String> = indexes.iter().map(|index| open(index)).collect();
        for index in indexes.into_iter().chain(open) {
            let removed = self.ports.cache.index_remove(&index, id.as_str()).await;
            removed.unwrap_or_else(
                |error| tracing::warn!(%error, "the index keeps a deleted execution"),
            );
        }
        self.ports
            .cache
            .delete(&row_key(id))
            .await
            .unwrap_or_default();
    }

    /// Builds the whole index from the logs and the archive; the name of the build.
    async fn rebuild_index(self: &Arc<Self>) -> Result<Arc<str>, Error> {
        let cache = &self.ports.cache;
        for _ in 0..BUILDS_MAX {
            let build = self.ports.ids.ulid();
            let one = Bytes::from_static(b"1");
            cache.put(&mark(&build), one, None).await.map_err(away)?;
            let filled = self.fill_index().await;
            if filled.is_err() {
                cache.delete(&mark(&build)).await.unwrap_or_default();
            }
            filled?;
            let name = Bytes::from(build.clone());
            cache.put(BUILT, name, None).await.map_err(away)?;
            // Emptied in between, it lost what was put first.
            if self.has_build(&build).await? {
                return Ok(build.into());
            }
        }
        Err(emptied())
    }

    /// The name of the build that is in the cache, with its mark.
    async fn build(&self) -> Result<Option<Arc<str>>, Error> {
        let name = self.ports.cache.get(BUILT).await.map_err(away)?;
        let Some(name) = name.and_then(|name| String::from_utf8(name.into()).ok()) else {
            return Ok(None);
        };
        Ok(self.has_build(&name).await?.then(|| name.into()))
    }

    /// An error unless the cache can be asked.
    pub(crate) async fn cache_answers(&self) -> Result<(), Error> {
        self.build().await.map(drop)
    }

    /// This build is in the cache, which was not emptied since.
    async fn has_build(&self, build: &str) -> Result<bool, Error> {
        let keys = [BUILT.to_owned(), mark(build)];
        let found = self.ports.cache.get_many(&keys).await.map_err(away)?;
        Ok(matches!(&found[..], [Some(name), Some(_)] if name == build.as_bytes()))
    }

    async fn fill_index(self: &Arc<Self>) -> Result<(), Error> {
        // Before and after: one that is archived meanwhile is in the first, one that is restarted in the
        // second.
        let mut live = self.live().await?;
        let archived = self.archived().await?;
        let mut alone = self.index_put_pages(archived).await?;
        live.extend(self.live().await?);
        // A log that was not purged yet counts more than the archive.
        alone.retain(|id, _| !live.contains(id));
        let live = live.into_iter().map(|id| (id, None));
        let alone = alone.into_iter().map(|(id, etag)| (id, Some(etag)));
        stream::iter(live.chain(alone).map(Ok))
            .try_for_each_concurrent(READS_AT_ONCE, |(id, etag)| self.fill_one(id, etag))
            .await
    }

    async fn fill_one(
        self: &Arc<Self>,
        id: ExecutionId,
        etag: Option<String>,
    ) -> Result<(), Error> {
        let Some(row) = self.put_row_of(&id).await? else {
            return Ok(());
        };
        if let Some(etag) = etag {
            self.note_row(&id, etag, row);
        }
        Ok(())
    }

    /// Puts an execution into the index without keeping it in memory; none when there is none, or none
    /// that can be read.
    async fn put_row_of(&self, id: &ExecutionId) -> Result<Option<Row>, Error> {
        // What is read here must not be put over what is written meanwhile.
        let _one_at_a_time = self.lock(id).await;
        match self.peek(id).await {
            Ok(Some(state)) => {
                self.try_index_put(&state).await.map_err(away)?;
                Ok(Some(Row::of(&state)))
            }
            Ok(None) => Ok(None),
            Err(error) if error.is_passing() => Err(error),
            // One unreadable execution must not hide the others.
            Err(error) => {
                tracing::error!(execution.id = %id, error = %error.problem(), "not in the index");
                Ok(None)
            }
        }
    }

    /// Executions that have a log.
    async fn live(&self) -> Result<BTreeSet<ExecutionId>, Error> {
        let subjects = self.ports.journal.subjects("execution.").await;
        let subjects = subjects.map_err(|source| Error::Journal {
            id: "all".to_owned(),
            source,
        })?;
        let ids = subjects.iter().filter_map(|s| s.strip_prefix("execution."));
        Ok(ids.map(ExecutionId::from).collect())
    }

    /// Reads an execution without keeping it in memory.
    async fn peek(&self, id: &ExecutionId) -> Result<Option<Arc<State>>, Error> {
        let loaded = self.load_from_log(id).await?;
        if loaded.state.execution.id.as_str().is_empty() {
            return Ok(self.get_archive(id).await?.map(|found| found.state));
        }
        Ok(Some(loaded.state))
    }

    /// Executions on the way through an index, newest first, that a row filter lets through, with the status
    /// that their rows have: as many as are wanted.
    pub(crate) async fn newest(
        &self,
        mut walk: Walk,
        wanted: usize,
        lets: impl Fn(&Row) -> bool,
    ) -> Result<Vec<Candidate>, Error> {
        let mut found = Vec::new();
        while found.len() < wanted {
            let Some(page) = walk.page(self, wanted - found.len()).await? else {
                break;
            };
            let of_page = page.into_iter().filter(|(_, row)| lets(row));
            found.extend(of_page.map(|(id, row)| Candidate {
                id,
                status: Some(row.status),
                built: row.built,
            }));
        }
        found.truncate(wanted);
        Ok(found)
    }

    /// Members of an index, newest first.
    pub(crate) async fn members(
        &self,
        index: &str,
        offset: usize,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        let members = self.ports.cache.index_newest(index, offset, most).await;
        let members = members.map_err(away)?;
        Ok(members.into_iter().map(|(member, _)| member).collect())
    }

    /// The rows of these executions, in one go as far as they are there.
    async fn rows(&self, ids: Vec<ExecutionId>) -> Result<Vec<(ExecutionId, Row)>, Error> {
        let keys: Vec<String> = ids.iter().map(row_key).collect();
        let stored = self.ports.cache.get_many(&keys).await.map_err(away)?;
        let mut rows = Vec::with_capacity(ids.len());
        for (id, body) in ids.into_iter().zip(stored) {
            let row = body.and_then(|body| serde_json::from_slice(&body).ok());
            let row = match row {
                Some(row) => Some(row),
                None => self.put_row_of(&id).await?,
            };
            rows.extend(row.map(|row| (id, row)));
        }
        Ok(rows)
    }

    /// A cache that was flushed is filled again before it is read, and what it refused is put first.
    pub(crate) async fn ensure_index(self: &Arc<Self>) -> Result<Arc<str>, Error> {
        let build = if let Some(build) = self.build().await? {
            build
        } else {
            // Whoever comes meanwhile waits for the one that builds.
            let _one_at_a_time = self.index_building.lock().await;
            match self.build().await? {
                Some(build) => build,
                None => self.rebuild_index().await?,
            }
        };
        self.catch_up().await?;
        *self.known_build() = Some(Arc::clone(&build));
        Ok(build)
    }

    /// The build that is to be read, as far as this process knows: [`Self::was_whole`] finds out.
    pub(crate) async fn index_to_read(self: &Arc<Self>) -> Result<Arc<str>, Error> {
        let known = self.known_build().clone();
        match known {
            Some(build) if !self.behind.is_any() => Ok(build),
            _ => self.ensure_index().await,
        }
    }

    /// What was read of this build was all of it.
    pub(crate) async fn was_whole(&self, build: &str) -> Result<bool, Error> {
        let is_whole = self.has_build(build).await?;
        if !is_whole {
            *self.known_build() = None;
        }
        Ok(is_whole)
    }

    fn known_build(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        let known = self.index_build.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }
}

/// An execution of the index.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub id: ExecutionId,
    /// As its row has it; absent for one that was named and not looked for.
    pub status: Option<Status>,
    /// When it was made, in milliseconds since 1970. An id that follows from an event says nothing about it.
    pub built: u64,
}

/// What of an index is gone through.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    All,
    /// What has not ended.
    Open,
}

/// A way through an index, newest first.
pub(crate) struct Walk {
    index: String,
    offset: usize,
}

impl Walk {
    pub(crate) fn of(index: &str, part: Part) -> Self {
        let index = match part {
            Part::All => index.to_owned(),
            Part::Open => open(index),
        };
        Self { index, offset: 0 }
    }

    /// It begins behind so many.
    pub(crate) fn behind(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// The next executions, about as many as are wanted; `None` at the end.
    async fn page(
        &mut self,
        shell: &Shell,
        wanted: usize,
    ) -> Result<Option<Vec<(ExecutionId, Row)>>, Error> {
        let size = wanted.clamp(PAGE_MIN, PAGE);
        let page = shell.members(&self.index, self.offset, size).await?;
        if page.is_empty() {
            return Ok(None);
        }
        self.offset += page.len();
        let ids = page.into_iter().map(ExecutionId::from);
        Ok(Some(shell.rows(ids.collect()).await?))
    }
}
