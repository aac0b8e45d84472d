//! The index that lists are served from: in the cache, and rebuilt when the cache lost it.
//!
//! Sorted indexes hold ids by build time: one per application, per pipeline, and per kind, and beside each
//! one of those that have not ended; and one per application of its pipelines. A row per execution holds
//! what filters need, and is written last: where it is, the indexes are. A row that is missing is read from
//! the execution itself.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{try_join, try_join_all},
    stream,
};
use kork::ports::CacheError;
use kork_model::{ExecutionId, ExecutionType, Status};
use orca_engine::State;
use serde::{Deserialize, Serialize};

use super::{Error, Shell, token};

/// Says that the index was built since the cache was last empty.
const BUILT: &str = "orca.index.built.3";
/// Ids that are read from an index in one go, at most and at least.
const PAGE: usize = 256;
const PAGE_MIN: usize = 16;
/// Times that the index is built when the cache is emptied meanwhile.
const REBUILDS_MAX: usize = 8;
/// Longest time that building it takes.
const BUILDING_MAX: Duration = Duration::from_hours(1);
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

impl Shell {
    pub(crate) async fn index_put(&self, state: &State) {
        if let Err(error) = self.try_index_put(state).await {
            tracing::warn!(execution.id = %state.execution.id, %error, "the index is rebuilt later");
            self.ports.cache.delete(BUILT).await.unwrap_or_default();
        }
    }

    async fn try_index_put(&self, state: &State) -> Result<(), CacheError> {
        self.try_index_put_row(&state.execution.id, &Row::of(state))
            .await
    }

    /// Puts an ended execution of the archive into the index, as [`Self::index_put`] does.
    pub(crate) async fn index_put_row(&self, id: &ExecutionId, row: &Row) {
        if let Err(error) = self.try_index_put_row(id, row).await {
            tracing::warn!(execution.id = %id, %error, "it is put into the index when it is read");
        }
    }

    async fn try_index_put_row(&self, id: &ExecutionId, row: &Row) -> Result<(), CacheError> {
        let cache = &self.ports.cache;
        let ended = row.status.is_complete();
        let put = row.indexes().into_iter().map(|index| async move {
            cache.index_put(&index, id.as_str(), row.built).await?;
            let open = open(&index);
            if ended {
                cache.index_remove(&open, id.as_str()).await
            } else {
                cache.index_put(&open, id.as_str(), row.built).await
            }
        });
        let pipeline = async {
            if row.kind == ExecutionType::Pipeline {
                let member = row.config.as_deref().unwrap_or(NO_CONFIG);
                let index = pipelines_of(&row.application);
                cache.index_put(&index, member, row.built).await?;
            }
            Ok(())
        };
        try_join(try_join_all(put), pipeline).await?;
        let body = serde_json::to_vec(row).unwrap_or_default();
        cache.put(&row_key(id), Bytes::from(body), None).await
    }

    /// Puts executions into the index that are not in it as they are.
    pub(crate) async fn index_put_missing(&self, states: &[Arc<State>]) {
        let keys: Vec<String> = states.iter().map(|s| row_key(&s.execution.id)).collect();
        let stored = self.ports.cache.get_many(&keys).await;
        let stored = stored.unwrap_or_else(|_| vec![None; states.len()]);
        for (state, stored) in states.iter().zip(stored) {
            let row = stored.and_then(|body| serde_json::from_slice::<Row>(&body).ok());
            if row != Some(Row::of(state)) {
                self.index_put_newest(&state.execution.id).await;
            }
        }
    }

    /// Puts an execution into the index as it is now.
    pub(crate) async fn index_put_newest(&self, id: &ExecutionId) {
        // What is read here must not be put over what is written meanwhile.
        let _one_at_a_time = self.lock(id).await;
        match self.load(id).await {
            Ok(loaded) if loaded.state.execution.id == *id => self.index_put(&loaded.state).await,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(execution.id = %id, error = %error.problem(), "it is put into the index when it is read");
            }
        }
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

    /// Builds the whole index from the logs and the archive.
    pub(crate) async fn rebuild_index(self: &Arc<Self>) -> Result<(), Error> {
        let cache = &self.ports.cache;
        let away = |error| tracing::warn!(%error, "the cache does not answer");
        for _ in 0..REBUILDS_MAX {
            let mark = format!("orca.index.building.{}", self.ports.ids.ulid());
            let one = || Bytes::from_static(b"1");
            let marked = cache.put(&mark, one(), Some(BUILDING_MAX)).await;
            marked.unwrap_or_else(away);
            self.fill_index().await?;
            // Emptied in between, it lost what was put first.
            if matches!(cache.get(&mark).await, Ok(None)) {
                continue;
            }
            cache.put(BUILT, one(), None).await.unwrap_or_else(away);
            cache.delete(&mark).await.unwrap_or_else(away);
            break;
        }
        Ok(())
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
        let rows = live.chain(alone).map(|(id, etag)| async move {
            // What is read here must not be put over what is written meanwhile.
            let _one_at_a_time = self.lock(&id).await;
            match self.peek(&id).await {
                Ok(Some(state)) => {
                    self.index_put(&state).await;
                    if let Some(etag) = etag {
                        self.note_row(&id, etag, Row::of(&state));
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(execution.id = %id, error = %error.problem(), "not in the index");
                }
            }
        });
        stream::iter(rows)
            .buffer_unordered(READS_AT_ONCE)
            .collect::<()>()
            .await;
        Ok(())
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

    /// Ids of an index, newest first, that a row filter lets through: as many as are wanted.
    pub(crate) async fn newest(
        self: &Arc<Self>,
        index: &str,
        part: Part,
        wanted: usize,
        lets: impl Fn(&Row) -> bool,
    ) -> Result<Vec<ExecutionId>, Error> {
        self.ensure_index().await?;
        let mut walk = Walk::of(index, part);
        let mut found = Vec::new();
        while found.len() < wanted {
            let Some(page) = walk.page(self, wanted - found.len()).await else {
                break;
            };
            let of_page = page.into_iter().filter(|(_, row)| lets(row));
            found.extend(of_page.map(|(id, _)| id));
        }
        found.truncate(wanted);
        Ok(found)
    }

    /// The rows of these executions, in one go as far as they are there.
    async fn rows(&self, ids: Vec<ExecutionId>) -> Vec<(ExecutionId, Row)> {
        let keys: Vec<String> = ids.iter().map(row_key).collect();
        let stored = self.ports.cache.get_many(&keys).await;
        let stored = stored.unwrap_or_else(|_| vec![None; ids.len()]);
        let mut rows = Vec::with_capacity(ids.len());
        for (id, body) in ids.into_iter().zip(stored) {
            let row = body.and_then(|body| serde_json::from_slice(&body).ok());
            let row = match row {
                Some(row) => Some(row),
                None => self.missing_row(&id).await,
            };
            rows.extend(row.map(|row| (id, row)));
        }
        rows
    }

    async fn missing_row(&self, id: &ExecutionId) -> Option<Row> {
        let _one_at_a_time = self.lock(id).await;
        let state = self.peek(id).await.ok().flatten()?;
        self.index_put(&state).await;
        Some(Row::of(&state))
    }

    /// A cache that was flushed is filled again before it is read.
    pub(crate) async fn ensure_index(self: &Arc<Self>) -> Result<(), Error> {
        if !matches!(self.ports.cache.get(BUILT).await, Ok(None)) {
            return Ok(());
        }
        // Whoever comes meanwhile waits for the one that builds.
        let _one_at_a_time = self.index_building.lock().await;
        match self.ports.cache.get(BUILT).await {
            Ok(None) => self.rebuild_index().await,
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }
}

/// What of an index is gone through.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    All,
    /// What has not ended.
    Open,
}

/// A way through an index, newest first.
struct Walk {
    index: String,
    offset: usize,
}

impl Walk {
    fn of(index: &str, part: Part) -> Self {
        let index = match part {
            Part::All => index.to_owned(),
            Part::Open => open(index),
        };
        Self { index, offset: 0 }
    }

    /// The next executions, about as many as are wanted; `None` at the end.
    async fn page(&mut self, shell: &Shell, wanted: usize) -> Option<Vec<(ExecutionId, Row)>> {
        let size = wanted.clamp(PAGE_MIN, PAGE);
        let cache = &shell.ports.cache;
        let page = cache.index_newest(&self.index, self.offset, size).await;
        let page = page.unwrap_or_default();
        if page.is_empty() {
            return None;
        }
        self.offset += page.len();
        let ids = page.into_iter().map(|(id, _)| ExecutionId::from(id));
        Some(shell.rows(ids.collect()).await)
    }
}
