//! Harbor, in its own format and as `CloudEvents`.

use super::{Message, Read, Reading};
use crate::{field, image::Image};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let body = message.body;
    let kind = message.need("/type")?;
    if !matches!(kind, "PUSH_ARTIFACT" | "harbor.artifact.pushed") {
        let kind: String = kind.chars().take(64).collect();
        return Read::ignored(format!("no trigger is about the event `{kind}`"));
    }
    let at = if body.get("event_data").is_some() {
        "/event_data"
    } else {
        "/data"
    };
    let named = field::text(body, &format!("{at}/repository/repo_full_name"));
    let actor = field::first_text(body, &["/operator", "/data/operator"]);
    let events = field::list(body, &format!("{at}/resources"))
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
