//! A delivery from outside: verified, normalised, stored, answered; in this order.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use igor_inbound::{Delivery, Keys, Received, Refused};
use kork::{rpc, trace};
use kork_model::{
    InboundEvent, Kind, Problem, Timestamp,
    api::{
        igor::{DeliveryRecord, DeliveryTaken, RawBody, ReceiveDelivery, ReplayDelivery},
        orca::ReceiveEvents,
    },
    inbound::Verified,
};
use serde_json::Value;

use super::{Igor, accounts};

/// What a header, or a member of the query, must not have in its name to be shown.
const HIDDEN: [&str; 9] = [
    "authorization",
    "token",
    "secret",
    "password",
    "api-key",
    "apikey",
    "credential",
    "event-auth",
    "cookie",
];
/// What stands in the place of a hidden value.
const REDACTED: &str = "***";
/// How long a build that is not final waits for the word that it is.
const FINAL_WAIT_MS: u64 = 60_000;

impl Igor {
    /// Takes a delivery. Once this is answered it starts its pipelines, whatever becomes of this process.
    pub(crate) async fn receive(&self, request: ReceiveDelivery) -> Result<DeliveryTaken, Problem> {
        let body = bytes_of(&request.body)?;
        let id = self.ports.ids.ulid();
        let now = self.ports.clock.now();
        let accounts = self.accounts.now();
        let source = accounts.source(&request.source);
        let secrets = source.map(accounts::secrets).transpose()?;
        let secrets = secrets.unwrap_or_default();
        let delivery = Delivery {
            kind: &request.kind,
            source: &request.source,
            headers: &request.headers,
            query: &request.query,
            body: &body,
            received: now,
        };
        let mut record = record(&id, now, &request);
        let google = self.accounts.google_keys()?;
        let keys = Keys {
            secrets: &secrets,
            google: google.as_ref(),
        };
        let received = igor_inbound::receive(&delivery, source, &keys, &id);
        let received = match received {
            Ok(received) => received,
            Err(refused) => {
                let problem = refusal(&refused);
                "refused".clone_into(&mut record.verdict);
                record.because = Some(told(&refused));
                tracing::warn!(
                    target: "audit", source = request.source, sender = request.kind, delivery = id,
                    because = record.because, "a delivery is refused"
                );
                self.history.note(record);
                return Err(problem);
            }
        };
        let allowed = source.map_or(self.config.allow_unverified, |s| s.allow_unverified);
        self.take(received, allowed, record, request.body).await
    }

    async fn take(
        &self,
        received: Received,
        unverified_may: bool,
        mut record: DeliveryRecord,
        body: RawBody,
    ) -> Result<DeliveryTaken, Problem> {
        received.sender.name().clone_into(&mut record.sender);
        record.delivery = received.delivery_id;
        record.body = Some(body);
        let mut events = received.events;
        let mut ignored = received.ignored;
        for event in &mut events {
            self.to_be_completed(event);
        }
        let may = |event: &InboundEvent| {
            unverified_may || event.verified != Verified::No || event.incomplete
        };
        if !events.iter().all(may) {
            events.retain(may);
            let why = "ignored, because nothing proves who sent it: give the source a secret, or set allowUnverified";
            ignored.get_or_insert_with(|| why.to_owned());
        }
        let event_id = events.first().map_or(&record.id, |event| &event.id).clone();
        let taken = DeliveryTaken {
            event_processed: !events.is_empty(),
            event_id,
            ignored: ignored.clone().filter(|_| events.is_empty()),
        };
        let verdict = if events.is_empty() {
            "ignored"
        } else {
            "accepted"
        };
        verdict.clone_into(&mut record.verdict);
        record.because = ignored;
        self.store(&events).await?;
        record.events = events;
        self.history.note(record);
        Ok(taken)
    }

    /// A build that nobody vouches for is looked at where it ran; one that is not final counts when nothing
    /// better is heard of it; an image without a digest gets one.
    fn to_be_completed(&self, event: &mut InboundEvent) {
        let accounts = self.accounts.now();
        let has_ended = event.building != Some(true) && event.result.is_some();
        if event.sender == "jenkins" && has_ended && accounts.controller(&event.source).is_some() {
            event.incomplete = true;
            if event.trigger.get("phase").and_then(Value::as_str) == Some("COMPLETED") {
                event.not_before = Some(event.received.plus_ms(FINAL_WAIT_MS));
            }
        }
        if let Some(id) = self.polls.id_of_push(event) {
            event.id = id;
        }
        let lacks_digest = event.image.is_some() && event.tag.is_some() && event.digest.is_none();
        if lacks_digest {
            let image = event.image.as_deref().unwrap_or_default();
            event.incomplete |= self.polls.registry(image).is_some();
        }
    }

    /// Hands events to orca, which answers when what they start is started or stored; then whoever listens
    /// is told.
    pub(crate) async fn store(&self, events: &[InboundEvent]) -> Result<(), Problem> {
        if events.is_empty() {
            return Ok(());
        }
        let mut receive = ReceiveEvents {
            events: events.to_vec(),
        };
        let asked = trace::current().map(|context| context.to_string());
        for event in &mut receive.events {
            event.traceparent.clone_from(&asked);
        }
        rpc::call(&*self.ports.rpc, &receive).await?;
        self.telling.tell(events);
        Ok(())
    }

    /// Does a kept delivery again, under new ids.
    pub(crate) async fn replay(&self, request: &ReplayDelivery) -> Result<DeliveryTaken, Problem> {
        let mut record = self.history.get(&request.id).await?;
        if record.events.is_empty() {
            let text = format!(
                "delivery {} was {}, so there is nothing to do again{}",
                record.id,
                record.verdict,
                record
                    .because
                    .map_or_else(String::new, |why| format!(": {why}"))
            );
            return Err(Problem::new("IGOR-0007", Kind::Conflict, text));
        }
        let id = self.ports.ids.ulid();
        let now = self.ports.clock.now();
        for event in &mut record.events {
            event.id = format!("{}/replay/{id}", event.id);
            event.received = now;
            event.not_before = None;
        }
        self.store(&record.events).await?;
        let taken = DeliveryTaken {
            event_processed: true,
            event_id: record.events[0].id.clone(),
            ignored: None,
        };
        record.because = Some(format!("done again by {}", request.user));
        record.replay_of = Some(std::mem::replace(&mut record.id, id));
        record.received = now;
        self.history.note(record);
        Ok(taken)
    }
}

/// A delivery as it is kept, before anything is known of it.
fn record(id: &str, now: Timestamp, request: &ReceiveDelivery) -> DeliveryRecord {
    DeliveryRecord {
        id: id.to_owned(),
        received: now,
        kind: request.kind.clone(),
        source: request.source.clone(),
        sender: request.kind.clone(),
        headers: redacted(&request.headers),
        query: redacted(&request.query),
        ..DeliveryRecord::default()
    }
}

fn bytes_of(body: &RawBody) -> Result<Vec<u8>, Problem> {
    match body {
        RawBody::Text(text) => Ok(text.clone().into_bytes()),
        RawBody::Base64(text) => STANDARD.decode(text).map_err(|error| {
            Problem::new(
                "KORK-0003",
                Kind::Bug,
                "a body came in that cannot be decoded",
            )
            .because(&error)
        }),
    }
}

/// What a caller hears.
fn refusal(refused: &Refused) -> Problem {
    let (code, kind) = match refused {
        Refused::BadSignature { .. } => ("IGOR-0001", Kind::Unauthenticated),
        Refused::Invalid { .. } => ("IGOR-0002", Kind::Invalid),
        Refused::TooLarge { .. } => ("IGOR-0003", Kind::TooLarge),
        Refused::UnsupportedType { .. } | Refused::UnsupportedSource { .. } => {
            ("IGOR-0004", Kind::NotFound)
        }
    };
    Problem::new(code, kind, refused.to_string())
}

/// What those who run the suite are told.
fn told(refused: &Refused) -> String {
    match refused {
        Refused::BadSignature { log } => log.clone(),
        other => other.to_string(),
    }
}

fn redacted(values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let shown = |(name, value): (&String, &String)| {
        let lower = name.to_lowercase();
        let hides = HIDDEN.iter().any(|word| lower.contains(word));
        let value = if hides { REDACTED } else { value };
        (name.clone(), value.to_owned())
    };
    values.iter().map(shown).collect()
}
