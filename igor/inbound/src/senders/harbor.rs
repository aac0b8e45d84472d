//! Harbor, in its own format, as `CloudEvents` and as `CDEvents`.

use kork_model::inbound::InboundEvent;
use serde_json::Value;

use super::{Message, Read, Reading, cdevents, cloudevents, cloudevents::CloudEvent};
use crate::{field, image::Image};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let body = message.body;
    if cdevents::is_cdevent(body) && !cloudevents::is_binary(message.delivery) {
        return published(message, None, body);
    }
    if cloudevents::is_binary(message.delivery) || body.get("specversion").is_some() {
        let mut read = Read::default();
        for event in cloudevents::parse(message)? {
            let one = of_cloud_event(message, &event)?;
            read.events.extend(one.events);
            read.ignored = read.ignored.or(one.ignored);
        }
        return Ok(read);
    }
    let actor = field::text(body, "/operator");
    match message.need("/type")? {
        "PUSH_ARTIFACT" => pushed(message, &body["event_data"], actor),
        other => nothing(other),
    }
}

fn of_cloud_event(message: &Message<'_>, event: &CloudEvent) -> Reading {
    if cdevents::is_cdevent(&event.data) {
        return published(message, Some(event), &event.data);
    }
    let kind = event.attribute("type");
    if kind != "harbor.artifact.pushed" {
        return nothing(kind);
    }
    // The operator is an extension attribute.
    let actor = field::text(&event.data, "/operator").or_else(|| {
        let operator = event.attribute("operator");
        (!operator.is_empty()).then_some(operator)
    });
    let mut read = pushed(message, &event.data, actor)?;
    for pushed in &mut read.events {
        pushed.delivery = Some(event.delivery());
    }
    Ok(read)
}

fn nothing(kind: &str) -> Reading {
    let kind: String = kind.chars().take(64).collect();
    Read::ignored(format!("no trigger is about the event `{kind}`"))
}

fn pushed(message: &Message<'_>, data: &Value, actor: Option<&str>) -> Reading {
    let named = field::text(data, "/repository/repo_full_name");
    let events = field::list(data, "/resources")
        .iter()
        .filter_map(|resource| {
            let url = field::text(resource, "/resource_url").and_then(Image::parse);
            let repository = match (named, &url) {
                (Some(named), _) => named.to_owned(),
                (None, Some(url)) => url.repository.clone(),
                (None, None) => return None,
            };
            let mut event = Image {
                host: url.and_then(|url| url.host),
                repository,
                // A push by digest has the digest here, which is no tag.
                tag: field::owned(resource, "/tag"),
                digest: field::owned(resource, "/digest"),
            }
            .event(message)?;
            event.actor = actor.map(str::to_owned);
            Some(event)
        });
    Read::all(events, "no image of it has a tag")
}

/// A `CDEvent` that an artifact was published, as the push of an image.
fn published(message: &Message<'_>, envelope: Option<&CloudEvent>, data: &Value) -> Reading {
    let kind = field::text(data, "/context/type").and_then(cdevents::what);
    let kind = kind.unwrap_or_default();
    if !matches!(kind.as_str(), "artifact.published" | "artifact.packaged") {
        return nothing(&kind);
    }
    let image = cdevents::image(data).ok_or_else(|| message.missing("/subject/id"))?;
    let Some(event) = image.event(message) else {
        return Read::ignored("the image has no tag");
    };
    Read::one(InboundEvent {
        delivery: envelope
            .map(CloudEvent::delivery)
            .or_else(|| field::owned(data, "/context/id")),
        actor: field::owned(data, "/subject/content/user"),
        ..event
    })
}
