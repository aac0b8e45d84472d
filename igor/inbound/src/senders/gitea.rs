//! Gitea, Forgejo and Gogs: pushes, branches and tags, pull requests, releases.

use super::{Message, Read, Reading, github};
use crate::{
    Refused, field,
    git::{self, Change, Ref},
};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let has = |name: &str| message.body.get(name).is_some();
    let name = ["x-forgejo-event", "x-gitea-event", "x-gogs-event"]
        .iter()
        .find_map(|name| message.header(name));
    match name {
        Some("push") => push(message),
        Some("create") => create(message),
        Some("delete") => Read::ignored("a branch or a tag was deleted"),
        Some("release") => github::release(message, change),
        Some("pull_request" | "pull_request_sync") => pull_request(message),
        Some(other) => {
            let other: String = other.chars().take(64).collect();
            Read::ignored(format!("no trigger is about the event `{other}`"))
        }
        None if has("pull_request") => pull_request(message),
        // What was created has a commit.
        None if has("ref_type") && !has("sha") => Read::ignored("a branch or a tag was deleted"),
        None if has("ref_type") => create(message),
        None => push(message),
    }
}

fn change(message: &Message<'_>) -> Result<Change, Refused> {
    let repository = message.need("/repository/full_name")?;
    let (owner, name) = git::split_name(repository);
    let owned = |pointers: &[&str]| field::first_text(message.body, pointers).map(str::to_owned);
    Ok(Change {
        project: owned(&["/repository/owner/login", "/repository/owner/username"]).unwrap_or(owner),
        slug: owned(&["/repository/name"]).unwrap_or(name),
        repository: repository.to_owned(),
        actor: owned(&["/sender/login", "/pusher/login", "/pusher/username"]),
        ..Change::default()
    })
}

fn push(message: &Message<'_>) -> Reading {
    let body = message.body;
    let commit = field::owned(body, "/after");
    if commit.as_deref().is_some_and(git::is_nothing) {
        return Read::ignored("a branch or a tag was deleted");
    }
    let Some(reference) = Ref::full(message.need("/ref")?) else {
        return Read::ignored("it is about neither a branch nor a tag");
    };
    Read::one(
        Change {
            commit: git::tagged(&reference, body).or(commit),
            reference: Some(reference),
            action: "push".to_owned(),
            // Of a large push the newest few commits are listed.
            files: git::changed(
                field::list(body, "/commits"),
                field::number(body, "/total_commits"),
            ),
            url: message.text("/compare_url"),
            ..change(message)?
        }
        .event(message),
    )
}

/// `ref` is bare here, and `sha` is its commit.
fn create(message: &Message<'_>) -> Reading {
    let kind = message.need("/ref_type")?;
    let name = message.need("/ref")?;
    let Some(reference) = Ref::full(name).or_else(|| Ref::typed(kind, name)) else {
        return Read::ignored("neither a branch nor a tag was created");
    };
    let what = match reference {
        Ref::Branch(_) => "branch",
        Ref::Tag(_) => "tag",
    };
    Read::one(
        Change {
            reference: Some(reference),
            commit: message.text("/sha"),
            action: format!("{what}:create"),
            ..change(message)?
        }
        .event(message),
    )
}

/// What changes a request, its branch or its state; labels, reviews and comments do not.
fn pull_request(message: &Message<'_>) -> Reading {
    match message.need("/action")? {
        "opened" | "reopened" | "edited" | "synchronized" | "synchronize" | "closed" => {
            github::pull_request(message, change(message)?)
        }
        other => {
            let other: String = other.chars().take(64).collect();
            Read::ignored(format!(
                "a pull request that is `{other}` is still the same"
            ))
        }
    }
}
