//! The door for webhooks.

use std::collections::BTreeMap;

use actix_web::http::header::HeaderMap;
use kork_model::api::orca::ReceiveWebhook;

use crate::{
    http::{
        answer::{Answer, Outcome},
        call::Call,
        dispatch::is_plain_id,
        refusal::Refusal,
        route::{BodyRule, Route, Verb, run},
    },
    limit,
};

/// Headers in which senders name a delivery, the first that is present counts. A delivery that is
/// sent again has the same name, and starts nothing again.
const DELIVERY_HEADERS: [&str; 6] = [
    "idempotency-key",
    "x-github-delivery",
    "x-gitlab-event-uuid",
    "x-request-uuid",
    "x-gitea-delivery",
    "x-delivery-id",
];

pub(crate) const ROUTES: &[Route] = &[Route::new(
    Verb::Post,
    "/webhooks/{type}/{source}",
    "receiveWebhook",
    run!(receive),
)
.about(
    "webhooks",
    "An event from outside; every matching pipeline is started.",
)
.body(BodyRule::Optional("Object"))
.json("WebhookTaken")];

async fn receive(call: Call) -> Outcome {
    let event_id = match delivery(&call)? {
        Some(id) => id,
        None => call.gate.ports.ids.uuid(),
    };
    let webhook = ReceiveWebhook {
        kind: call.part("type"),
        source: call.part("source"),
        payload: call.object_or_empty()?,
        headers: handed_on(&call.headers),
        event_id: Some(event_id),
    };
    Answer::json(&call.ask(&webhook).await?)
}

fn delivery(call: &Call) -> Result<Option<String>, Refusal> {
    let Some(name) = DELIVERY_HEADERS
        .iter()
        .find(|name| call.headers.contains_key(**name))
    else {
        return Ok(None);
    };
    match call.header(name).filter(|id| is_plain_id(id)) {
        Some(id) => Ok(Some(id.to_owned())),
        None => Err(Refusal::invalid(
            "GATE-0019",
            format!(
                "the header {name} must have 1 to {} letters, digits, or `-`, `_`, `.`, `:`",
                limit::REQUEST_ID_BYTES_MAX
            ),
        )),
    }
}

/// What a matcher may look at: the headers of the sender, never credentials or the caller's trace.
fn handed_on(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            name.starts_with("x-") && !name.starts_with("x-spinnaker-") && !name.contains("token")
        })
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .take(limit::WEBHOOK_HEADERS_MAX)
        .collect()
}
