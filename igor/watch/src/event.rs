//! Events of what is new, in the words of Spinnaker's triggers and artifacts.

use kork_model::{
    Context, Timestamp,
    inbound::{EventKind, InboundEvent, Verified},
};
use serde_json::{Value, json};

use crate::{
    cursor::{Images, Refs, Watched},
    git::SourceType,
};

/// `name` is a tag of an image or the whole name of a ref, `identity` its digest or commit.
pub(crate) fn event(watched: &Watched, at: Timestamp, name: &str, identity: &str) -> InboundEvent {
    let event = match watched {
        Watched::Images(images) => image(images, name, identity),
        Watched::Git(refs) => git(refs, name, identity),
    };
    InboundEvent {
        received: at,
        verified: Verified::Fetched,
        ..event
    }
}

fn image(of: &Images, tag: &str, digest: &str) -> InboundEvent {
    let image = format!("{}/{}", of.registry, of.repository);
    let trigger = json!({
        "account": of.account,
        "registry": of.registry,
        "repository": of.repository,
        "tag": tag,
        "digest": digest,
    });
    let artifact = json!({
        "type": "docker/image",
        "name": image,
        "version": tag,
        "reference": format!("{image}@{digest}"),
        "metadata": { "registry": of.registry, "digest": digest },
    });
    InboundEvent {
        id: format!("docker:{image}:{tag}@{digest}"),
        kind: EventKind::Image,
        sender: "docker".to_owned(),
        source: of.account.clone(),
        repository: Some(of.repository.clone()),
        tag: Some(tag.to_owned()),
        image: Some(image),
        digest: Some(digest.to_owned()),
        trigger: members(trigger),
        artifacts: vec![artifact],
        ..InboundEvent::default()
    }
}

fn git(of: &Refs, name: &str, commit: &str) -> InboundEvent {
    let branch = name.strip_prefix("refs/heads/").map(str::to_owned);
    let tag = name.strip_prefix("refs/tags/").map(str::to_owned);
    let action = if tag.is_some() {
        "tag:tag"
    } else {
        "push:push"
    };
    let mut trigger = members(json!({
        "source": of.source.word(),
        "project": of.project,
        "slug": of.slug,
        "hash": commit,
        "action": action,
    }));
    for (member, value) in [
        ("branch", &branch),
        ("tag", &tag),
        ("defaultBranch", &of.default_branch),
    ] {
        if let Some(value) = value {
            trigger.insert(member.to_owned(), Value::from(value.as_str()));
        }
    }
    InboundEvent {
        id: format!("git:{}:{name}:{commit}", of.place),
        kind: EventKind::Git,
        sender: of.source.word().to_owned(),
        source: of.name.clone(),
        action: Some(action.to_owned()),
        repository: of.place.split_once('/').map(|(_, path)| path.to_owned()),
        branch,
        tag,
        commit: Some(commit.to_owned()),
        url: page(of.source, &of.url, commit),
        trigger,
        ..InboundEvent::default()
    }
}

/// Where a person looks at a commit, of servers whose pages are known.
fn page(source: SourceType, url: &str, commit: &str) -> Option<String> {
    match source {
        SourceType::Github => Some(format!("{url}/commit/{commit}")),
        SourceType::Gitlab => Some(format!("{url}/-/commit/{commit}")),
        SourceType::Bitbucket => Some(format!("{url}/commits/{commit}")),
        SourceType::Stash | SourceType::Git => None,
    }
}

fn members(value: Value) -> Context {
    match value {
        Value::Object(members) => members,
        _ => Context::new(),
    }
}
