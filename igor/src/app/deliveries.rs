//! A delivery from outside: verified, normalised, stored, answered; in this order.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use igor_inbound::{Delivery, Keys, Received, Refused, Source, limits, redact::Credentials};
use kork::{ports::limit, rpc, trace};
use kork_model::{
    InboundEvent, Kind, Problem, Timestamp,
    api::{
        igor::{DeliveryRecord, DeliveryTaken, RawBody, ReceiveDelivery, ReplayDelivery},
        orca::ReceiveEvents,
    },
    inbound::Verified,
};

use super::{
    Igor,
    accounts::{self, Accounts},
    hints::Trust,
};

/// What stands in the place of a hidden value.
const REDACTED: &str = "***";
/// Before what makes the id of an event new that is done again.
pub(crate) const REPLAY: &str = "/replay/";
/// Bytes of events that are handed on at once; a message holds more.
const REQUEST_BYTES: usize = 512 * 1024;
const UNPROVED: &str = "nothing proves who sent it";

/// Why a delivery is not taken: what its sender hears, and what those who run the suite are told.
struct NotTaken {
    problem: Problem,
    log: String,
}

impl From<Problem> for NotTaken {
    fn from(problem: Problem) -> Self {
        let log = problem.message();
        Self { problem, log }
    }
}

impl From<Refused> for NotTaken {
    fn from(refused: Refused) -> Self {
        let log = match &refused {
            Refused::BadSignature { log } => log.clone(),
            other => other.to_string(),
        };
        let problem = refusal(&refused);
        Self { problem, log }
    }
}

impl Igor {
    /// Takes a delivery. Once this is answered it starts its pipelines, whatever becomes of this process. All of
    /// them are kept for people, taken or not.
    pub(crate) async fn receive(&self, request: ReceiveDelivery) -> Result<DeliveryTaken, Problem> {
        let id = self.ports.ids.ulid();
        let now = self.ports.clock.now();
        let accounts = self.accounts.now();
        let source = accounts.source(&request.source);
        let secrets = source.map(accounts::secrets).transpose();
        let known = secrets.as_ref().ok().and_then(Option::as_deref);
        let credentials = Credentials {
            source,
            secrets: known.unwrap_or_default(),
        };
        let mut record = record(&id, now, &request, credentials);
        let taken = match &secrets {
            Ok(_) => {
                let delivery = (&request, &*id, now);
                let received = self.received(delivery, &accounts, credentials).await;
                self.take(received, &accounts, &mut record, request.body)
                    .await
            }
            Err(problem) => Err(problem.clone().into()),
        };
        if let Err(NotTaken { problem, log }) = &taken {
            let verdict = if problem.kind.is_passing() {
                "failed"
            } else {
                "refused"
            };
            verdict.clone_into(&mut record.verdict);
            record.because = Some(log.clone());
            tracing::warn!(
                target: "audit", source = record.source, sender = record.kind, delivery = id,
                because = log, verdict, "a delivery is not taken"
            );
        }
        self.history.note(record);
        taken.map_err(|not| not.problem)
    }

    /// Proof and fields.
    async fn received(
        &self,
        (request, id, now): (&ReceiveDelivery, &str, Timestamp),
        accounts: &Accounts,
        credentials: Credentials<'_>,
    ) -> Result<Received, NotTaken> {
        let body = bytes_of(&request.body)?;
        let delivery = Delivery {
            kind: &request.kind,
            source: &request.source,
            headers: &request.headers,
            query: &request.query,
            body: &body,
            received: now,
        };
        let google = self.google.keys(accounts, &delivery, credentials.source);
        let google = google.await?;
        let keys = Keys {
            secrets: credentials.secrets,
            google: google.as_deref(),
        };
        Ok(igor_inbound::receive(
            &delivery,
            credentials.source,
            &keys,
            id,
        )?)
    }

    async fn take(
        &self,
        received: Result<Received, NotTaken>,
        accounts: &Accounts,
        record: &mut DeliveryRecord,
        body: RawBody,
    ) -> Result<DeliveryTaken, NotTaken> {
        let mut received = received?;
        received.sender.name().clone_into(&mut record.sender);
        record.verified = received.verified;
        let reported = self.reported(&received, accounts, &record.source).await?;
        record.proof = received.proof.map(|proof| proof.name().to_owned());
        record.delivery = received.delivery_id.take();
        let unproved = self.doubt(&mut received, accounts, accounts.source(&record.source))?;
        // The list keeps what an event has room for.
        let is_kept = !received.has_secret && bytes_in(&body) <= limits::BODY_BYTES_MAX;
        record.body = Some(body).filter(|_| is_kept);
        let Received {
            mut events,
            mut ignored,
            ..
        } = received;
        self.name_delivered(&mut events).await;
        if unproved {
            let why = format!(
                "ignored, because {UNPROVED}: give the source a secret, or set allowUnverified"
            );
            ignored.get_or_insert(why);
        }
        record.repeated = self.history.knows(&events);
        record.events.clone_from(&events);
        self.store(&events).await?;
        self.history.remember(&events);
        let verdict = if events.is_empty() {
            "ignored"
        } else {
            "accepted"
        };
        verdict.clone_into(&mut record.verdict);
        record.because = reported.or_else(|| ignored.clone());
        let event_id = events.first().map_or(&record.id, |event| &event.id);
        Ok(DeliveryTaken {
            event_processed: !events.is_empty(),
            event_id: event_id.clone(),
            ignored: ignored.filter(|_| events.is_empty()),
        })
    }

    /// Takes out the events that nobody has to believe; whether there were any.
    fn doubt(
        &self,
        received: &mut Received,
        accounts: &Accounts,
        source: Option<&Source>,
    ) -> Result<bool, NotTaken> {
        let (sender, verified) = (received.sender, received.verified);
        let sources = &accounts.sources;
        let (mut is_guarded, before) = (false, received.events.len());
        received.events.retain_mut(|event| {
            let guarded = source.is_none() && sender.is_guarded_by(sources, event.kind);
            let may = match source {
                Some(source) => source.allow_unverified,
                None => self.config.allow_unverified && !guarded,
            };
            let stays = match self.to_be_completed(event, verified) {
                Trust::LookedUp => true,
                Trust::AsSent => may || verified != Verified::No,
                Trust::ToBeProved => verified != Verified::No,
            };
            is_guarded |= guarded && !stays;
            stays
        });
        let unproved = received.events.len() < before;
        if is_guarded {
            let log = format!(
                "{UNPROVED}: a source is configured for what {} tells of, and this is another name",
                sender.name()
            );
            return Err(Refused::BadSignature { log }.into());
        }
        Ok(unproved)
    }

    /// Hands events to orca, which answers when what they start is started or stored; then whoever listens
    /// is told.
    pub(crate) async fn store(&self, events: &[InboundEvent]) -> Result<(), Problem> {
        let asked = trace::current().map(|context| context.to_string());
        let mut events = events.to_vec();
        for event in &mut events {
            event.traceparent.clone_from(&asked);
        }
        for events in requests(events) {
            let receive = ReceiveEvents { events };
            rpc::call(&*self.ports.rpc, &receive).await?;
            self.telling.tell(&receive.events);
        }
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
        record.repeated = false;
        for event in &mut record.events {
            event.id = format!("{}{REPLAY}{id}", event.id);
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

/// Events by the request that hands them on: after a downtime a look finds more than one message holds.
fn requests(events: Vec<InboundEvent>) -> Vec<Vec<InboundEvent>> {
    if events.len() == 1 {
        return vec![events];
    }
    limit::grouped(events, REQUEST_BYTES, |event| {
        serde_json::to_vec(event).map_or(0, |text| text.len())
    })
}

/// A delivery as it is kept, before anything is known of it.
fn record(
    id: &str,
    now: Timestamp,
    request: &ReceiveDelivery,
    credentials: Credentials<'_>,
) -> DeliveryRecord {
    DeliveryRecord {
        id: id.to_owned(),
        received: now,
        kind: request.kind.clone(),
        source: request.source.clone(),
        sender: request.kind.clone(),
        headers: redacted(&request.headers, credentials),
        query: redacted(&request.query, credentials),
        ..DeliveryRecord::default()
    }
}

fn bytes_in(body: &RawBody) -> usize {
    match body {
        RawBody::Text(text) => text.len(),
        RawBody::Base64(text) => text.len() / 4 * 3,
        RawBody::TooLarge(_) => 0,
    }
}

fn bytes_of(body: &RawBody) -> Result<Vec<u8>, NotTaken> {
    match body {
        RawBody::Text(text) => Ok(text.clone().into_bytes()),
        RawBody::Base64(text) => STANDARD.decode(text).map_err(|error| {
            let text = "a body came in that cannot be decoded";
            let problem = Problem::new("KORK-0003", Kind::Bug, text);
            problem.because(&error).into()
        }),
        RawBody::TooLarge(bytes) => {
            let limit = limits::WORDY_BODY_BYTES_MAX;
            let text = format!(
                "the body has {bytes} bytes, no delivery may have more than {limit}; let the sender leave out what no pipeline needs"
            );
            Err(Problem::new("IGOR-0003", Kind::TooLarge, text).into())
        }
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

fn redacted(
    values: &BTreeMap<String, String>,
    credentials: Credentials<'_>,
) -> BTreeMap<String, String> {
    let shown = |(name, value): (&String, &String)| {
        let hides = credentials.hides(name, value);
        let value = if hides { REDACTED } else { value };
        (name.clone(), value.to_owned())
    };
    values.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use kork::ports::limit;

    use super::*;

    #[test]
    fn many_events_are_handed_on_in_requests_that_a_message_holds() {
        let event = |id: usize| InboundEvent {
            id: id.to_string(),
            url: Some("x".repeat(1_000)),
            ..InboundEvent::default()
        };
        assert!(requests(Vec::new()).is_empty());
        assert_eq!(requests(vec![event(0)]).len(), 1);
        let all: Vec<InboundEvent> = (0..2_000).map(event).collect();
        let parts = requests(all.clone());
        assert!(parts.len() > 3, "{}", parts.len());
        for part in &parts {
            assert!(serde_json::to_vec(part).unwrap().len() <= limit::MESSAGE_BYTES_MAX);
        }
        assert_eq!(parts.concat(), all);
    }
}
