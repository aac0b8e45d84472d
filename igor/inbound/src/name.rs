//! Names of events and deliveries: the same for the same thing, whoever tells it and however often.

use kork_model::inbound::{EventKind, InboundEvent};
use sha2::{Digest, Sha256};

use crate::{image, limits::ID_BYTES_MAX, senders::cloudevents, table::Row};

/// The sender's own name for a delivery: what was signed with it (`covers_id`), a caller's `Idempotency-Key`, the
/// headers of the sender, source and id of a `CloudEvent` in headers; in this order.
pub(crate) fn delivery_id(
    delivery: &crate::Delivery<'_>,
    row: &Row,
    covers_id: bool,
) -> Option<String> {
    let signed = covers_id.then_some("webhook-id");
    let own = signed
        .iter()
        .chain(&["idempotency-key"])
        .chain(row.delivery_headers)
        .find_map(|name| delivery.header(name));
    own.map(str::to_owned)
        .or_else(|| cloudevents::delivery_in_headers(delivery))
        .map(bounded)
}

/// How long equal bytes of a sender that names nothing are the same delivery, sent again: registries repeat a call
/// that failed, and somebody may push to the same tag on another day.
const REPEATED_MS: u64 = 10 * 60 * 1000;

/// Names for what nobody has named.
pub(crate) struct Names<'a> {
    /// Unique.
    fresh: &'a str,
    /// The same for the same bytes, for a while.
    repeated: String,
}

impl<'a> Names<'a> {
    pub(crate) fn new(delivery: &crate::Delivery<'_>, fresh: &'a str) -> Self {
        let time = delivery.received.millis() / REPEATED_MS;
        let repeated = format!("{}:{time}", checksum(delivery.body));
        Self { fresh, repeated }
    }
}

/// The id of an event that its reader did not name already, as builds and images with a digest are.
///
/// With a delivery it is named after that; `among` several events the reference or the tag is added.
/// Without one, commits are named after what they are, what is in a store after the bytes that tell of it, and
/// anything else is new each time: two equal bodies may well be two events.
pub(crate) fn event_id(event: &InboundEvent, names: &Names<'_>, among: usize) -> String {
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
            let delivery = delivery.as_deref().unwrap_or(&names.repeated);
            let image = event.image.as_deref().or(event.repository.as_deref());
            format!(
                "docker:{}:{reference}:{delivery}",
                image.unwrap_or_default()
            )
        }
        (delivery, kind) => {
            let unnamed = match kind {
                EventKind::Artifact => &names.repeated,
                _ => names.fresh,
            };
            let delivery = delivery.as_deref().unwrap_or(unnamed);
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
    format!("{kind}:sha256:{}", checksum(id.as_bytes()))
}

/// SHA-256 in hex.
fn checksum(bytes: &[u8]) -> String {
    let digits = |byte: u8| [byte >> 4, byte & 15];
    let digits = Sha256::digest(bytes).into_iter().flat_map(digits);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
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
