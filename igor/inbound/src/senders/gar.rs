//! Google Artifact Registry and Container Registry, by way of Pub/Sub push.

use super::{Message, Read, Reading, pubsub};
use crate::{content, field, image::Image};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let envelope =
        pubsub::Envelope::of_google(message).ok_or_else(|| message.missing("/message/data"))?;
    let data = content::parse(envelope.data.as_bytes())?;
    if field::text(&data, "/action") != Some("INSERT") {
        return Read::ignored("no image was added");
    }
    let Some(tagged) = field::text(&data, "/tag").and_then(Image::parse) else {
        return Read::ignored("the image has no tag");
    };
    let digest = field::text(&data, "/digest")
        .and_then(|text| text.split_once('@'))
        .map(|(_, digest)| digest.to_owned());
    let Some(mut event) = (Image { digest, ..tagged }).event(message) else {
        return Read::ignored("the image has no tag");
    };
    event.delivery = envelope.id;
    if let Some(data) = data.as_object() {
        event.payload.clone_from(data);
    }
    event.attributes = envelope.attributes;
    Read::one(event)
}
