//! What was known of a watched thing, what was seen of it now, and what a person should know about it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use kork_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{git::SourceType, order};

/// What is known of one watched repository: to be stored after each poll, and given to the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cursor {
    /// By tag, or by whole name of a ref: the digest or the commit; none when it was never asked for.
    pub known: BTreeMap<String, Option<String>>,
    /// What decided which names are watched: patterns, in the words of the poll.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
    /// How often in a row the answer was empty, though something is known.
    #[serde(skip_serializing_if = "is_zero")]
    pub empty_polls: u32,
    /// Of a repository with more names than are kept: the oldest kept one. What is older and shows up
    /// later was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// Of a list that is longer than is read: its last name. What comes after it by letters was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<String>,
    /// The name whose digest was asked for last, when not all are asked for in each poll.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

impl Cursor {
    /// For a look with another scope: what was there already, but not watched, is no news. `was_watched` tells
    /// it of a name, by the scope of this cursor.
    pub(crate) fn within<'a>(
        &self,
        scope: &[String],
        names: impl Iterator<Item = &'a str>,
        was_watched: impl Fn(&str) -> bool,
    ) -> Cow<'_, Self> {
        if self.scope == scope {
            return Cow::Borrowed(self);
        }
        let mut cursor = self.clone();
        for name in names.filter(|name| !was_watched(name)) {
            cursor.known.entry(name.to_owned()).or_default();
        }
        Cow::Owned(cursor)
    }

    /// It was out of sight at the last look, rather than absent.
    pub(crate) fn was_out_of_sight(&self, name: &str) -> bool {
        let is_older = |floor: &String| order::by_age(name, floor).is_lt();
        self.floor.as_ref().is_some_and(is_older)
            || self.ceiling.as_deref().is_some_and(|last| name > last)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Whose names were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    Images(Images),
    Git(Refs),
}

/// The tags of a repository of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Name of the account in the configuration.
    pub account: String,
    /// Host, with a port that is not the scheme's own.
    pub registry: String,
    /// Path within the registry.
    pub repository: String,
    /// A tag that points to another digest is news.
    pub track_digests: bool,
}

/// The branches and tags of a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refs {
    /// Name of the repository in the configuration.
    pub name: String,
    pub source: SourceType,
    pub project: String,
    pub slug: String,
    /// `https://host/path`, without `.git`.
    pub url: String,
    /// `host[:port]/path`, without `.git`.
    pub place: String,
    /// Without `refs/heads/`, as far as the server tells.
    pub default_branch: Option<String>,
}

/// One look at a watched thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub what: Watched,
    pub at: Timestamp,
    /// By tag, or by whole name of a ref: the digest or the commit; none when it was not asked for or not told.
    pub found: BTreeMap<String, Option<String>>,
    /// As in [`Cursor`].
    pub scope: Vec<String>,
    /// Why `found` is not all there is, as in [`Cursor`].
    pub floor: Option<String>,
    pub ceiling: Option<String>,
    pub asked: Option<String>,
}

/// What a person should know about a poll that went on all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Warning {
    /// More is new than starts pipelines at once; `newest` of `new` did.
    TooManyNew { new: usize, newest: usize },
    /// Nothing is there any more, in the `polls`th poll in a row; after `of` that is believed.
    Empty { polls: u32, of: u32 },
    /// Nothing is there any more, and that is believed now: `forgotten` names.
    Emptied { forgotten: usize },
    /// There are more names than are looked at.
    TooManyNames { looked_at: usize },
    /// What is new could not all be asked for its digest; it will be, in the next poll.
    NotTold { names: usize, reason: String },
    /// Not every digest is asked for in each poll.
    InTurns { names: usize, per_poll: usize },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyNew { new, newest } => write!(
                f,
                "{new} names are new or changed, more than the limit of newestMax: only the {newest} newest by \
                 version count, in natural order, since a list does not tell times; the others are remembered"
            ),
            Self::Empty { polls, of } => write!(
                f,
                "nothing is there any more, which may be a fault of the server: believed after {of} polls, this \
                 is number {polls}"
            ),
            Self::Emptied { forgotten } => write!(
                f,
                "nothing was there for several polls: {forgotten} names are forgotten and are new when they \
                 come again"
            ),
            Self::TooManyNames { looked_at } => write!(
                f,
                "there are more names than are watched: the {looked_at} newest by version are, set a pattern \
                 that matches fewer"
            ),
            Self::NotTold { names, reason } => write!(
                f,
                "the digests of {names} names could not be had and are asked for again: {reason}"
            ),
            Self::InTurns { names, per_poll } => write!(
                f,
                "{names} names are asked for their digests in turns, {per_poll} in each poll: a changed one is \
                 seen after some polls, set a pattern that matches fewer or raise digestsPerPollMax"
            ),
        }
    }
}
