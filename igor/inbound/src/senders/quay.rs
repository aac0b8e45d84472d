//! Quay: one call for all tags of a push, without digests.

use serde_json::Value;

use super::{Message, Read, Reading};
use crate::{
    field,
    image::{self, Image},
};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let body = message.body;
    let repository = repository(body).ok_or_else(|| message.missing("/repository"))?;
    let host = field::text(body, "/docker_url")
        .and_then(Image::parse)
        .and_then(|image| image.host);
    let events = tags(body).into_iter().filter_map(|tag| {
        let mut event = Image {
            host: host.clone(),
            repository: repository.clone(),
            tag: Some(tag.to_owned()),
            digest: None,
        }
        .event(message)?;
        event.url = message.text("/homepage");
        Some(event)
    });
    Read::all(events, "it names no updated tag")
}

fn repository(body: &Value) -> Option<String> {
    field::owned(body, "/repository").or_else(|| {
        let namespace = field::text(body, "/namespace")?;
        Some(format!("{namespace}/{}", field::text(body, "/name")?))
    })
}

/// A list of tags, or in old versions an object from tag to image.
fn tags(body: &Value) -> Vec<&str> {
    match body.get("updated_tags") {
        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).collect(),
        Some(Value::Object(tags)) => tags.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The images as Spinnaker's webhooks of the source `quay` have them.
pub(super) fn artifacts(body: &Value) -> Vec<Value> {
    let Some(name) = field::text(body, "/docker_url") else {
        return Vec::new();
    };
    tags(body)
        .into_iter()
        .filter_map(image::tag)
        .map(|tag| {
            let mut artifact = image::artifact(name, Some(&tag), None);
            if let Some(provenance) = field::text(body, "/homepage") {
                artifact["provenance"] = provenance.into();
            }
            artifact
        })
        .collect()
}
