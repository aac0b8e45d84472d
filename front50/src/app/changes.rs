//! Tells everybody about a write: the group's marker for other readers of the bucket, an event for
//! the other services and for the other instances of this one.

use kork::{
    model::{Context, SuiteEvent, Timestamp, event::subject},
    ports::TopicError,
};
use serde_json::json;

use super::Front50;
use crate::domain::{ObjectType, text};

/// Tries to publish one event. What is lost after them is found by the marker.
const PUBLISH_TRIES_MAX: u32 = 3;

/// What happened to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    Updated,
    Deleted,
}

impl Change {
    const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

impl Front50 {
    /// Announces a write: marker, then event. Neither undoes the write when it fails.
    pub(crate) async fn announce(
        &self,
        of: ObjectType,
        id: &str,
        change: Change,
        document: &Context,
    ) {
        self.mark(of).await;
        self.publish(of, id, change, document, None).await;
    }

    /// Renews the marker of a group.
    pub(crate) async fn mark(&self, of: ObjectType) {
        let now = self.now_ms();
        self.saw_marker(of, now);
        if let Err(problem) = self.bucket.mark(of, now).await {
            tracing::warn!(group = of.group(), error = %problem, "the marker was not renewed");
        }
    }

    /// Publishes an event. `once` makes its id the same in every instance.
    pub(crate) async fn publish(
        &self,
        of: ObjectType,
        id: &str,
        change: Change,
        document: &Context,
        once: Option<&str>,
    ) {
        let shown = match of {
            // As it is spelled in the document; other types have keys of their own making.
            ObjectType::Pipeline | ObjectType::Strategy | ObjectType::Project => {
                text(document, "id").unwrap_or(id)
            }
            _ => id,
        };
        let application = match of {
            ObjectType::Application | ObjectType::ApplicationPermission => Some(id.to_owned()),
            _ => text(document, "application").map(str::to_owned),
        };
        let word = of.word();
        let event = SuiteEvent {
            id: once.map_or_else(
                || format!("{}.{}", self.instance, self.ids.ulid()),
                |etag| format!("front50.{word}.{id}.{}.{etag}", change.word()),
            ),
            kind: format!("front50:{word}:{}", change.word()),
            time: Timestamp(self.now_ms()),
            data: json!({
                "id": shown,
                "name": document.get("name"),
                "application": application,
                "updateTs": document.get("updateTs").or_else(|| document.get("lastModified")),
            }),
            application,
            subject: Some(shown.to_owned()),
        };
        if let Err(error) = self.send(of, &event).await {
            tracing::warn!(event = %event.kind, id = %id, error = %error, "an event was not published");
        }
    }

    async fn send(&self, of: ObjectType, event: &SuiteEvent) -> Result<(), TopicError> {
        let to = format!("{}{}", subject::FRONT50, of.word());
        let payload = serde_json::to_vec(event).map_err(|error| TopicError::Unavailable {
            reason: error.to_string(),
        })?;
        let mut tries = 1;
        loop {
            match self
                .topic
                .publish(&to, &event.id, payload.clone().into())
                .await
            {
                Ok(_) => return Ok(()),
                Err(_) if tries < PUBLISH_TRIES_MAX => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes over a change that another instance made, by reading its key. Own ones are known.
    pub async fn follow(&self, event: &SuiteEvent) {
        if event.id.starts_with(&self.instance) {
            return;
        }
        let word = event.kind.split(':').nth(1).unwrap_or_default();
        let (Some(of), Some(id)) = (ObjectType::from_word(word), &event.subject) else {
            return;
        };
        if let Err(problem) = self.refresh(of, id).await {
            tracing::warn!(event = %event.kind, id = %id, error = %problem, "a change was not read");
        }
    }
}
