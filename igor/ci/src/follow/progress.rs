//! What a follower knows so far, in a form that survives its process.

use kork_model::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::server::{NOT_NUMBERED, Prepared, Started};

/// The member of a stage's context that holds it.
pub const PROGRESS_KEY: &str = "ciProgress";

/// How far a build is. Kept in the context of the stage; whoever goes on with the stage starts from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Set before a build is asked for: from then on it may exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepared: Option<Prepared>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Another execution waits for the same build.
    pub shared: bool,
    /// The server accepted the request without saying as what.
    pub accepted: bool,
    /// When following began, milliseconds since the epoch.
    pub since_ms: u64,
}

impl Progress {
    /// What an earlier follower left in the context of a stage; nothing when it cannot be read.
    pub fn of(context: &Context) -> Self {
        let kept = context.get(PROGRESS_KEY).cloned().unwrap_or_default();
        serde_json::from_value(kept).unwrap_or_default()
    }

    /// The members of the stage's context, with Spinnaker's names for what has one.
    pub fn shown(&self) -> Context {
        let mut context = Context::new();
        context.insert(PROGRESS_KEY.to_owned(), json!(self));
        if let Some(item) = self.item {
            context.insert("queuedBuild".to_owned(), json!(item));
        }
        if let Some(number) = self.number.filter(|number| *number != NOT_NUMBERED) {
            context.insert("buildNumber".to_owned(), json!(number));
        }
        if self.shared {
            context.insert("sharedBuild".to_owned(), json!(true));
        }
        context
    }

    /// A build exists, or may exist.
    pub const fn may_have_build(&self) -> bool {
        self.prepared.is_some() || self.item.is_some() || self.number.is_some()
    }

    /// A build was asked for and nothing says what came of it.
    pub(super) const fn is_open(&self) -> bool {
        self.prepared.is_some() && self.item.is_none() && self.number.is_none()
    }

    pub(super) fn started(&mut self, started: Started) {
        match started {
            Started::Queued { item, shared } => {
                self.item = Some(item);
                self.shared |= shared;
            }
            Started::Build {
                number,
                url,
                shared,
            } => {
                self.number = Some(number);
                self.url = Some(url);
                self.shared |= shared;
            }
            Started::Accepted => self.accepted = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_known_survives(item in any::<Option<u64>>(), number in any::<Option<u64>>(), shared: bool, since_ms: u64) {
            let prepared = Some(Prepared { first_number: since_ms, is_unique: shared, ..Prepared::default() });
            let progress = Progress { prepared, item, number, shared, since_ms, ..Progress::default() };
            prop_assert_eq!(Progress::of(&progress.shown()), progress);
        }

        #[test]
        fn what_cannot_be_read_is_nothing(text in "\\PC{0,12}") {
            let context = Context::from_iter([(PROGRESS_KEY.to_owned(), json!({ "item": text }))]);
            prop_assert_eq!(Progress::of(&context), Progress::default());
        }
    }
}
