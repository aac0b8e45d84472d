//! Reads and writes of single documents: memory and bucket together.

use std::{sync::Arc, time::Duration};

use kork::{
    model::{Context, Kind, Problem},
    ports::Condition,
};

use super::{
    Front50, WRITE_TRIES_MAX,
    bucket::{Found, WriteError},
    changes::Change,
    shelf::Entry,
};
use crate::domain::{ObjectType, problems};

/// How long a read waits for the object store before it answers from memory.
const READ_WAIT: Duration = Duration::from_secs(2);

impl Front50 {
    /// Reads a document anew and keeps it in memory.
    pub(crate) async fn refresh(
        &self,
        of: ObjectType,
        id: &str,
    ) -> Result<Option<Arc<Entry>>, Problem> {
        let shelf = self.shelf(of);
        for _ in 0..WRITE_TRIES_MAX {
            let turn = shelf.turn(id);
            let found = self.bucket.read(of, id).await?;
            if let Some(Err(reason)) = found.as_ref().map(|found| &found.body)
                && !shelf
                    .broken()
                    .iter()
                    .any(|(known, _)| *known == id.to_lowercase())
            {
                let key = self.bucket.layout.object(of, id);
                tracing::warn!(%key, %reason, "an object cannot be read and is left out");
            }
            if shelf.settle(id, turn, found) {
                break;
            }
        }
        Ok(shelf.get(id))
    }

    /// The document as the bucket has it, so that a save through any instance is seen at once; from
    /// memory while the bucket does not answer.
    pub(crate) async fn current(
        &self,
        of: ObjectType,
        id: &str,
    ) -> Result<Option<Arc<Entry>>, Problem> {
        match tokio::time::timeout(READ_WAIT, self.refresh(of, id)).await {
            Ok(Ok(Some(entry))) => Ok(Some(entry)),
            Ok(Ok(None)) => {
                let lower = id.to_lowercase();
                let broken = self.shelf(of).broken();
                match broken.iter().find(|(broken, _)| *broken == lower) {
                    None => Ok(None),
                    Some((_, reason)) => Err(problems::unreadable(
                        &self.bucket.layout.object(of, id),
                        reason,
                    )),
                }
            }
            Ok(Err(problem)) if problem.kind != Kind::Unavailable => Err(problem),
            Ok(Err(_)) | Err(_) => Ok(self.shelf(of).get(id)),
        }
    }

    /// The condition under which a version read before may be replaced.
    pub(crate) fn unchanged(found: Option<&Found>) -> Condition {
        found.map_or(Condition::IfAbsent, |found| {
            Condition::IfMatch(found.etag.clone())
        })
    }

    /// Writes a document under a condition and keeps it in memory. Announces nothing.
    pub(crate) async fn write(
        &self,
        of: ObjectType,
        id: &str,
        document: Context,
        condition: Condition,
    ) -> Result<Arc<Entry>, WriteError> {
        let (stored, size) = self.bucket.write(of, id, &document, condition).await?;
        Ok(self
            .shelf(of)
            .put(Entry::new(id, document, stored.etag, size)))
    }

    /// Replaces a document by what `make` makes of the current one; again when others were faster.
    /// `make` answers `None` to leave things as they are.
    pub(crate) async fn replace(
        &self,
        of: ObjectType,
        id: &str,
        mut make: impl FnMut(Option<&Context>) -> Result<Option<Context>, Problem> + Send,
    ) -> Result<Option<Arc<Entry>>, Problem> {
        let _turn = self.lock(of, id).await;
        for _ in 0..WRITE_TRIES_MAX {
            let found = self.bucket.read(of, id).await?;
            let Some(document) = make(found.as_ref().and_then(Found::document))? else {
                return Ok(None);
            };
            let change = if found.is_some() {
                Change::Updated
            } else {
                Change::Created
            };
            match self
                .write(of, id, document, Self::unchanged(found.as_ref()))
                .await
            {
                Ok(entry) => {
                    self.announce(of, id, change, &entry.body).await;
                    return Ok(Some(entry));
                }
                Err(WriteError::Changed) => {}
                Err(WriteError::Refused(problem)) => return Err(problem),
            }
        }
        Err(problems::contended(of, id, WRITE_TRIES_MAX))
    }

    /// Deletes a document if there is one and it still is what `wanted` says; answers with what was
    /// deleted.
    pub(crate) async fn discard(
        &self,
        of: ObjectType,
        id: &str,
        wanted: impl Fn(&Entry) -> bool + Send,
    ) -> Result<Option<Entry>, Problem> {
        let _turn = self.lock(of, id).await;
        for _ in 0..WRITE_TRIES_MAX {
            let Some(found) = self.bucket.read(of, id).await? else {
                self.shelf(of).remove(id);
                return Ok(None);
            };
            let etag = found.etag.clone();
            let document = found.body.unwrap_or_default();
            let entry = Entry::new(id, document, found.etag, found.size);
            if !wanted(&entry) {
                return Ok(None);
            }
            match self.bucket.delete(of, id, etag).await {
                Ok(()) => {
                    self.shelf(of).remove(id);
                    self.announce(of, id, Change::Deleted, &entry.body).await;
                    return Ok(Some(entry));
                }
                Err(WriteError::Changed) => {}
                Err(WriteError::Refused(problem)) => return Err(problem),
            }
        }
        Err(problems::contended(of, id, WRITE_TRIES_MAX))
    }
}
