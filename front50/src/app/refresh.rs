//! Loading the bucket, and finding what others wrote: by the groups' markers every few seconds, by
//! full listings as repair. Etags say what to read again, never times.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, PoisonError},
};

use kork::model::{Context, Problem};
use tokio::task::JoinSet;

use super::{Front50, PARALLEL_MAX, changes::Change};
use crate::domain::ObjectType;

/// How long the record of a finished piece of work is kept. An order that comes back later than
/// this was given up long ago.
const WORK_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

impl Front50 {
    /// Loads every type. Writes and announces nothing.
    ///
    /// # Errors
    /// `Unavailable`; call it again.
    pub async fn load(self: &Arc<Self>) -> Result<(), Problem> {
        for of in ObjectType::ALL {
            if let Some(marker) = self.bucket.marker(of).await? {
                self.saw_marker(of, marker);
            }
            self.relist(of, false).await?;
        }
        Ok(())
    }

    /// Lists every type anew, and clears old records.
    ///
    /// # Errors
    /// `Unavailable`; memory stays as it is.
    pub async fn repair(self: &Arc<Self>) -> Result<(), Problem> {
        for of in ObjectType::ALL {
            self.relist(of, true).await?;
        }
        let before = self.now_ms().saturating_sub(WORK_KEPT_MS);
        self.bucket.forget_work(before).await
    }

    /// Lists the groups whose marker has moved.
    ///
    /// # Errors
    /// `Unavailable`; memory stays as it is.
    pub async fn check_markers(self: &Arc<Self>) -> Result<(), Problem> {
        let mut moved = BTreeSet::new();
        for of in ObjectType::ALL {
            // Two types share a group.
            if moved.contains(of.group()) {
                self.relist(of, true).await?;
                continue;
            }
            if let Some(marker) = self.bucket.marker(of).await?
                && self.saw_marker(of, marker)
            {
                moved.insert(of.group());
                self.relist(of, true).await?;
            }
        }
        Ok(())
    }

    /// Remembers a marker; true when it is newer than the one known.
    pub(crate) fn saw_marker(&self, of: ObjectType, marker: u64) -> bool {
        let mut markers = self.markers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = markers.entry(of.group()).or_insert(0);
        let is_new = marker > *known;
        *known = marker.max(*known);
        is_new
    }

    /// Reads what the listing shows as changed; announces it when asked, under an id that is the
    /// same in every instance.
    async fn relist(self: &Arc<Self>, of: ObjectType, announce: bool) -> Result<(), Problem> {
        let known = self.shelf(of).etags();
        let listed = self.bucket.list(of).await?;
        let ids: HashSet<&str> = listed.iter().map(|(id, _)| id.as_str()).collect();
        let gone = known
            .keys()
            .filter(|id| !ids.contains(id.as_str()))
            .cloned();
        let changed = listed
            .iter()
            .filter(|(id, etag)| known.get(id) != Some(etag))
            .map(|(id, _)| id.clone());
        let mut waiting: Vec<String> = gone.chain(changed).collect();
        let mut running = JoinSet::new();
        let mut result = Ok(());
        loop {
            while running.len() < PARALLEL_MAX
                && result.is_ok()
                && let Some(id) = waiting.pop()
            {
                let this = Arc::clone(self);
                running.spawn(async move { this.reread(of, &id, announce).await });
            }
            match running.join_next().await {
                None => return result,
                Some(Ok(Err(problem))) => result = Err(problem),
                Some(_) => {}
            }
        }
    }

    async fn reread(&self, of: ObjectType, id: &str, announce: bool) -> Result<(), Problem> {
        let before = self.shelf(of).get(id);
        let now = self.refresh(of, id).await?;
        if !announce {
            return Ok(());
        }
        match (before, now) {
            (None, Some(now)) => {
                self.publish(of, id, Change::Created, &now.body, Some(&now.etag))
                    .await;
            }
            (Some(before), Some(now)) if before.etag != now.etag => {
                self.publish(of, id, Change::Updated, &now.body, Some(&now.etag))
                    .await;
            }
            (Some(before), None) => {
                let body: &Context = &before.body;
                self.publish(of, id, Change::Deleted, body, Some(&before.etag))
                    .await;
            }
            (Some(_) | None, _) => {}
        }
        Ok(())
    }
}
