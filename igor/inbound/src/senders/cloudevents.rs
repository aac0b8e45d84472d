//! `CloudEvents` over HTTP: attributes in headers (binary), around the data (structured), or a list (batch).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kork_model::{
    Context,
    inbound::{EventKind, InboundEvent},
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Message, Read, Reading, cdevents, plain};
use crate::{Delivery, Refused, content, limits::EVENTS_MAX};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// One event: its attributes by their bare names, and its data.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CloudEvent {
    pub attributes: BTreeMap<String, String>,
    pub data: Value,
}

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let events = parse(message)?
        .into_iter()
        .map(|event| event.event(message))
        .collect::<Result<Vec<_>, _>>()?;
    Read::all(events, "the batch is empty")
}

/// All events of a delivery, in any of the three modes. The content type decides; where it names none of the two
/// structured ones, the headers do.
pub(super) fn parse(message: &Message<'_>) -> Result<Vec<CloudEvent>, Refused> {
    let media_type = content::media_type(message.delivery);
    if media_type == BATCH {
        let Value::Array(events) = message.body else {
            return Err(Refused::invalid(
                "body",
                "a batch of CloudEvents is a list, and this is none",
                "send a list, or application/cloudevents+json for one event",
            ));
        };
        if events.len() > EVENTS_MAX {
            return Err(Refused::TooLarge {
                what: "events of one batch",
                limit: EVENTS_MAX as u64,
                remedy: "send smaller batches",
            });
        }
        return events.iter().map(structured).collect();
    }
    if is_binary(message.delivery) {
        return binary(message).map(|event| vec![event]);
    }
    structured(message.body).map(|event| vec![event])
}

/// Whether the attributes are in the headers.
pub(crate) fn is_binary(delivery: &Delivery<'_>) -> bool {
    let media_type = content::media_type(delivery);
    delivery.header("ce-type").is_some() && media_type != BATCH && media_type != STRUCTURED
}

/// An attribute from its header, where what is not printable is percent-encoded.
fn decoded(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// The name of a delivery whose attributes are in its headers.
pub(crate) fn delivery_in_headers(delivery: &Delivery<'_>) -> Option<String> {
    let id = delivery.header("ce-id").filter(|_| is_binary(delivery))?;
    let source = delivery.header("ce-source").unwrap_or_default();
    Some(format!("{}#{}", decoded(source), decoded(id)))
}

fn binary(message: &Message<'_>) -> Result<CloudEvent, Refused> {
    let attributes = message
        .delivery
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("ce-")?, value)))
        // Echo wants the data of a CDEvent in a header: it is no attribute.
        .filter(|(name, _)| *name != "data")
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    CloudEvent {
        attributes,
        data: message.body.clone(),
    }
    .complete("header ce-")
}

fn structured(event: &Value) -> Result<CloudEvent, Refused> {
    let Value::Object(members) = event else {
        return Err(Refused::invalid(
            "body",
            "a CloudEvent is an object",
            "send one with specversion, id, source and type",
        ));
    };
    let data = match (members.get("data"), members.get("data_base64")) {
        (Some(data), _) => data.clone(),
        (None, Some(Value::String(text))) => from_base64(text)?,
        _ => Value::Null,
    };
    let attributes = members
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "data" | "data_base64"))
        .filter_map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                _ => return None,
            };
            Some((name.clone(), text))
        })
        .collect();
    CloudEvent { attributes, data }.complete("body.")
}

/// Data in base64: JSON, else the text, else what it is in base64.
fn from_base64(text: &str) -> Result<Value, Refused> {
    let bytes = STANDARD.decode(text).map_err(|_| {
        Refused::invalid(
            "body.data_base64",
            "it is not base64",
            "send base64, or JSON in data",
        )
    })?;
    Ok(content::json_or_text(&bytes))
}

impl CloudEvent {
    /// Checks the attributes that every `CloudEvent` has. Of other versions than 1.0 only that of the plugins of
    /// Jenkins is read.
    fn complete(self, place: &str) -> Result<Self, Refused> {
        let version = self.attribute("specversion");
        let plugins = ["dev.cdevents.", "org.jenkinsci."];
        let is_of_plugin = |prefix| self.attribute("type").starts_with(prefix);
        let of_plugin = version == "0.3" && plugins.into_iter().any(is_of_plugin);
        if version != "1.0" && !of_plugin {
            return Err(Refused::invalid(
                format!("{place}specversion"),
                "only version 1.0 of CloudEvents is known",
                "send specversion 1.0",
            ));
        }
        for name in ["id", "source", "type"] {
            if self.attribute(name).is_empty() {
                return Err(Refused::invalid(
                    format!("{place}{name}"),
                    "every CloudEvent has this attribute and this one does not",
                    "send specversion, id, source and type",
                ));
            }
        }
        Ok(self)
    }

    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Its name for a delivery: id and source together are unique.
    pub(super) fn delivery(&self) -> String {
        format!("{}#{}", self.attribute("source"), self.attribute("id"))
    }

    /// The attributes as the headers of binary mode, which constraints are written for.
    pub(super) fn headers(&self) -> BTreeMap<String, String> {
        self.attributes
            .iter()
            .map(|(name, value)| (format!("ce-{name}"), value.clone()))
            .collect()
    }

    fn event(self, message: &Message<'_>) -> Result<InboundEvent, Refused> {
        if self.attribute("type").starts_with("dev.cdevents.") {
            return cdevents::event(message, Some(&self), &self.data);
        }
        let event = InboundEvent {
            kind: EventKind::Webhook,
            delivery: Some(self.delivery()),
            action: Some(self.attribute("type").to_owned()),
            attributes: self.headers(),
            parameters: plain::parameters(&self.data),
            artifacts: plain::given_artifacts(&self.data),
            ..InboundEvent::default()
        };
        Ok(InboundEvent {
            payload: match self.data {
                Value::Object(data) => data,
                data => Context::from_iter([("data".to_owned(), data)]),
            },
            ..event
        })
    }
}
