//! One delivery, from its bytes to its events: limits, then proof, then fields.

use std::collections::BTreeMap;

use kork_model::inbound::{EventKind, InboundEvent, Verified};
use serde_json::Value;

use crate::{
    Delivery, Keys, Received, Refused, Sender, Source, content,
    limits::{
        self, ALL_HEADERS_BYTES_MAX, EVENTS_MAX, HEADER_BYTES_MAX, HEADERS_MAX, PAYLOAD_BYTES_MAX,
    },
    name::{self, Names},
    proof::{self, Proof},
    redact::Credentials,
    senders::{Message, Read, cloudevents},
    table::{self, Route},
    wordy,
};

/// Turns a delivery into events, or says why not.
///
/// - `source`: the configuration under the name in the path, if there is one. With secrets in `keys` the
///   delivery must be signed as the sender (or the source) has it; without, it is taken and marked
///   [`Verified::No`].
/// - `fresh_id`: a new id, unique, for events that neither the sender nor their content names.
///
/// Every signature is checked over `delivery.body` as it arrived, before anything is inflated or parsed; a
/// sender that compresses must sign what it sends. The one exception are forms of Gitea, which signs the text
/// in the field `payload`.
pub fn receive(
    delivery: &Delivery<'_>,
    source: Option<&Source>,
    keys: &Keys<'_>,
    fresh_id: &str,
) -> Result<Received, Refused> {
    within_limits(delivery)?;
    let route = table::route(delivery, source)?;
    let body_bytes_max = limits::body_bytes(route.row.sender, source);
    if delivery.body.len() > body_bytes_max {
        return Err(Refused::TooLarge {
            what: "bytes of the body",
            limit: body_bytes_max as u64,
            remedy: limits::LESS,
        });
    }
    if is_unsigned_ping(delivery, route) {
        return Ok(Received {
            sender: route.row.sender,
            delivery_id: name::delivery_id(delivery, route.row, false),
            verified: Verified::No,
            proof: None,
            events: Vec::new(),
            has_secret: false,
            ignored: Some("ignored, because it is a ping".to_owned()),
        });
    }
    let proof = proof::check(delivery, source, route.row.scheme, keys)?;
    let covers_id = proof == Some(Proof::SignatureWithId);
    let delivery_id = name::delivery_id(delivery, route.row, covers_id);
    let any_text = cloudevents::is_binary(delivery);
    let mut body = content::json(delivery, (route.reads_forms, any_text), body_bytes_max)?;
    let credentials = Credentials {
        source,
        secrets: keys.secrets,
    };
    let has_secret = credentials.taken_out_of(&mut body);
    let message = Message {
        delivery,
        source,
        sender: route.row.sender,
        body: &body,
    };
    let mut read = (route.read)(&message)?;
    if read.events.len() > EVENTS_MAX {
        return Err(Refused::TooLarge {
            what: "events of one delivery",
            limit: EVENTS_MAX as u64,
            remedy: "send fewer changes at once",
        });
    }
    let shortened = wordy::shorten(route.row.sender, delivery, &mut body, &read.events)?;
    read.ignored = read.ignored.or(shortened);
    Finish {
        delivery,
        sender: route.row.sender,
        credentials,
        has_secret,
        proof,
        verified: proof.map_or(Verified::No, |_| Verified::Signed),
        names: Names::new(delivery, fresh_id),
    }
    .events(read, delivery_id, body)
}

fn within_limits(delivery: &Delivery<'_>) -> Result<(), Refused> {
    if delivery.headers.len() > HEADERS_MAX || delivery.query.len() > HEADERS_MAX {
        return Err(Refused::TooLarge {
            what: "headers or parameters of the query",
            limit: HEADERS_MAX as u64,
            remedy: "send fewer",
        });
    }
    let longest = delivery.headers.iter().chain(delivery.query);
    if longest
        .into_iter()
        .any(|(name, value)| name.len() + value.len() > HEADER_BYTES_MAX)
    {
        return Err(Refused::TooLarge {
            what: "bytes of one header or parameter",
            limit: HEADER_BYTES_MAX as u64,
            remedy: "send less in it",
        });
    }
    let bytes = |(name, value): (&String, &String)| name.len() + value.len();
    if delivery.headers.iter().map(bytes).sum::<usize>() > ALL_HEADERS_BYTES_MAX {
        return Err(Refused::TooLarge {
            what: "bytes of all headers",
            limit: ALL_HEADERS_BYTES_MAX as u64,
            remedy: "send fewer",
        });
    }
    Ok(())
}

/// Bitbucket Data Center does not sign its ping, whatever secret it has; nothing is read from it.
fn is_unsigned_ping(delivery: &Delivery<'_>, route: Route) -> bool {
    route.row.sender == Sender::BitbucketServer
        && delivery.header("x-event-key") == Some("diagnostics:ping")
}

/// What all events of a delivery have in common.
struct Finish<'a> {
    delivery: &'a Delivery<'a>,
    sender: Sender,
    credentials: Credentials<'a>,
    has_secret: bool,
    proof: Option<Proof>,
    verified: Verified,
    names: Names<'a>,
}

impl Finish<'_> {
    fn events(
        self,
        read: Read,
        delivery_id: Option<String>,
        body: Value,
    ) -> Result<Received, Refused> {
        let Read {
            mut events,
            ignored,
        } = read;
        let without_payload = events
            .iter()
            .filter(|event| event.payload.is_empty())
            .count();
        if without_payload > 1
            && without_payload.saturating_mul(self.delivery.body.len()) > PAYLOAD_BYTES_MAX
        {
            return Err(Refused::TooLarge {
                what: "bytes of the body, once for each of its events,",
                limit: PAYLOAD_BYTES_MAX as u64,
                remedy: "send fewer changes at once",
            });
        }
        let attributes = attributes(self.delivery, self.credentials);
        let among = events.len();
        for event in &mut events {
            self.complete(event, delivery_id.as_ref(), &attributes, among);
        }
        give_payload(&mut events, body);
        let unproven = self.sender == Sender::Jenkins && self.verified == Verified::No;
        for event in events.iter_mut().filter(|_| unproven) {
            without_claims(event);
        }
        tell_apart(&mut events);
        let told = events.first().and_then(|event| event.delivery.clone());
        Ok(Received {
            sender: self.sender,
            delivery_id: delivery_id.or(told.filter(|_| among == 1)),
            verified: self.verified,
            proof: self.proof,
            events,
            has_secret: self.has_secret,
            ignored,
        })
    }

    fn complete(
        &self,
        event: &mut InboundEvent,
        delivery_id: Option<&String>,
        attributes: &BTreeMap<String, String>,
        among: usize,
    ) {
        let delivery = self.delivery;
        self.sender.name().clone_into(&mut event.sender);
        delivery.source.clone_into(&mut event.source);
        event.received = delivery.received;
        // What Jenkins says of a build is a hint: it is fetched before it is trusted.
        let is_hint = self.sender == Sender::Jenkins && event.kind == EventKind::Build;
        event.verified = if is_hint { Verified::No } else { self.verified };
        // One of a batch keeps the name that it has of its own.
        if let Some(id) = delivery_id
            && (among == 1 || event.delivery.is_none())
        {
            event.delivery = Some(id.clone());
        }
        for (name, value) in attributes {
            event
                .attributes
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        event.url = event.url.take().filter(|url| is_web(url));
        if event.id.is_empty() {
            let image = Some(&*event)
                .filter(|event| event.kind == EventKind::Image)
                .and_then(name::image_id);
            event.id = image.unwrap_or_else(|| name::event_id(event, &self.names, among));
        }
    }
}

/// Takes off what a build that nobody vouches for must not bring into a pipeline: fetching the build makes its
/// result trustworthy, and not what somebody wrote beside its URL.
pub fn without_claims(event: &mut InboundEvent) {
    event.parameters.clear();
    event.artifacts.clear();
    for claim in ["parameters", "artifacts"] {
        event.payload.remove(claim);
    }
}

/// The body is the payload of every event that has none of its own. The last of them gets the body itself:
/// a large push is one event, and needs no second copy.
fn give_payload(events: &mut [InboundEvent], body: Value) {
    let Value::Object(body) = body else { return };
    let mut without: Vec<&mut InboundEvent> = events
        .iter_mut()
        .filter(|event| event.payload.is_empty())
        .collect();
    if let Some(last) = without.pop() {
        for event in without {
            event.payload.clone_from(&body);
        }
        last.payload = body;
    }
}

/// Two changes of one delivery that would have the same id are numbered: each happened. The same image told
/// twice did not.
fn tell_apart(events: &mut Vec<InboundEvent>) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    events.retain_mut(|event| {
        let times = seen.entry(event.id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            if matches!(event.kind, EventKind::Image | EventKind::Build) {
                return false;
            }
            event.id = name::bounded(format!("{}:{times}", event.id));
        }
        true
    });
}

/// A link that a page may show: scripts are not.
fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Headers that constraints may look at: no credentials.
fn attributes(delivery: &Delivery<'_>, credentials: Credentials<'_>) -> BTreeMap<String, String> {
    let headers = delivery.headers.iter();
    headers
        // The data of a CDEvent in a header is a body, and it is in the payload.
        .filter(|(name, value)| {
            !name.eq_ignore_ascii_case("ce-data") && !credentials.hides(name, value)
        })
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect()
}
