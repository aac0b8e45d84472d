//! GitLab: pushes of branches and tags, merge requests, releases; pipelines are its CI.

use kork_model::Context;
use serde_json::Value;

use super::{Message, Read, Reading, gitlab_ci};
use crate::{
    Refused, field,
    git::{self, Change, Ref},
};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let kind = field::first_text(message.body, &["/object_kind", "/event_name"]);
    match kind {
        Some("push" | "tag_push") => push(message),
        Some("merge_request") => merge_request(message),
        Some("release") => release(message),
        Some("pipeline") => gitlab_ci::pipeline(message),
        Some(other) => {
            let other: String = other.chars().take(64).collect();
            Read::ignored(format!("no trigger is about the event `{other}`"))
        }
        None => Err(message.missing("/object_kind")),
    }
}

/// Project and slug of a git trigger are the paths of group and project: the names that GitLab shows may be
/// anything.
fn change(message: &Message<'_>) -> Result<Change, Refused> {
    let repository = message.need("/project/path_with_namespace")?;
    let (project, slug) = git::split_name(repository);
    let actor = field::first_text(
        message.body,
        &["/user_username", "/user/username", "/user_name"],
    );
    Ok(Change {
        project,
        slug,
        repository: repository.to_owned(),
        actor: actor.map(str::to_owned),
        ..Change::default()
    })
}

fn push(message: &Message<'_>) -> Reading {
    let body = message.body;
    let after = field::owned(body, "/after");
    if after.as_deref().is_some_and(git::is_nothing) {
        return Read::ignored("a branch or a tag was deleted");
    }
    let Some(reference) = Ref::full(message.need("/ref")?) else {
        return Read::ignored("it is about neither a branch nor a tag");
    };
    // The commit of an annotated tag is not the object that was pushed.
    let commit = message.text("/checkout_sha").or(after);
    let commits = field::list(body, "/commits");
    let there = git::there(commits);
    let action = field::first_text(body, &["/object_kind", "/event_name"]);
    Read::one(
        Change {
            reference: Some(reference),
            artifacts: artifacts(body, &there, commit.as_deref()),
            commit,
            action: action.unwrap_or_default().to_owned(),
            // Of a large push the newest twenty commits are listed.
            files: git::changed(commits, field::number(body, "/total_commits_count")),
            url: message.text("/project/web_url"),
            ..change(message)?
        }
        .event(message),
    )
}

/// Files of a push, fetched through GitLab's API beside the project's own page.
fn artifacts(body: &Value, files: &[String], commit: Option<&str>) -> Vec<Value> {
    let base = || {
        let name = field::text(body, "/project/path_with_namespace")?;
        let home = field::first_text(body, &["/project/homepage", "/project/web_url"])?;
        let base = home.strip_suffix(name)?.strip_suffix('/')?;
        let shaped = name.contains('/') && git::is_plain_path(name) && git::is_plain_base(base);
        shaped.then(|| {
            let project = git::encode_segment(name);
            format!("{base}/api/v4/projects/{project}/repository/files")
        })
    };
    base().map_or_else(Vec::new, |base| {
        git::file_artifacts("gitlab/file", files, commit, |path| {
            format!("{base}/{}/raw", git::encode_segment(path))
        })
    })
}

/// Of a merged request the target branch and the commit that it got, else the source branch and its last.
fn merge_request(message: &Message<'_>) -> Reading {
    let body = message.body;
    let action = field::text(body, "/object_attributes/action").unwrap_or("update");
    let merged =
        action == "merge" || field::text(body, "/object_attributes/state") == Some("merged");
    let (branch, commit) = if merged {
        let commit = field::first_text(
            body,
            &[
                "/object_attributes/merge_commit_sha",
                "/object_attributes/squash_commit_sha",
                "/object_attributes/last_commit/id",
            ],
        );
        (message.need("/object_attributes/target_branch")?, commit)
    } else {
        let commit = field::text(body, "/object_attributes/last_commit/id");
        (message.need("/object_attributes/source_branch")?, commit)
    };
    let mut properties = Context::new();
    for (name, pointer) in [
        ("number", "/object_attributes/iid"),
        ("draft", "/object_attributes/draft"),
        ("state", "/object_attributes/state"),
        ("title", "/object_attributes/title"),
        ("base", "/object_attributes/target_branch"),
    ] {
        field::put(&mut properties, name, field::shown(body, pointer));
    }
    let same = |side: &str| field::number(body, &format!("/object_attributes/{side}_project_id"));
    git::put_request(&mut properties, same("source") != same("target"), merged);
    Read::one(
        Change {
            reference: Some(Ref::Branch(branch.to_owned())),
            commit: commit.map(str::to_owned),
            action: format!("merge_request:{action}"),
            url: message.text("/object_attributes/url"),
            properties,
            ..change(message)?
        }
        .event(message),
    )
}

/// A release and its tag, of which another event tells as well when it is new. Nobody is named who made it.
fn release(message: &Message<'_>) -> Reading {
    if message.need("/action")? != "create" {
        return Read::ignored("only the action `create` of a release is an event");
    }
    Read::one(
        Change {
            reference: Some(Ref::Tag(message.need("/tag")?.to_owned())),
            commit: message.text("/commit/id"),
            action: "release:create".to_owned(),
            url: message.text("/url"),
            ..change(message)?
        }
        .event(message),
    )
}
