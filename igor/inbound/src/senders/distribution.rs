//! The distribution registry (`registry:3`): a list of events, of which pushes of tagged manifests count.

use serde_json::{Value, json};

use super::{Message, Read, Reading};
use crate::{
    field,
    image::{self, Image},
};

const MANIFESTS: [&str; 6] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
];

pub(crate) fn read(message: &Message<'_>) -> Reading {
    if !message.body.get("events").is_some_and(Value::is_array) {
        return Err(message.missing("/events"));
    }
    let events = pushes(message.body).filter_map(|push| {
        let mut event = pushed(push)?.event(message)?;
        event.actor = field::owned(push, "/actor/name");
        event.delivery = field::owned(push, "/id");
        Some(event)
    });
    Read::all(events, "it holds no push of an image with a tag")
}

/// Pushes of manifests and indexes; layers, pulls, mounts and deletions are left out.
fn pushes(body: &Value) -> impl Iterator<Item = &Value> {
    field::list(body, "/events").iter().filter(|event| {
        field::text(event, "/action") == Some("push")
            && field::text(event, "/target/mediaType").is_some_and(|kind| MANIFESTS.contains(&kind))
    })
}

fn pushed(push: &Value) -> Option<Image> {
    Some(Image {
        host: field::owned(push, "/request/host"),
        repository: field::owned(push, "/target/repository")?,
        tag: field::owned(push, "/target/tag"),
        digest: field::owned(push, "/target/digest"),
    })
}

/// The images as Spinnaker's webhooks of the source `dockerregistry` have them: also those without a tag, and those
/// with one are referred to by it, which its pipelines compare with. The digest is beside it.
pub(super) fn artifacts(body: &Value) -> Vec<Value> {
    pushes(body)
        .filter_map(pushed)
        .filter_map(|image| {
            let host = image.host.map(|host| host + "/").unwrap_or_default();
            let tag = image.tag.as_deref().and_then(image::tag);
            let digest = image.digest.as_deref().and_then(image::digest);
            (tag.is_some() || digest.is_some()).then(|| {
                let name = format!("{host}{}", image.repository);
                let mut artifact = match &tag {
                    Some(tag) => image::artifact(&name, Some(tag), None),
                    None => image::artifact(&name, None, digest.as_deref()),
                };
                if let Some(digest) = digest {
                    artifact["metadata"] = json!({"digest": digest});
                }
                artifact
            })
        })
        .collect()
}
