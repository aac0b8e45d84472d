//! Projects: unique by name, fixed shape.

use std::sync::Arc;

use kork::model::{Context, Problem};

use super::{
    Front50, WRITE_TRIES_MAX, bucket::Found, bucket::WriteError, changes::Change, pipelines::fits,
    reservation::Name, shelf::Entry,
};
use crate::domain::{ObjectType, names, problems, project};

const PROJECT: ObjectType = ObjectType::Project;

impl Front50 {
    /// Every project, by name.
    ///
    /// # Errors
    /// `TooLarge` when they do not fit into one answer.
    pub fn projects(&self) -> Result<Vec<Context>, Problem> {
        let mut entries = self.shelf(PROJECT).filter(|_| true);
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let shown: Vec<Context> = entries.iter().map(|entry| entry.body.clone()).collect();
        fits(PROJECT, &shown)?;
        Ok(shown)
    }

    /// One project by id or name, any case.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the stored bytes cannot be read.
    pub async fn project(&self, id_or_name: &str) -> Result<Context, Problem> {
        let entry = self.find_project(id_or_name).await?;
        let entry = entry
            .ok_or_else(|| problems::not_found(format!("there is no project {id_or_name}")))?;
        Ok(entry.body.clone())
    }

    async fn find_project(&self, id_or_name: &str) -> Result<Option<Arc<Entry>>, Problem> {
        if let Some(entry) = self.current(PROJECT, id_or_name).await? {
            return Ok(Some(entry));
        }
        if let Some(known) = self.shelf(PROJECT).named("", id_or_name) {
            return self.current(PROJECT, &known.id).await;
        }
        let name = Name {
            of: PROJECT,
            application: "",
            name: id_or_name.trim(),
        };
        // While the bucket is away, memory is all there is.
        let Ok(Some(id)) = self.holder(&name).await else {
            return Ok(None);
        };
        let wanted = name.name.to_lowercase();
        Ok(self
            .current(PROJECT, &id)
            .await?
            .filter(|entry| entry.name == wanted))
    }

    /// Creates or replaces a project. `work` as in [`super::SavePipeline`].
    ///
    /// # Errors
    /// `Invalid`, `TooLarge`, `Unavailable`.
    pub async fn upsert_project(
        &self,
        document: Context,
        user: &str,
        work: Option<&str>,
    ) -> Result<Context, Problem> {
        let draft = project::submitted(document, &self.limits)?;
        let id = draft
            .id
            .clone()
            .unwrap_or_else(|| self.new_ids(work).uuid());
        let name = Name {
            of: PROJECT,
            application: "",
            name: &draft.name,
        };
        let _turn = self.lock(PROJECT, &id).await;
        for _ in 0..WRITE_TRIES_MAX {
            let found = self.bucket.read(PROJECT, &id).await?;
            let stored = found.as_ref().and_then(Found::document);
            let before = stored.map(|stored| Self::name_of(PROJECT, stored));
            let is_named_anew =
                before.is_none_or(|before| before.name.to_lowercase() != name.name.to_lowercase());
            if is_named_anew {
                self.reserve(&name, &id).await?;
            }
            let document = project::complete(&draft, stored, &id, user, self.now_ms());
            let condition = Self::unchanged(found.as_ref());
            let entry = match self.write(PROJECT, &id, document, condition).await {
                Ok(entry) => entry,
                Err(WriteError::Changed) => continue,
                Err(WriteError::Refused(problem)) => return Err(problem),
            };
            if is_named_anew && !self.still_holds(&name, &id).await? {
                self.take_back(PROJECT, &id, &entry, stored).await?;
                return Err(problems::name_taken(PROJECT, &draft.name, ""));
            }
            let change = if found.is_some() {
                Change::Updated
            } else {
                Change::Created
            };
            self.announce(PROJECT, &id, change, &entry.body).await;
            if let Some(before) = before.filter(|_| is_named_anew) {
                self.release(&before, &id).await;
            }
            return Ok(entry.body.clone());
        }
        Err(problems::contended(PROJECT, &id, WRITE_TRIES_MAX))
    }

    /// Removes a project by id, or by name; fine when unknown.
    ///
    /// # Errors
    /// `Invalid` for an empty id, `Unavailable`.
    pub async fn delete_project(&self, id_or_name: &str) -> Result<Option<Context>, Problem> {
        if let Some(error) = names::key_part("/id", "the project id", id_or_name) {
            return Err(problems::invalid(error.detail.clone(), vec![error]));
        }
        match self.find_project(id_or_name).await? {
            None => Ok(None),
            Some(entry) => self.delete_named(PROJECT, &entry).await,
        }
    }
}
