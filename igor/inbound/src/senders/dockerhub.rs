//! Docker Hub. It signs nothing and tells no digest.

use serde_json::{Value, json};

use super::{Message, Read, Reading};
use crate::{
    field,
    image::{self, Image},
};

/// The name of Docker Hub in Spinnaker's artifacts and registries, other than in image names.
const INDEX: &str = "index.docker.io";

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let repository = message.need("/repository/repo_name")?.to_owned();
    let tag = message.text("/push_data/tag");
    let event = Image {
        host: Some("docker.io".to_owned()),
        repository,
        tag,
        digest: None,
    }
    .event(message);
    let Some(mut event) = event else {
        return Read::ignored("the image has no tag");
    };
    // It repeats its calls without a name for them: one push is at one moment.
    event.delivery = field::shown(message.body, "/push_data/pushed_at");
    event.actor = message.text("/push_data/pusher");
    event.url = message.text("/repository/repo_url");
    event.artifacts = artifacts(message.body);
    event.trigger.insert("registry".to_owned(), INDEX.into());
    Read::one(event)
}

/// The image as Spinnaker's webhooks of the source `dockerhub` have it.
pub(super) fn artifacts(body: &Value) -> Vec<Value> {
    let artifact = || {
        let name = format!("{INDEX}/{}", field::text(body, "/repository/repo_name")?);
        let tag = field::text(body, "/push_data/tag").and_then(image::tag)?;
        let mut artifact = image::artifact(&name, Some(&tag), None);
        let pusher = field::text(body, "/push_data/pusher").unwrap_or_default();
        artifact["metadata"] = json!({"pusher": pusher});
        if let Some(provenance) = field::text(body, "/callback_url") {
            artifact["provenance"] = provenance.into();
        }
        Some(artifact)
    };
    artifact().into_iter().collect()
}
