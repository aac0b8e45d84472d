//! Nexus Repository 3: components of its repositories. It names neither its host nor digests.

use kork_model::inbound::{EventKind, InboundEvent};
use serde_json::{Value, json};

use super::{Message, Read, Reading};
use crate::{field, image::Image};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let body = message.body;
    if body.get("component").is_none() {
        return Read::ignored("only webhooks of kind `component` are events");
    }
    if field::text(body, "/action") == Some("DELETED") {
        return Read::ignored("a component was deleted");
    }
    let name = message.need("/component/name")?;
    let version = message.text("/component/version");
    let host = message.source.and_then(|source| source.host.clone());
    if field::text(body, "/component/format") == Some("docker") {
        if host.is_none() {
            return Read::ignored("Nexus does not name its host: set `host` of the source");
        }
        let image = Image {
            host,
            repository: name.to_owned(),
            tag: version,
            digest: None,
        };
        return match image.event(message) {
            Some(mut event) => {
                event.actor = message.text("/initiator");
                Read::one(event)
            }
            None => Read::ignored("the image has no tag"),
        };
    }
    let mut event = InboundEvent {
        kind: EventKind::Artifact,
        action: message.text("/action"),
        actor: message.text("/initiator"),
        repository: message.text("/repositoryName"),
        artifacts: artifacts(body),
        ..InboundEvent::default()
    };
    let search = message.delivery.source;
    event
        .trigger
        .insert("nexusSearchName".to_owned(), search.into());
    Read::one(event)
}

/// The component as Spinnaker's webhooks of the source `nexus` have it.
pub(super) fn artifacts(body: &Value) -> Vec<Value> {
    let Some(name) = field::text(body, "/component/name") else {
        return Vec::new();
    };
    let version = field::text(body, "/component/version");
    let full = match field::text(body, "/component/group") {
        Some(group) => format!("{group}:{name}"),
        None => name.to_owned(),
    };
    let kind = match field::text(body, "/component/format") {
        None | Some("maven2") => "maven/file".to_owned(),
        Some(format) => format!("{format}/file"),
    };
    let reference = match version {
        Some(version) => format!("{full}:{version}"),
        None => full.clone(),
    };
    vec![json!({
        "type": kind,
        "name": full,
        "version": version,
        "reference": reference,
        "provenance": field::text(body, "/repositoryName"),
    })]
}
