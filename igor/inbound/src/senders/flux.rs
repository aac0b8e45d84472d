//! Flux's notification controller: a webhook whose object and revision are known.

use kork_model::inbound::InboundEvent;

use super::{Message, Reading, plain};
use crate::{field, git::Ref, image};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let mut read = plain::webhook(message)?;
    for event in &mut read.events {
        event.action = message.text("/reason");
        if let Some(revision) = revision(message) {
            revised(event, revision);
        }
    }
    Ok(read)
}

/// The revision in the metadata, whose name ends so for every kind of object.
fn revision<'a>(message: &Message<'a>) -> Option<&'a str> {
    field::object(message.body, "/metadata")?
        .iter()
        .find(|(name, _)| *name == "revision" || name.ends_with("/revision"))
        .and_then(|(_, value)| value.as_str())
}

/// `<branch or tag>@sha1:<commit>`, or `<branch or tag>/<commit>` of old versions. What is before the commit is a
/// branch, unless it is written out as a tag or is a version.
fn revised(event: &mut InboundEvent, revision: &str) {
    let old = || {
        let (name, hash) = revision.rsplit_once('/')?;
        let is_hash = hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then_some((name, hash))
    };
    let (name, hash) = revision.rsplit_once('@').unwrap_or(("", revision));
    let Some((name, commit)) = hash.strip_prefix("sha1:").map(|c| (name, c)).or_else(old) else {
        // Of an image there is a digest, and no commit.
        if let Some(digest) = image::digest(hash).filter(|_| hash.starts_with("sha256:")) {
            event.digest = Some(digest);
            event.tag = image::tag(name);
        }
        return;
    };
    event.commit = Some(commit.to_owned());
    match Ref::full(name) {
        Some(Ref::Tag(tag)) => event.tag = Some(tag),
        Some(Ref::Branch(branch)) => event.branch = Some(branch),
        None if name.is_empty() => {}
        None if is_version(name) => event.tag = Some(name.to_owned()),
        None => event.branch = Some(name.to_owned()),
    }
}

/// Semantic Versioning, with or without `v`: what Flux writes of tags that it chose by their version.
fn is_version(name: &str) -> bool {
    let name = name.strip_prefix('v').unwrap_or(name);
    let numbers = name.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.split('.').count() == 3 && numbers.split('.').all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_come_apart() {
        const SHA: &str = "3f0c9d7a5b1e4826c0d9f8e7a6b5c4d3e2f1a0b9";
        const DIGEST: &str =
            "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let some = |text: &str| Some(text.to_owned());
        for (revision, branch, tag, commit, digest) in [
            (
                format!("main@sha1:{SHA}"),
                some("main"),
                None,
                some(SHA),
                None,
            ),
            (
                format!("v1.2.0@sha1:{SHA}"),
                None,
                some("v1.2.0"),
                some(SHA),
                None,
            ),
            (
                format!("1.2.0-rc.1@sha1:{SHA}"),
                None,
                some("1.2.0-rc.1"),
                some(SHA),
                None,
            ),
            (
                format!("refs/tags/x@sha1:{SHA}"),
                None,
                some("x"),
                some(SHA),
                None,
            ),
            (
                format!("refs/heads/v1.2.0@sha1:{SHA}"),
                some("v1.2.0"),
                None,
                some(SHA),
                None,
            ),
            (
                format!("release/1.2@sha1:{SHA}"),
                some("release/1.2"),
                None,
                some(SHA),
                None,
            ),
            (
                format!("feature/x/{SHA}"),
                some("feature/x"),
                None,
                some(SHA),
                None,
            ),
            (format!("sha1:{SHA}"), None, None, some(SHA), None),
            (
                format!("latest@{DIGEST}"),
                None,
                some("latest"),
                None,
                some(DIGEST),
            ),
            ("main/x".to_owned(), None, None, None, None),
        ] {
            let mut event = InboundEvent::default();
            revised(&mut event, &revision);
            let found = (event.branch, event.tag, event.commit, event.digest);
            assert_eq!(found, (branch, tag, commit, digest), "{revision}");
        }
    }
}
