//! Names of events and deliveries: the same for the same thing, whoever tells it and however often.

use kork_model::inbound::{EventKind, InboundEvent};
use sha2::{Digest, Sha256};

use crate::{image, limits::ID_BYTES_MAX, table::Row};

/// The sender's own name for a delivery. A caller's `Idempotency-Key` comes first, then the headers of the
/// sender, then source and id of a `CloudEvent`.
pub(crate) fn delivery_id(delivery: &crate::Delivery<'_>, row: &Row) -> Option<String> {
    let own = ["idempotency-key"]
        .iter()
        .chain(row.delivery_headers)
        .find_map(|name| delivery.header(name));
    let cloud_event = || {
        let id = delivery.header("ce-id")?;
        let source = delivery.header("ce-source").unwrap_or_default();
        Some(format!("{source}#{id}"))
    };
    own.map(str::to_owned).or_else(cloud_event).map(bounded)
}

/// The id of an event that its reader did not name already, as builds and images with a digest are.
///
/// With a delivery it is named after that; `among` several events the reference or the tag is added.
/// Without one, commits are named after what they are, and anything else after `fresh_id`: two equal
/// bodies may well be two events.
pub(crate) fn event_id(event: &InboundEvent, fresh_id: &str, among: usize) -> String {
    let reference = reference(event);
    let named = match (&event.delivery, event.kind) {
        (Some(delivery), EventKind::Git) => match among {
            1 => format!("{}:{delivery}", event.sender),
            _ => format!("{}:{delivery}:{reference}", event.sender),
        },
        (None, EventKind::Git) if event.commit.is_some() => format!(
            "{}:{}:{}:{reference}:{}:{}",
            event.sender,
            event.source,
            event.repository.as_deref().unwrap_or_default(),
            event.commit.as_deref().unwrap_or_default(),
            event.action.as_deref().unwrap_or_default(),
        ),
        (delivery, EventKind::Image) => {
            let delivery = delivery.as_deref().unwrap_or(fresh_id);
            let image = event.image.as_deref().or(event.repository.as_deref());
            format!(
                "docker:{}:{reference}:{delivery}",
                image.unwrap_or_default()
            )
        }
        (delivery, kind) => {
            let delivery = delivery.as_deref().unwrap_or(fresh_id);
            let sender = if kind == EventKind::Webhook {
                "webhook"
            } else {
                &event.sender
            };
            format!("{sender}:{}:{delivery}", event.source)
        }
    };
    bounded(named)
}

fn reference(event: &InboundEvent) -> String {
    match (&event.branch, &event.tag) {
        (Some(branch), _) => format!("refs/heads/{branch}"),
        (None, Some(tag)) if event.kind == EventKind::Image => tag.clone(),
        (None, Some(tag)) => format!("refs/tags/{tag}"),
        (None, None) => String::new(),
    }
}

/// The id of an image that was pushed, however it was heard of.
pub(crate) fn image_id(event: &InboundEvent) -> Option<String> {
    let id = image::id(
        event.image.as_deref()?,
        event.tag.as_deref()?,
        event.digest.as_deref()?,
    );
    Some(bounded(id))
}

/// An id that is too long becomes its checksum, after what kind of id it was.
pub(crate) fn bounded(id: String) -> String {
    if id.len() <= ID_BYTES_MAX {
        return id;
    }
    let kind = id.split(':').next().unwrap_or_default();
    let kind = if kind.len() > 32 { "id" } else { kind };
    let mut named = format!("{kind}:sha256:");
    for byte in Sha256::digest(id.as_bytes()) {
        for digit in [byte >> 4, byte & 15] {
            named.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ids_stay_apart_and_short() {
        let one = bounded(format!("github:{}a", "x".repeat(600)));
        let other = bounded(format!("github:{}b", "x".repeat(600)));
        assert_ne!(one, other);
        assert!(
            one.starts_with("github:sha256:") && one.len() < 100,
            "{one}"
        );
        assert_eq!(bounded("github:1".to_owned()), "github:1");
    }
}
