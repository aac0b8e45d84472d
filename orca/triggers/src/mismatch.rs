//! The first thing about an event that a trigger does not want.

use std::borrow::Cow;

/// Most characters of a value that an explanation shows.
const SHOWN_MAX: usize = 200;

/// Cheap to make, since most triggers that are looked at do not match; words are made when asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mismatch<'a> {
    /// The event is of a kind that the trigger is never offered.
    Kind {
        wanted: &'a str,
        found: &'static str,
    },
    /// The value is another one, does not match, or is not there.
    Differs {
        field: Cow<'a, str>,
        wanted: Cow<'a, str>,
        found: Option<Cow<'a, str>>,
    },
    /// The pattern or range of the trigger is none.
    Bad {
        field: Cow<'a, str>,
        wanted: Cow<'a, str>,
        problem: String,
    },
}

impl<'a> Mismatch<'a> {
    pub(crate) fn differs(
        field: impl Into<Cow<'a, str>>,
        wanted: impl Into<Cow<'a, str>>,
        found: Option<impl Into<Cow<'a, str>>>,
    ) -> Self {
        Self::Differs {
            field: field.into(),
            wanted: wanted.into(),
            found: found.map(Into::into),
        }
    }

    /// Which member it is about.
    pub(crate) fn field(&self) -> &str {
        match self {
            Self::Kind { .. } => "type",
            Self::Differs { field, .. } | Self::Bad { field, .. } => field,
        }
    }

    pub(crate) fn wanted(&self) -> String {
        match self {
            Self::Kind { wanted, .. } => shown(wanted),
            Self::Differs { wanted, .. } | Self::Bad { wanted, .. } => shown(wanted),
        }
    }

    pub(crate) fn found(&self) -> Option<String> {
        match self {
            Self::Kind { found, .. } => Some((*found).to_owned()),
            Self::Differs { found, .. } => found.as_deref().map(shown),
            Self::Bad { .. } => None,
        }
    }

    /// The whole sentence.
    pub(crate) fn words(&self) -> String {
        let wanted = self.wanted();
        match self {
            Self::Kind { wanted, found } => {
                format!("triggers of type `{wanted}` do not listen to {found} events")
            }
            Self::Differs { field, .. } => match self.found() {
                Some(found) => format!("{field} is `{found}`, the trigger wants `{wanted}`"),
                None => format!("the event has no {field}, the trigger wants `{wanted}`"),
            },
            Self::Bad { field, problem, .. } => {
                format!("the trigger's {field} `{wanted}` can never match: {problem}")
            }
        }
    }
}

/// A value short enough to be read.
fn shown(text: &str) -> String {
    if text.chars().nth(SHOWN_MAX).is_none() {
        return text.to_owned();
    }
    text.chars().take(SHOWN_MAX).chain("...".chars()).collect()
}
