//! GitHub: pushes, branches and tags, pull requests, releases; packages and workflows are its CI.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kork_model::{
    Context,
    inbound::{EventKind, SignedBody},
};
use serde_json::Value;

use super::{Message, Read, Reading, github_ci};
use crate::{
    field,
    git::{self, Change, Ref},
    limits::BODY_BYTES_MAX,
};

const SIGNATURES: [&str; 2] = ["x-hub-signature", "x-hub-signature-256"];

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let mut read = match event_name(message) {
        "ping" => return Read::ignored("it is a ping"),
        "push" => push(message),
        "create" => create(message),
        "delete" => return Read::ignored("a branch or a tag was deleted"),
        "pull_request" => pull_request(message, change(message)?),
        "release" => release(message, change),
        "package" | "registry_package" => return github_ci::package(message),
        "workflow_run" => return github_ci::workflow_run(message),
        other => {
            let other: String = other.chars().take(64).collect();
            return Read::ignored(format!("no trigger is about the event `{other}`"));
        }
    }?;
    let signed = signed(message);
    for event in &mut read.events {
        if event.kind == EventKind::Git {
            event.signed.clone_from(&signed);
        }
    }
    Ok(read)
}

/// The event's name: the header, or by the shape of the body where a proxy lost the header.
fn event_name<'a>(message: &Message<'a>) -> &'a str {
    let has = |name: &str| message.body.get(name).is_some();
    match message.header("x-github-event") {
        Some(name) => name,
        None if has("hook_id") => "ping",
        None if has("pull_request") => "pull_request",
        // Only of a creation it is told which branch is the default one.
        None if has("ref_type") && !has("master_branch") => "delete",
        None if has("ref_type") => "create",
        None if has("ref") => "push",
        None => "",
    }
}

/// The body and its signatures, for git triggers that have a secret of their own. One that is larger than an event
/// can be is known by the secret of its source alone.
fn signed(message: &Message<'_>) -> Option<SignedBody> {
    let signatures: BTreeMap<String, String> = SIGNATURES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), message.header(name)?.to_owned())))
        .collect();
    let body = message.delivery.body;
    (!signatures.is_empty()).then(|| SignedBody {
        body: if body.len() <= BODY_BYTES_MAX {
            STANDARD.encode(body)
        } else {
            String::new()
        },
        signatures,
    })
}

/// What every event about a repository says.
fn change(message: &Message<'_>) -> Result<Change, crate::Refused> {
    let repository = message.need("/repository/full_name")?;
    let (owner, name) = git::split_name(repository);
    let owned = |pointers: &[&str]| field::first_text(message.body, pointers).map(str::to_owned);
    Ok(Change {
        project: owned(&["/repository/owner/name", "/repository/owner/login"]).unwrap_or(owner),
        slug: owned(&["/repository/name"]).unwrap_or(name),
        repository: repository.to_owned(),
        actor: owned(&["/sender/login", "/pusher/name"]),
        ..Change::default()
    })
}

fn push(message: &Message<'_>) -> Reading {
    let body = message.body;
    let commit = field::owned(body, "/after");
    let deleted = field::flag(body, "/deleted") == Some(true);
    if deleted || commit.as_deref().is_some_and(git::is_nothing) {
        return Read::ignored("a branch or a tag was deleted");
    }
    let Some(reference) = Ref::full(message.need("/ref")?) else {
        return Read::ignored("it is about neither a branch nor a tag");
    };
    let commit = git::tagged(&reference, body).or(commit);
    let commits = field::list(body, "/commits");
    let there = git::there(commits);
    Read::one(
        Change {
            reference: Some(reference),
            artifacts: artifacts(body, &there, commit.as_deref()),
            commit,
            action: "push:push".to_owned(),
            files: git::changed(commits, None),
            url: message.text("/compare"),
            ..change(message)?
        }
        .event(message),
    )
}

/// Files of a push, when the repository says where they are in the way that GitHub does.
fn artifacts(body: &Value, files: &[String], commit: Option<&str>) -> Vec<Value> {
    let base = || {
        let name = field::text(body, "/repository/full_name")?;
        let template = field::text(body, "/repository/contents_url")?;
        let suffix = format!("/repos/{name}/contents/{{+path}}");
        let end = template.len().checked_sub(suffix.len())?;
        let shaped = name.split('/').count() == 2
            && git::is_plain_path(name)
            && git::encode_path(name) == name
            && template.get(end..)?.eq_ignore_ascii_case(&suffix)
            && git::is_plain_base(&template[..end]);
        shaped.then(|| template.trim_end_matches("{+path}"))
    };
    base().map_or_else(Vec::new, |base| {
        git::file_artifacts("github/file", files, commit, |path| {
            format!("{base}{}", git::encode_path(path))
        })
    })
}

/// A new branch or tag. Its commit is not said; the push that comes with it says it.
fn create(message: &Message<'_>) -> Reading {
    let kind = message.need("/ref_type")?;
    let Some(reference) = Ref::typed(kind, message.need("/ref")?) else {
        return Read::ignored("neither a branch nor a tag was created");
    };
    let what = match reference {
        Ref::Branch(_) => "branch",
        Ref::Tag(_) => "tag",
    };
    Read::one(
        Change {
            reference: Some(reference),
            action: format!("{what}:create"),
            ..change(message)?
        }
        .event(message),
    )
}

/// Of a merged request the branch that got it and the commit that it got, else the branch that it comes from and
/// its last. Gitea and Forgejo write it alike; Gogs names the branches in members of their own, and no commit of them.
pub(super) fn pull_request(message: &Message<'_>, common: Change) -> Reading {
    let body = message.body;
    let action = message.need("/action")?;
    let merged = action == "closed" && field::flag(body, "/pull_request/merged") == Some(true);
    let mut properties = Context::new();
    for (name, pointer) in [
        ("number", "/pull_request/number"),
        ("draft", "/pull_request/draft"),
        ("state", "/pull_request/state"),
        ("title", "/pull_request/title"),
    ] {
        field::put(&mut properties, name, field::shown(body, pointer));
    }
    let base = field::first_text(
        body,
        &["/pull_request/base/ref", "/pull_request/base_branch"],
    );
    field::put(&mut properties, "base", base);
    // The repository of a deleted fork is null: that was no branch of ours either.
    let head = field::first_text(
        body,
        &[
            "/pull_request/head/repo/full_name",
            "/pull_request/head_repo/full_name",
        ],
    );
    let elsewhere =
        head.is_none_or(|head| Some(head) != field::text(body, "/repository/full_name"));
    git::put_request(&mut properties, elsewhere, merged);
    let (branch, commit) = if merged {
        // Before it is merged this is a commit that only tries whether it can be.
        let commit = message.text("/pull_request/merge_commit_sha");
        field::put(&mut properties, "mergeCommit", commit.clone());
        (base, commit)
    } else {
        let head = ["/pull_request/head/ref", "/pull_request/head_branch"];
        (
            field::first_text(body, &head),
            message.text("/pull_request/head/sha"),
        )
    };
    Read::one(
        Change {
            reference: branch.map(|branch| Ref::Branch(branch.to_owned())),
            commit,
            action: format!("pull_request:{action}"),
            url: message.text("/pull_request/html_url"),
            properties,
            ..common
        }
        .event(message),
    )
}

/// `change` reads what the sender's events have in common.
pub(super) fn release(
    message: &Message<'_>,
    change: impl FnOnce(&Message<'_>) -> Result<Change, crate::Refused>,
) -> Reading {
    // Three actions are sent for one release; this is the one that says it is out.
    if message.need("/action")? != "published" {
        return Read::ignored("only the action `published` of a release is an event");
    }
    Read::one(
        Change {
            reference: Some(Ref::Tag(message.need("/release/tag_name")?.to_owned())),
            action: "release:published".to_owned(),
            url: message.text("/release/html_url"),
            ..change(message)?
        }
        .event(message),
    )
}
