//! Flux's notification controller: a webhook whose object and revision are known.

use kork_model::inbound::InboundEvent;

use super::{Message, Reading, plain};
use crate::field;

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

/// `<branch or tag>@sha1:<commit>`. What is before it is a branch unless it is written out as a tag.
fn revised(event: &mut InboundEvent, revision: &str) {
    let (name, hash) = revision.rsplit_once('@').unwrap_or(("", revision));
    if let Some(commit) = hash.strip_prefix("sha1:") {
        event.commit = Some(commit.to_owned());
        match name.strip_prefix("refs/tags/") {
            Some(tag) => event.tag = Some(tag.to_owned()),
            None if name.is_empty() => {}
            None => {
                let branch = name.strip_prefix("refs/heads/").unwrap_or(name);
                event.branch = Some(branch.to_owned());
            }
        }
    }
}
