//! What is new between two looks: the one place where it is decided. Pure.

use kork_model::inbound::InboundEvent;

use crate::{
    cursor::{Cursor, Seen, Warning, Watched},
    event::event,
    order,
};

/// How much one look may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events of one look; of more only the newest by version.
    pub newest_max: usize,
    /// Empty answers in a row until a repository that was full is believed to be empty.
    pub empty_polls_max: u32,
}

/// What a look brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    /// The oldest by version first.
    pub events: Vec<InboundEvent>,
    pub cursor: Cursor,
    pub warnings: Vec<Warning>,
}

/// Compares what is `seen` with what is known.
///
/// - The first look at all tells nothing: everything is old.
/// - A name that was not there is news, and so is another commit, and another digest where those are tracked,
///   but not the first digest that is learnt of an old name.
/// - A name that is gone is forgotten, and is news when it comes again.
/// - An empty answer about what was full is not believed until it came some times in a row.
/// - Of too much news the newest by version are told; the rest is known from then on.
/// - News without an identity is not told and not remembered: it is news again at the next look.
pub fn diff(cursor: Option<&Cursor>, seen: &Seen, limits: &Limits) -> Diff {
    let mut warnings = Vec::new();
    let Some(cursor) = cursor else {
        return Diff {
            events: Vec::new(),
            cursor: remembered(&Cursor::default(), seen),
            warnings,
        };
    };
    if seen.found.is_empty() && !cursor.known.is_empty() {
        let polls = cursor.empty_polls.saturating_add(1);
        if polls < limits.empty_polls_max {
            let of = limits.empty_polls_max;
            warnings.push(Warning::Empty { polls, of });
            let mut cursor = cursor.clone();
            cursor.empty_polls = polls;
            return Diff {
                events: Vec::new(),
                cursor,
                warnings,
            };
        }
        let forgotten = cursor.known.len();
        warnings.push(Warning::Emptied { forgotten });
    }
    let news = news(cursor, seen);
    let told = order::newest(news.iter().copied(), limits.newest_max);
    if news.len() > told.len() {
        let (new, newest) = (news.len(), told.len());
        warnings.push(Warning::TooManyNew { new, newest });
    }
    let mut events = Vec::with_capacity(told.len());
    let mut next = remembered(cursor, seen);
    for name in told {
        match seen.found.get(name) {
            Some(Some(identity)) => events.push(event(&seen.what, seen.at, name, identity)),
            Some(None) | None => {
                next.known.remove(name);
            }
        }
    }
    Diff {
        events,
        cursor: next,
        warnings,
    }
}

/// The names in `found` that were not there before.
pub(crate) fn new_names<'a>(
    cursor: &'a Cursor,
    found: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    found.filter(|name| !cursor.known.contains_key(*name) && !cursor.was_out_of_sight(name))
}

fn news<'a>(cursor: &'a Cursor, seen: &'a Seen) -> Vec<&'a str> {
    let told_by_identity = match &seen.what {
        Watched::Images(images) => images.track_digests,
        Watched::Git(_) => true,
    };
    let changed = |name: &&str| {
        told_by_identity
            && match (cursor.known.get(*name), seen.found.get(*name)) {
                (Some(Some(before)), Some(Some(now))) => before != now,
                _ => false,
            }
    };
    let names = || seen.found.keys().map(String::as_str);
    new_names(cursor, names())
        .chain(names().filter(changed))
        .collect()
}

/// All that is seen, and of what was not asked for now the identity from before.
fn remembered(cursor: &Cursor, seen: &Seen) -> Cursor {
    let known = seen.found.iter().map(|(name, identity)| {
        let before = || cursor.known.get(name).cloned().flatten();
        (name.clone(), identity.clone().or_else(before))
    });
    Cursor {
        known: known.collect(),
        scope: seen.scope.clone(),
        empty_polls: 0,
        floor: seen.floor.clone(),
        ceiling: seen.ceiling.clone(),
        asked: seen.asked.clone(),
    }
}

#[cfg(test)]
mod tests;
