//! Bitbucket Data Center and Server, once named Stash: changed references and pull requests.

use kork_model::Context;
use serde_json::Value;

use super::{Message, Read, Reading};
use crate::{
    field,
    git::{self, Change, Ref},
};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    match message.header("x-event-key") {
        Some("repo:refs_changed") => refs_changed(message, "repo:refs_changed"),
        Some(key @ "pr:merged") => pull_request(message, key, "/pullRequest/toRef"),
        Some(key @ ("pr:opened" | "pr:from_ref_updated" | "pr:declined" | "pr:deleted")) => {
            pull_request(message, key, "/pullRequest/fromRef")
        }
        Some(other) => {
            let other: String = other.chars().take(64).collect();
            Read::ignored(format!("no trigger is about the event `{other}`"))
        }
        None if field::flag(message.body, "/test") == Some(true) => Read::ignored("it is a ping"),
        // The add-on for old versions names no event.
        None if message.body.get("refChanges").is_some()
            || message.body.get("changes").is_some() =>
        {
            refs_changed(message, "")
        }
        None => Read::ignored("it names no event in X-Event-Key, as a ping does"),
    }
}

/// A change of the repository under `at`.
fn change(body: &Value, at: &str) -> Option<Change> {
    let project = field::owned(body, &format!("{at}/repository/project/key"))?;
    let slug = field::owned(body, &format!("{at}/repository/slug"))?;
    let actor = field::first_text(body, &["/actor/name", "/actor/displayName"]);
    Some(Change {
        repository: format!("{project}/{slug}"),
        project,
        slug,
        actor: actor.map(str::to_owned),
        ..Change::default()
    })
}

fn refs_changed(message: &Message<'_>, action: &str) -> Reading {
    let body = message.body;
    let common = change(body, "").ok_or_else(|| message.missing("/repository/slug"))?;
    let lists = ["/refChanges", "/changes"];
    let is_only = lists
        .iter()
        .map(|list| field::list(body, list).len())
        .sum::<usize>()
        == 1;
    let events = lists
        .iter()
        .flat_map(|list| field::list(body, list))
        .filter_map(|change| {
            let commit = field::owned(change, "/toHash")?;
            if field::text(change, "/type") == Some("DELETE") || git::is_nothing(&commit) {
                return None;
            }
            let reference = reference(change)?;
            // The hash of an annotated tag is that of the tag itself.
            let tagged = match reference {
                Ref::Tag(_) if is_only => field::text(body, "/toCommit/id"),
                Ref::Tag(_) | Ref::Branch(_) => None,
            };
            Some(
                Change {
                    commit: Some(tagged.map_or(commit, str::to_owned)),
                    reference: Some(reference),
                    action: action.to_owned(),
                    ..common.clone()
                }
                .event(message),
            )
        });
    Read::all(events, "branches or tags were deleted and none was changed")
}

fn reference(change: &Value) -> Option<Ref> {
    let full = field::first_text(change, &["/ref/id", "/refId"]).and_then(Ref::full);
    full.or_else(|| {
        Ref::typed(
            field::text(change, "/ref/type")?,
            field::text(change, "/ref/displayId")?,
        )
    })
}

/// A merged request is about the branch that got it, any other about the branch that it comes from.
fn pull_request(message: &Message<'_>, key: &str, at: &str) -> Reading {
    let body = message.body;
    let commit = if key == "pr:merged" {
        message.text("/pullRequest/properties/mergeCommit/id")
    } else {
        message.text("/pullRequest/fromRef/latestCommit")
    };
    let mut properties = Context::new();
    for (name, pointer) in [
        ("number", "/pullRequest/id"),
        ("draft", "/pullRequest/draft"),
        ("state", "/pullRequest/state"),
        ("title", "/pullRequest/title"),
        ("base", "/pullRequest/toRef/displayId"),
    ] {
        field::put(&mut properties, name, field::shown(body, pointer));
    }
    // Slugs are unique within a project, and those of people's forks are projects of their own.
    let side = |at: &str| {
        let repository = body.pointer(&format!("/pullRequest/{at}/repository"))?;
        let (key, slug) = (
            field::text(repository, "/project/key")?,
            field::text(repository, "/slug")?,
        );
        Some((key, slug))
    };
    let (from, to) = (side("fromRef"), side("toRef"));
    let elsewhere = from.is_none() || from != to;
    git::put_request(&mut properties, elsewhere, key == "pr:merged");
    let id = field::text(body, &format!("{at}/id")).and_then(Ref::full);
    let shown = || message.text(&format!("{at}/displayId")).map(Ref::Branch);
    let common =
        change(body, at).ok_or_else(|| message.missing(&format!("{at}/repository/slug")))?;
    Read::one(
        Change {
            reference: id.or_else(shown),
            commit,
            action: key.to_owned(),
            url: message.text("/pullRequest/links/self/0/href"),
            properties,
            ..common
        }
        .event(message),
    )
}
