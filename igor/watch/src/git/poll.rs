//! One look at one git repository.

use std::collections::BTreeMap;

use kork_model::Timestamp;

use super::{client::Client, watch::within};
use crate::{Cursor, Error, Polled, Seen, Warning, Watched, cursor, diff::diff, order};

/// Branches and tags of one repository that are watched.
const REFS_MAX: usize = 10_000;

/// Looks once for new commits of branches, new branches and new tags in a repository.
///
/// `cursor` is that of the poll before; none at the first look, which fills it without a word. Several commits
/// that were pushed to a branch between two looks are one event, with the last of them.
pub async fn poll_git(
    client: &Client,
    cursor: Option<&Cursor>,
    now: Timestamp,
) -> Result<Polled, Error> {
    let config = client.config();
    let refs = client.all().await?;
    if client.watch.needs_head() && refs.head.is_none() && !refs.commits.is_empty() {
        let reason = "it does not tell its default branch, set the pattern branches instead of defaultBranchOnly";
        return Err(Error::answer(client.place(), reason));
    }
    let scope = client.watch.scope(&refs);
    let is_watched = within(&scope);
    let default_branch = refs
        .head
        .as_deref()
        .and_then(|head| head.strip_prefix("refs/heads/"));
    let what = cursor::Refs {
        name: config.name.clone(),
        source: config.source,
        project: client.place.project.clone(),
        slug: client.place.slug.clone(),
        url: client.place.page.clone(),
        place: client.place.name.clone(),
        default_branch: default_branch.map(str::to_owned),
    };
    let mut found: BTreeMap<String, Option<String>> = refs
        .commits
        .into_iter()
        .filter(|(name, _)| is_watched(name))
        .map(|(name, commit)| (name, Some(commit)))
        .collect();
    let mut warnings = Vec::new();
    let mut floor = None;
    if found.len() > REFS_MAX {
        let mut kept = order::newest(found.keys().map(String::as_str), REFS_MAX);
        floor = kept.first().map(|&name| name.to_owned());
        kept.sort_unstable();
        let kept: Vec<_> = kept.into_iter().map(str::to_owned).collect();
        found.retain(|name, _| kept.binary_search(name).is_ok());
        let looked_at = REFS_MAX;
        warnings.push(Warning::TooManyNames { looked_at });
    }
    let cursor = cursor.map(|cursor| {
        let names = found.keys().map(String::as_str);
        cursor.within(&scope, names, within(&cursor.scope))
    });
    let seen = Seen {
        what: Watched::Git(what),
        at: now,
        found,
        scope,
        floor,
        ceiling: None,
        asked: None,
    };
    let diff = diff(cursor.as_deref(), &seen, &config.limits());
    warnings.extend(diff.warnings);
    Ok(Polled {
        events: diff.events,
        cursor: diff.cursor,
        warnings,
        not_before: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever polls many repositories does so on many threads.
    #[expect(dead_code, reason = "it is enough that it compiles")]
    fn a_poll_can_be_spawned(client: &Client) {
        fn spawned(_: impl Future + Send) {}
        spawned(poll_git(client, None, Timestamp(0)));
    }
}
