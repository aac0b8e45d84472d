//! Applications with their permissions, and everything that goes when one is deleted.

use std::sync::Arc;

use kork::model::{Context, Problem};

use super::{Front50, pipelines::fits, shelf::Entry};
use crate::domain::{ObjectType, application, limits, names, permission, problems, project, text};

impl Front50 {
    /// Every application with its permissions, by name.
    ///
    /// # Errors
    /// `TooLarge` when they do not fit into one answer.
    pub fn applications(&self) -> Result<Vec<Context>, Problem> {
        let entries = self.shelf(ObjectType::Application).filter(|_| true);
        let shown: Vec<Context> = entries
            .iter()
            .map(|entry| self.with_permissions(entry))
            .collect();
        fits(ObjectType::Application, &shown)?;
        Ok(shown)
    }

    /// One application by name, any case.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the stored bytes cannot be read.
    pub async fn application(&self, name: &str) -> Result<Context, Problem> {
        let entry = self.current(ObjectType::Application, name).await?;
        let entry =
            entry.ok_or_else(|| problems::not_found(format!("there is no application {name}")))?;
        self.current(ObjectType::ApplicationPermission, name)
            .await?;
        Ok(self.with_permissions(&entry))
    }

    fn with_permissions(&self, entry: &Entry) -> Context {
        let permission = self.shelf(ObjectType::ApplicationPermission).get(&entry.id);
        application::shown(
            &entry.body,
            permission.as_ref().map(|permission| &permission.body),
        )
    }

    /// Creates an application or merges into the stored one; answers with it and what was before.
    ///
    /// # Errors
    /// `Invalid` with pointers, `TooLarge`, `Unavailable`.
    pub async fn upsert_application(
        &self,
        members: Context,
        user: &str,
    ) -> Result<(Context, Option<Context>), Problem> {
        let draft = application::submitted(members, &self.limits)?;
        if let Some(roles) = &draft.permissions {
            // Refused members must leave the permissions alone, too.
            let found = self
                .bucket
                .read(ObjectType::Application, &draft.name)
                .await?;
            let stored = found.as_ref().and_then(|found| found.document());
            application::merged(&draft, stored, user, self.now_ms())?;
            // First, so that a new application is never there without its permissions.
            self.save_permissions(&draft.name, roles, user).await?;
        }
        let mut before = None;
        let stored = self
            .replace(ObjectType::Application, &draft.name, |stored| {
                before = stored.cloned();
                let merged = application::merged(&draft, stored, user, self.now_ms())?;
                let max = self.limits.document_bytes_max;
                crate::domain::pipeline::document_bytes("application", &merged, max)?;
                Ok(Some(merged))
            })
            .await?;
        let shown = stored
            .map(|entry| self.with_permissions(&entry))
            .unwrap_or_default();
        Ok((shown, before))
    }

    async fn save_permissions(
        &self,
        name: &str,
        roles: &Context,
        user: &str,
    ) -> Result<(), Problem> {
        self.replace(ObjectType::ApplicationPermission, name, |stored| {
            let same = stored.and_then(|stored| stored.get("permissions")).cloned()
                == Some(serde_json::Value::Object(roles.clone()));
            Ok((!same).then(|| permission::document(name, roles, user, self.now_ms())))
        })
        .await?;
        Ok(())
    }

    /// Deletes an application with its pipelines, strategies, notifications, project entries and
    /// permissions; fine when unknown. The application itself goes last, so that a delete that was
    /// cut short can be repeated. Answers with what it was.
    ///
    /// # Errors
    /// `Invalid` for an empty name, `Unavailable`.
    pub async fn delete_application(
        self: &Arc<Self>,
        name: &str,
        user: &str,
    ) -> Result<Option<Context>, Problem> {
        if let Some(error) = names::application("/name", name) {
            return Err(problems::invalid(error.detail.clone(), vec![error]));
        }
        let lower = name.trim().to_lowercase();
        for of in [ObjectType::Pipeline, ObjectType::Strategy] {
            let entries = self.shelf(of).filter(|entry| entry.application == lower);
            self.delete_all(of, entries).await?;
        }
        self.discard(ObjectType::Notification, &lower, |_| true)
            .await?;
        let mentions = |entry: &Entry| project::without(&entry.body, &lower, user, 0).is_some();
        for entry in self.shelf(ObjectType::Project).filter(mentions) {
            self.replace(ObjectType::Project, &entry.id, |stored| {
                Ok(stored.and_then(|it| project::without(it, &lower, user, self.now_ms())))
            })
            .await?;
        }
        let gone = self
            .discard(ObjectType::Application, &lower, |_| true)
            .await?;
        // Last of all: an application is never there without its permissions.
        self.discard(ObjectType::ApplicationPermission, &lower, |_| true)
            .await?;
        Ok(gone.map(|gone| gone.body))
    }

    /// Earlier versions of an application, newest first, also of a deleted one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn history(
        &self,
        of: ObjectType,
        id: &str,
        limit: u32,
    ) -> Result<Vec<Context>, Problem> {
        let limit = if limit == 0 {
            limits::HISTORY_DEFAULT
        } else {
            limit.min(limits::HISTORY_MAX)
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.bucket
            .history(of, id, limit, limits::ANSWER_BYTES_MAX)
            .await
    }

    /// The name of an application as it is asked for in orders.
    pub(crate) fn asked_name(application: &Context) -> Option<&str> {
        text(application, "name")
            .map(str::trim)
            .filter(|name| !name.is_empty())
    }
}
