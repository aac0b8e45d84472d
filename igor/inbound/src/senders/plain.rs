//! Webhooks whose body is the operator's own: Spinnaker's webhook triggers, and senders that use templates.

use kork_model::{
    Context,
    inbound::{EventKind, InboundEvent},
};
use serde_json::Value;

use super::{Message, Read, Reading, distribution, dockerhub, nexus, quay};
use crate::{Refused, field};

/// `parameters` and `artifacts` of the body start pipelines; the whole body is the payload.
pub(crate) fn webhook(message: &Message<'_>) -> Reading {
    if !message.body.is_object() {
        return Err(Refused::invalid(
            "body",
            "it is JSON, but no object",
            "send an object: wrap a list into one",
        ));
    }
    let mut event = InboundEvent {
        kind: EventKind::Webhook,
        parameters: parameters(message.body),
        artifacts: given_artifacts(message.body),
        ..InboundEvent::default()
    };
    if event.artifacts.is_empty() {
        event.artifacts = known_artifacts(message);
    }
    Read::one(event)
}

/// Standard Webhooks: the body's `type` says what happened.
pub(crate) fn standard(message: &Message<'_>) -> Reading {
    let mut read = webhook(message)?;
    for event in &mut read.events {
        event.action = message.text("/type");
    }
    Ok(read)
}

/// Sonatype IQ: a header says what happened.
pub(crate) fn sonatype_iq(message: &Message<'_>) -> Reading {
    let mut read = webhook(message)?;
    for event in &mut read.events {
        event.action = message.header("x-nexus-webhook-id").map(str::to_owned);
    }
    Ok(read)
}

pub(super) fn parameters(body: &Value) -> Context {
    field::object(body, "/parameters")
        .cloned()
        .unwrap_or_default()
}

/// Artifacts that the body lists itself; what is no object is none.
pub(super) fn given_artifacts(body: &Value) -> Vec<Value> {
    field::list(body, "/artifacts")
        .iter()
        .filter(|artifact| artifact.is_object())
        .cloned()
        .collect()
}

/// Artifacts of sources whose bodies Spinnaker knows by the name of the source.
fn known_artifacts(message: &Message<'_>) -> Vec<Value> {
    match message.delivery.source {
        "dockerhub" => dockerhub::artifacts(message.body),
        "quay" => quay::artifacts(message.body),
        "dockerregistry" => distribution::artifacts(message.body),
        name if name.eq_ignore_ascii_case("nexus") => nexus::artifacts(message.body),
        _ => Vec::new(),
    }
}
