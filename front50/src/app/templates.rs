//! Pipeline templates (v2). One save stores the version that it names, the version `latest`, and a
//! version by digest that never changes.

use kork::{
    model::{Context, Problem},
    ports::Condition,
};
use serde_json::json;

use super::{Front50, bucket::WriteError, changes::Change};
use crate::domain::{ObjectType, template, text};

const TEMPLATE: ObjectType = ObjectType::PipelineTemplate;
const LATEST: Option<&str> = Some("latest");

impl Front50 {
    /// Creates a template, or replaces one; answers with what is stored under the named version.
    ///
    /// # Errors
    /// `Invalid` (wrong, or there already when it is to be created), `TooLarge`, `Unavailable`.
    pub async fn save_template(
        &self,
        document: &Context,
        tag: Option<&str>,
        create: bool,
        user: &str,
    ) -> Result<Context, Problem> {
        let id = template::submitted(document, tag, &self.limits)?;
        let named = template::stored_id(&id, tag, None)?;
        let saved = if create {
            self.create_version(document, tag, &named, user).await?
        } else {
            self.put_version(document, tag, &named, user).await?
        };
        // A save that breaks off here is made whole by the next one.
        if template::also_latest(tag) {
            let latest = template::stored_id(&id, LATEST, None)?;
            self.put_version(document, LATEST, &latest, user).await?;
        }
        self.keep_digest(document, &id, user).await?;
        Ok(saved)
    }

    async fn create_version(
        &self,
        document: &Context,
        tag: Option<&str>,
        stored_id: &str,
        user: &str,
    ) -> Result<Context, Problem> {
        let version = template::complete(document, tag, None, user, self.now_ms());
        if self.add(stored_id, version.clone()).await? {
            Ok(version)
        } else {
            Err(template::id_taken(stored_id))
        }
    }

    async fn put_version(
        &self,
        document: &Context,
        tag: Option<&str>,
        stored_id: &str,
        user: &str,
    ) -> Result<Context, Problem> {
        let now = self.now_ms();
        let make = |stored: Option<&Context>| {
            let version = template::complete(document, tag, stored, user, now);
            Ok(Some(version))
        };
        let entry = self.replace(TEMPLATE, stored_id, make).await?;
        Ok(entry.map(|entry| entry.body.clone()).unwrap_or_default())
    }

    async fn keep_digest(&self, document: &Context, id: &str, user: &str) -> Result<(), Problem> {
        let digest = template::content_digest(document);
        let stored_id = template::stored_id(id, None, Some(&digest))?;
        let mut version = template::complete(document, LATEST, None, user, self.now_ms());
        version.insert("digest".to_owned(), json!(digest));
        // The same content is there already: it stays as it is.
        self.add(&stored_id, version).await.map(|_| ())
    }

    /// Stores what is not there yet; says whether it was not.
    async fn add(&self, stored_id: &str, version: Context) -> Result<bool, Problem> {
        let _turn = self.lock(TEMPLATE, stored_id).await;
        match self
            .write(TEMPLATE, stored_id, version, Condition::IfAbsent)
            .await
        {
            Ok(entry) => {
                self.announce(TEMPLATE, stored_id, Change::Created, &entry.body)
                    .await;
                Ok(true)
            }
            Err(WriteError::Changed) => Ok(false),
            Err(WriteError::Refused(problem)) => Err(problem),
        }
    }

    /// Removes one version that no pipeline is made from; fine when there is none.
    ///
    /// # Errors
    /// `Invalid` while pipelines depend on it, `Unavailable`.
    pub async fn delete_template(
        &self,
        id: &str,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> Result<(), Problem> {
        let stored_id = template::stored_id(id, tag, digest)?;
        let dependents = self
            .shelf(ObjectType::Pipeline)
            .filter(|entry| template::is_made_from(&entry.body, &stored_id));
        let ids: Vec<&str> = dependents
            .iter()
            .map(|entry| text(&entry.body, "id").unwrap_or(&entry.id))
            .collect();
        if !ids.is_empty() {
            return Err(template::still_needed(&ids));
        }
        self.discard(TEMPLATE, &stored_id, |_| true).await?;
        Ok(())
    }
}
