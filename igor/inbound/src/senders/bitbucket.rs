//! Bitbucket Cloud: pushes, one event per branch or tag, and pull requests.

use kork_model::Context;

use super::{Message, Read, Reading};
use crate::{
    Refused, field,
    git::{self, Change, Ref, split_name},
};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let has = |name: &str| message.body.get(name).is_some();
    match message.header("x-event-key") {
        Some("repo:push") => push(message),
        // Approvals and comments change nothing of a request.
        Some(
            key @ ("pullrequest:created"
            | "pullrequest:updated"
            | "pullrequest:fulfilled"
            | "pullrequest:rejected"),
        ) => pull_request(message, key),
        Some(other) => {
            let other: String = other.chars().take(64).collect();
            Read::ignored(format!("no trigger is about the event `{other}`"))
        }
        None if has("push") => push(message),
        // Bitbucket Server asks without key and body whether somebody is there.
        None => Read::ignored("it names no event in X-Event-Key, as a ping does"),
    }
}

/// The project of a git trigger is the workspace; a project within it is another thing. The slug is the whole name, `workspace/name`, as Spinnaker has it for Bitbucket Cloud.
fn change(message: &Message<'_>) -> Result<Change, Refused> {
    let repository = message.need("/repository/full_name")?;
    let project = field::text(message.body, "/repository/workspace/slug");
    let actor = field::first_text(message.body, &["/actor/nickname", "/actor/display_name"]);
    Ok(Change {
        project: project.map_or_else(|| split_name(repository).0, str::to_owned),
        slug: repository.to_owned(),
        repository: repository.to_owned(),
        actor: actor.map(str::to_owned),
        ..Change::default()
    })
}

fn push(message: &Message<'_>) -> Reading {
    let common = change(message)?;
    let events = field::list(message.body, "/push/changes")
        .iter()
        // A branch or tag that was deleted has no `new`.
        .filter_map(|change| {
            let reference = Ref::typed(
                field::text(change, "/new/type")?,
                field::text(change, "/new/name")?,
            )?;
            Some(
                Change {
                    reference: Some(reference),
                    commit: field::owned(change, "/new/target/hash"),
                    action: "repo:push".to_owned(),
                    url: field::owned(change, "/links/html/href"),
                    ..common.clone()
                }
                .event(message),
            )
        });
    Read::all(events, "branches or tags were deleted and none was changed")
}

fn pull_request(message: &Message<'_>, key: &str) -> Reading {
    let body = message.body;
    let merged = key == "pullrequest:fulfilled";
    let (branch, commit) = if merged {
        (
            "/pullrequest/destination/branch/name",
            "/pullrequest/merge_commit/hash",
        )
    } else {
        (
            "/pullrequest/source/branch/name",
            "/pullrequest/source/commit/hash",
        )
    };
    let mut properties = Context::new();
    for (name, pointer) in [
        ("number", "/pullrequest/id"),
        ("draft", "/pullrequest/draft"),
        ("state", "/pullrequest/state"),
        ("title", "/pullrequest/title"),
        ("base", "/pullrequest/destination/branch/name"),
    ] {
        field::put(&mut properties, name, field::shown(body, pointer));
    }
    let source = field::text(body, "/pullrequest/source/repository/full_name");
    let elsewhere =
        source.is_none_or(|name| Some(name) != field::text(body, "/repository/full_name"));
    git::put_request(&mut properties, elsewhere, merged);
    Read::one(
        Change {
            reference: message.text(branch).map(Ref::Branch),
            commit: message.text(commit),
            action: key.to_owned(),
            url: message.text("/pullrequest/links/html/href"),
            properties,
            ..change(message)?
        }
        .event(message),
    )
}
