//! Azure Container Registry.

use super::{Message, Read, Reading};
use crate::{field, image::Image};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let body = message.body;
    match message.need("/action")? {
        "push" => {}
        "ping" => return Read::ignored("it is a ping"),
        "delete" | "chart_delete" => return Read::ignored("an image was deleted"),
        "chart_push" => {
            return Read::ignored(
                "charts of the old kind are no images: push the chart as an OCI artifact",
            );
        }
        other => {
            let other: String = other.chars().take(64).collect();
            return Read::ignored(format!("no trigger is about the action `{other}`"));
        }
    }
    let event = Image {
        host: message.text("/request/host"),
        repository: message.need("/target/repository")?.to_owned(),
        tag: message.text("/target/tag"),
        digest: field::owned(body, "/target/digest"),
    }
    .event(message);
    let Some(mut event) = event else {
        return Read::ignored("the image has no tag");
    };
    event.delivery = message.text("/id");
    Read::one(event)
}
