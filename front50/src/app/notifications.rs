//! Notifications of an application, or the global ones.

use kork::model::{Context, Problem};

use super::Front50;
use crate::domain::{ObjectType, notification};

impl Front50 {
    /// Notifications of an application (`__global` for all); empty when there are none.
    ///
    /// # Errors
    /// `Conflict` when the stored bytes cannot be read.
    pub async fn notifications(&self, name: &str) -> Result<Context, Problem> {
        let entry = self.current(ObjectType::Notification, name).await?;
        Ok(entry.map(|entry| entry.body.clone()).unwrap_or_default())
    }

    /// Replaces them.
    ///
    /// # Errors
    /// `Invalid`, `TooLarge`, `Unavailable`.
    pub async fn save_notifications(
        &self,
        name: &str,
        members: Context,
        user: &str,
    ) -> Result<(), Problem> {
        let name = name.trim();
        let document = notification::document(name, members, user, self.now_ms(), &self.limits)?;
        self.replace(ObjectType::Notification, name, |_| {
            Ok(Some(document.clone()))
        })
        .await?;
        Ok(())
    }

    /// Removes them; fine when there are none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_notifications(&self, name: &str) -> Result<(), Problem> {
        self.discard(ObjectType::Notification, name.trim(), |_| true)
            .await?;
        Ok(())
    }
}
