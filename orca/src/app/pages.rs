//! Rows of archived executions, many to an object: what the index is built again from when the cache lost
//! it. Without them each archived execution would have to be read.
//!
//! A row counts when the listing of the archive has its execution with the same etag. So pages are never
//! changed and never wrong: what was archived again since, or stands in no page yet, is read by itself, and
//! then stands in a page.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use kork::ports::{Condition, ObjectStoreError};
use kork_model::ExecutionId;
use serde::{Deserialize, Serialize};

use super::{Error, Shell, index::Row};

/// Folder of the pages.
const FOLDER: &str = "orca/index/";
/// Rows of a page.
const ROWS: usize = 512;
/// Pages that are read at the same time.
const READS_AT_ONCE: usize = 8;

/// Rows that stand in no page yet.
#[derive(Default)]
pub(crate) struct Pages(Mutex<Vec<Entry>>);

/// What a page says of an execution.
#[derive(Serialize, Deserialize)]
pub(crate) struct Entry {
    id: ExecutionId,
    /// Of the archived execution that the row is of.
    etag: String,
    row: Row,
}

impl Shell {
    /// Notes a row of an execution that was archived, or read from there; now and then they become a page.
    pub(crate) fn note_row(self: &Arc<Self>, id: &ExecutionId, etag: String, row: Row) {
        let mut noted = self.pages.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = id.clone();
        noted.push(Entry { id, etag, row });
        if noted.len() < ROWS {
            return;
        }
        let page = std::mem::take(&mut *noted);
        drop(noted);
        let shell = Arc::clone(self);
        self.shutdown.spawn(async move {
            if let Err(error) = shell.put_page(&page).await {
                tracing::warn!(%error, "archived executions are read one by one when the cache is lost");
            }
        });
    }

    async fn put_page(&self, page: &[Entry]) -> Result<(), ObjectStoreError> {
        // They are made of strings and numbers, which JSON has.
        let body = serde_json::to_vec(page).unwrap_or_default();
        let key = format!("{FOLDER}{}.json", self.ports.ids.ulid());
        let objects = &self.ports.objects;
        let put = objects.put(&key, Bytes::from(body), Condition::IfAbsent);
        put.await.map(drop)
    }

    /// Puts the rows of all pages into the index whose executions are archived as these say, by their
    /// etags; what is left stands in no page.
    pub(crate) async fn index_put_pages(
        &self,
        mut archived: BTreeMap<ExecutionId, String>,
    ) -> Result<BTreeMap<ExecutionId, String>, Error> {
        let objects = &self.ports.objects;
        let failed = |source| Error::Store {
            what: "reading the index of archived executions".to_owned(),
            source,
        };
        let pages = objects.list(FOLDER).await.map_err(failed)?;
        let mut read = stream::iter(pages)
            .map(|page| async move { objects.get(&page.key).await })
            .buffered(READS_AT_ONCE);
        while let Some(page) = read.next().await {
            let Some(page) = page.map_err(failed)? else {
                continue;
            };
            let entries: Vec<Entry> = match serde_json::from_slice(&page.body) {
                Ok(entries) => entries,
                Err(error) => {
                    tracing::warn!(%error, page = page.info.key, "its executions are read one by one");
                    continue;
                }
            };
            let right = entries.into_iter().filter(|entry| {
                let is_right = archived.get(&entry.id) == Some(&entry.etag);
                if is_right {
                    archived.remove(&entry.id);
                }
                is_right
            });
            let right: Vec<Entry> = right.collect();
            let rows = right.iter().map(|entry| (&entry.id, &entry.row));
            let put = self.index_put_rows(rows).await;
            put.map_err(|source| Error::Index { source })?;
        }
        Ok(archived)
    }
}
