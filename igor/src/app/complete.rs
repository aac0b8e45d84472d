//! Events that say too little: the build as its controller shows it, the digest of an image.

use igor_watch::resolve_digest;
use kork_model::{InboundEvent, Kind, Problem, api::igor::CompleteEvent, inbound::EventKind};
use serde_json::{Value, json};

use super::{Igor, deliveries::REPLAY};

impl Igor {
    /// The event with what its sender left out; none when there is nothing behind it.
    pub(crate) async fn complete(
        &self,
        request: CompleteEvent,
    ) -> Result<Option<InboundEvent>, Problem> {
        let CompleteEvent {
            mut event,
            property_files,
        } = request;
        if event.kind == EventKind::Build {
            return self.complete_build(event, &property_files).await;
        }
        if event.image.is_some() && event.digest.is_none() {
            self.resolve(&mut event).await?;
        }
        event.incomplete = false;
        Ok(Some(event))
    }

    async fn resolve(&self, event: &mut InboundEvent) -> Result<(), Problem> {
        let (Some(image), Some(tag)) = (event.image.clone(), event.tag.clone()) else {
            return Ok(());
        };
        let Some(client) = self.polls.registry(&image) else {
            return Ok(());
        };
        let digest = resolve_digest(&client, &image, &tag).await;
        let digest = digest.map_err(|error| {
            let kind = if error.is_passing() {
                Kind::Unavailable
            } else {
                Kind::NotFound
            };
            let text = format!("the digest of {image}:{tag} cannot be had");
            Problem::new("IGOR-0008", kind, text).because(&error)
        })?;
        event.trigger.insert("digest".to_owned(), json!(digest));
        for artifact in &mut event.artifacts {
            if artifact["type"] == "docker/image" && artifact["version"] == tag.as_str() {
                let name = artifact["name"].as_str().unwrap_or(&image);
                artifact["reference"] = Value::from(format!("{name}@{digest}"));
                artifact["metadata"]["digest"] = json!(digest);
            }
        }
        event.digest = Some(digest);
        // What is done again by hand stays something new; else it has the name that others give to it.
        if event.kind == EventKind::Image && !event.id.contains(REPLAY) {
            let delivery = event.delivery.clone();
            // This may be asked again, and is the same then.
            event.delivery.get_or_insert_with(|| event.id.clone());
            self.name_delivered(std::slice::from_mut(event)).await;
            event.delivery = delivery;
        }
        Ok(())
    }
}
