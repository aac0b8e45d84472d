//! Messages of a subscription that come over HTTP: Spinnaker's own description, Google's push, Amazon SNS.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kork_model::{
    Context,
    inbound::{EventKind, InboundEvent},
};
use serde_json::Value;

use super::{Message, Read, Reading, plain};
use crate::field;

/// Set by Pub/Sub when it pushes the data alone, its metadata in headers.
const UNWRAPPED_ID: &str = "x-goog-pubsub-message-id";
const UNWRAPPED: &str = "x-goog-pubsub-";

/// What is around the data of a message.
pub(super) struct Envelope {
    /// `google`, `amazon`, `kafka`, ...
    pub system: String,
    pub subscription: Option<String>,
    pub id: Option<String>,
    pub attributes: BTreeMap<String, String>,
    /// The data as text.
    pub data: String,
}

impl Envelope {
    /// In the body, or in the headers when that is how the subscription pushes.
    pub(super) fn of_google(message: &Message<'_>) -> Option<Self> {
        match message.header(UNWRAPPED_ID) {
            Some(_) => Some(Self::unwrapped(message)),
            None => Self::google(message.body),
        }
    }

    /// `{"message":{"data":<base64>,"attributes":{…},"messageId":…},"subscription":…}`.
    fn google(body: &Value) -> Option<Self> {
        let message = body.get("message").filter(|message| message.is_object())?;
        let data = match message.get("data") {
            None | Some(Value::Null) => Vec::new(),
            Some(data) => STANDARD.decode(data.as_str()?).ok()?,
        };
        let subscription = field::text(body, "/subscription");
        Some(Self {
            system: "google".to_owned(),
            subscription: subscription
                .and_then(|name| name.rsplit('/').next())
                .map(str::to_owned),
            id: field::first_text(message, &["/messageId", "/message_id"]).map(str::to_owned),
            attributes: texts(message, "/attributes"),
            data: String::from_utf8(data).ok()?,
        })
    }

    /// The data alone; names of the message are in headers, and attributes are all others.
    fn unwrapped(message: &Message<'_>) -> Self {
        let named = |name: &str| message.header(&format!("{UNWRAPPED}{name}"));
        let subscription = named("subscription-name");
        Self {
            system: "google".to_owned(),
            subscription: subscription
                .and_then(|name| name.rsplit('/').next())
                .map(str::to_owned),
            id: named("message-id").map(str::to_owned),
            attributes: BTreeMap::new(),
            data: match message.body {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            },
        }
    }

    /// `{"Type":"Notification","MessageId":…,"TopicArn":…,"Message":…}`.
    fn amazon(body: &Value) -> Option<Self> {
        let attributes = field::object(body, "/MessageAttributes")
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), field::owned(value, "/Value")?)))
            .collect();
        Some(Self {
            system: "amazon".to_owned(),
            subscription: field::text(body, "/TopicArn")
                .and_then(|arn| arn.rsplit(':').next())
                .map(str::to_owned),
            id: field::owned(body, "/MessageId"),
            attributes,
            data: field::owned(body, "/Message")?,
        })
    }

    /// `{"messageDescription":{"pubsubSystem":…,"subscriptionName":…,"messagePayload":…}}`, or the same
    /// without the outer object.
    fn spinnaker(body: &Value) -> Option<Self> {
        let description = body
            .get("messageDescription")
            .filter(|description| description.is_object())
            .unwrap_or(body);
        Some(Self {
            system: field::text(description, "/pubsubSystem")?.to_ascii_lowercase(),
            subscription: field::owned(description, "/subscriptionName"),
            id: field::owned(description, "/messageId"),
            attributes: texts(description, "/messageAttributes"),
            data: match description.get("messagePayload").or(body.get("payload")) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            },
        })
    }
}

fn texts(value: &Value, pointer: &str) -> BTreeMap<String, String> {
    field::object(value, pointer)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let body = message.body;
    let envelope = match field::text(body, "/Type") {
        Some("SubscriptionConfirmation" | "UnsubscribeConfirmation") => {
            return Read::ignored("Amazon asks for a confirmation: open its SubscribeURL once");
        }
        Some("Notification") => Envelope::amazon(body),
        _ if body.get("message").is_some() || message.header(UNWRAPPED_ID).is_some() => {
            Envelope::of_google(message)
        }
        _ => Envelope::spinnaker(body),
    };
    let Some(envelope) = envelope else {
        return Err(crate::Refused::invalid(
            "body",
            "it is no message of a subscription",
            "send what Pub/Sub push or SNS sends, or a messageDescription with a pubsubSystem",
        ));
    };
    let configured = message
        .source
        .and_then(|source| source.subscription.clone());
    let subscription = configured
        .or(envelope.subscription)
        .unwrap_or_else(|| message.delivery.source.to_owned());
    let payload = crate::content::parse(envelope.data.as_bytes()).unwrap_or(Value::Null);
    let mut trigger = Context::new();
    field::put(&mut trigger, "pubsubSystem", Some(envelope.system));
    field::put(&mut trigger, "subscriptionName", Some(subscription));
    let mut event = InboundEvent {
        kind: EventKind::Pubsub,
        delivery: envelope.id,
        parameters: plain::parameters(&payload),
        artifacts: plain::given_artifacts(&payload),
        attributes: envelope.attributes,
        trigger,
        ..InboundEvent::default()
    };
    event.payload = match payload {
        Value::Object(payload) => payload,
        // A message that is no object is still there for constraints, under one name.
        _ => Context::from_iter([("data".to_owned(), Value::String(envelope.data))]),
    };
    Read::one(event)
}
