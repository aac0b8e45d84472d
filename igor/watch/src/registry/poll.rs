//! One look at one repository of images.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt as _, stream};
use kork_model::Timestamp;

use super::{
    client::Client,
    plan::{Effort, plan},
};
use crate::{
    Cursor, Error, Polled, Seen, Warning, Watched, cursor::Images, diff::diff, order,
    pattern::Pattern,
};

/// Digests that are asked for at the same time.
const ASKED_AT_ONCE: usize = 8;
/// Tags of one repository that are watched.
const TAGS_MAX: usize = 10_000;

/// Looks once for new tags, and changed digests if they are tracked, in one repository of the account.
///
/// `cursor` is that of the poll before; none at the first look, which fills it without a word, and so does a
/// poll that is given none to skip what is new. A repository
/// that is not there is an error and leaves the cursor as it is, even at the first look: registries say so too
/// of what one may not see, and all its tags would be new when that is put right.
pub async fn poll_registry(
    client: &Client,
    repository: &str,
    cursor: Option<&Cursor>,
    now: Timestamp,
) -> Result<Polled, Error> {
    let config = client.config();
    let repository = client.repository(repository)?;
    let listed = client.tags(&repository).await?;
    let ceiling = listed.tags.last().filter(|_| listed.cut).cloned();
    let watched = listed.tags.iter().map(String::as_str);
    let all: BTreeSet<&str> = watched.filter(|tag| client.watches(tag)).collect();
    let (names, floor) = newest(&all);
    let scope = vec![config.tag_pattern.clone().unwrap_or_default()];
    let cursor = cursor.map(|cursor| {
        let before = Pattern::new(cursor.scope.first().map(String::as_str));
        let was_watched = |name: &str| before.as_ref().is_ok_and(|before| before.matches(name));
        cursor.within(&scope, names.iter().copied(), was_watched)
    });
    let cursor = cursor.as_deref();
    let effort = Effort {
        track_digests: config.track_digests,
        newest_max: config.newest_max,
        digests_max: config.digests_per_poll_max,
    };
    let plan = plan(cursor, &names, effort);
    let told = ask(client, &repository, &plan.ask).await;

    let mut warnings = Vec::new();
    if floor.is_some() || ceiling.is_some() {
        let looked_at = names.len();
        warnings.push(Warning::TooManyNames { looked_at });
    }
    if plan.in_turns {
        warnings.push(Warning::InTurns {
            names: names.len(),
            per_poll: config.digests_per_poll_max,
        });
    }
    warnings.extend(told.warning(plan.ask.len()));
    let found = names
        .iter()
        .filter(|&&name| !told.gone.contains(name))
        .map(|&name| (name.to_owned(), told.digests.get(name).cloned()));
    let seen = Seen {
        found: found.collect(),
        what: Watched::Images(Images {
            account: config.name.clone(),
            registry: client.registry().to_owned(),
            repository,
            track_digests: config.track_digests,
        }),
        at: now,
        scope,
        floor,
        ceiling,
        asked: plan.last,
    };
    let diff = diff(cursor, &seen, &config.limits());
    warnings.extend(diff.warnings);
    Ok(Polled {
        events: diff.events,
        cursor: diff.cursor,
        warnings,
        not_before: told
            .problem
            .and_then(|error| error.retry_after_ms())
            .map(|ms| now.plus_ms(ms)),
    })
}

/// The digest that the tag of an image points to, for events that came without one. `image` is `host/path`
/// or the path in this registry.
///
/// # Errors
/// `NotFound` when there is no such tag, and all errors of a poll.
pub async fn resolve_digest(client: &Client, image: &str, tag: &str) -> Result<String, Error> {
    let found = client.digest(image, tag).await?;
    found.ok_or_else(|| Error::NotFound {
        what: format!("{image}:{tag}"),
        reason: "the registry does not have this tag".to_owned(),
    })
}

/// As many names as are watched, and the oldest of them when there are more.
fn newest<'a>(all: &BTreeSet<&'a str>) -> (BTreeSet<&'a str>, Option<String>) {
    if all.len() <= TAGS_MAX {
        return (all.clone(), None);
    }
    let kept = order::newest(all.iter().copied(), TAGS_MAX);
    let floor = kept.first().map(|&name| name.to_owned());
    (kept.into_iter().collect(), floor)
}

/// What came of asking for digests.
#[derive(Default)]
struct Told {
    digests: BTreeMap<String, String>,
    /// Listed, but not there any more.
    gone: BTreeSet<String>,
    problem: Option<Error>,
}

impl Told {
    fn warning(&self, asked: usize) -> Option<Warning> {
        let reason = self.problem.as_ref()?.to_string();
        let names = asked - self.digests.len() - self.gone.len();
        Some(Warning::NotTold { names, reason })
    }
}

/// Asks for some at a time. A tag that fails does not hold up the others, unless they would fail in the same
/// way: then none is asked any more.
async fn ask(client: &Client, repository: &str, tags: &[String]) -> Told {
    let mut told = Told::default();
    let stopped = AtomicBool::new(false);
    // Futures of a named function: those of a closure cannot be sent to another thread here.
    let calls: Vec<_> = tags
        .iter()
        .map(|tag| one(client, repository, tag, &stopped))
        .collect();
    let mut answers = stream::iter(calls).buffer_unordered(ASKED_AT_ONCE);
    while let Some((tag, answer)) = answers.next().await {
        match answer {
            None => {}
            Some(Ok(Some(digest))) => {
                told.digests.insert(tag.to_owned(), digest);
            }
            Some(Ok(None)) => {
                told.gone.insert(tag.to_owned());
            }
            Some(Err(error)) => {
                let is_for_all = matches!(
                    error,
                    Error::Throttled { .. } | Error::Unreachable { .. } | Error::Denied { .. }
                );
                told.problem = Some(error);
                stopped.fetch_or(is_for_all, Ordering::Relaxed);
            }
        }
    }
    told
}

/// The digest of one tag, unless it was decided to ask no more.
async fn one<'a>(
    client: &Client,
    repository: &str,
    tag: &'a str,
    stopped: &AtomicBool,
) -> (&'a str, Option<Result<Option<String>, Error>>) {
    if stopped.load(Ordering::Relaxed) {
        return (tag, None);
    }
    (tag, Some(client.digest(repository, tag).await))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever polls many repositories does so on many threads.
    #[expect(dead_code, reason = "it is enough that it compiles")]
    fn a_poll_can_be_spawned(client: &Client) {
        fn spawned(_: impl Future + Send) {}
        spawned(poll_registry(client, "", None, Timestamp(0)));
        spawned(resolve_digest(client, "", ""));
    }

    #[test]
    fn of_too_many_tags_the_newest_are_watched() {
        let names: Vec<_> = (0..TAGS_MAX + 5).map(|n| format!("1.{n}")).collect();
        let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let (kept, floor) = newest(&all);
        assert_eq!((kept.len(), floor.as_deref()), (TAGS_MAX, Some("1.5")));
        assert!(!kept.contains("1.4") && kept.contains("1.10004"));
        let few = all.iter().copied().take(TAGS_MAX).collect();
        assert_eq!(newest(&few), (few, None));
    }
}
