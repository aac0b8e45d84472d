//! What igor answers: deliveries from outside, builds, what is watched.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Context, InboundEvent, Timestamp, api::call, inbound::Verified};

/// How a delivery was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeliveryTaken {
    /// At least one event came of it and is stored.
    pub event_processed: bool,
    /// Names what happened: the same for a delivery that is sent again.
    pub event_id: String,
    /// Why nothing came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
}

/// The raw bytes of a body: as text where they are text, else in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RawBody {
    Text(String),
    Base64(String),
    /// It is larger than a delivery may be, and was not handed on: how many bytes it has.
    TooLarge(u64),
}

impl Default for RawBody {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A delivery as it is kept for people: what came in, and what igor made of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeliveryRecord {
    /// Grows with time.
    pub id: String,
    pub received: Timestamp,
    /// The two words of its path.
    #[serde(rename = "type")]
    pub kind: String,
    pub source: String,
    /// Who it is taken to be from.
    pub sender: String,
    /// The sender's own name of the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// `accepted`, `ignored`, `refused`, or `failed`: then the sender was asked to come again.
    pub verdict: String,
    /// Whether it is proved who sent it.
    pub verified: Verified,
    /// By what: `signature`, `secret`, `identityToken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// All that it says has come in before, as far as this igor remembers: it starts nothing again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Why, in words; never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Without credentials.
    pub headers: BTreeMap<String, String>,
    pub query: BTreeMap<String, String>,
    /// Absent when it was refused, or was never read: nobody vouches for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<RawBody>,
    pub events: Vec<InboundEvent>,
    /// The delivery that this one repeats, by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
}

call!("igor", "deliveries.receive",
/// A delivery as it came in at the door. It is verified, normalised and stored before it is answered; a repeat
/// of it starts nothing twice. A wrong signature is `Unauthenticated`.
ReceiveDelivery { kind: String, source: String, headers: BTreeMap<String, String>, query: BTreeMap<String, String>, body: RawBody } -> DeliveryTaken);
call!(repeat "igor", "deliveries.list",
/// The newest deliveries, newest first, of one source or of all; without their bodies.
ListDeliveries { source: Option<String>, limit: u32 } -> Vec<DeliveryRecord>);
call!(repeat "igor", "deliveries.get",
/// One delivery, with its body.
GetDelivery { id: String } -> DeliveryRecord);
call!("igor", "deliveries.replay",
/// Does an accepted delivery again, as something new: what it started may start again.
ReplayDelivery { id: String, user: String } -> DeliveryTaken);
call!(repeat "igor", "events.complete",
/// An event with what its sender left out, or what nobody vouched for: the build as its controller shows it, the
/// digest of an image. None when there is nothing behind it. `Unavailable` while whoever knows does not answer.
CompleteEvent {
    event: InboundEvent,
    /// Property files that triggers ask for: their contents, by name, are `propertyFiles` of the answer's `trigger`.
    property_files: Vec<String>,
} -> Option<InboundEvent>);
call!(repeat "igor", "sources.list",
/// What igor listens to and looks at: `[{name, type, lastDelivery, lastPoll, nextPoll, error, circuit}]`.
ListSources {} -> Vec<Context>);
call!(repeat "igor", "buildServices.list",
/// CI servers: `[{name, buildServiceProvider, permissions}]`.
ListBuildServices {} -> Vec<Context>);
call!(repeat "igor", "jobs.list",
/// Whole names of the jobs of a CI server.
ListJobs { master: String } -> Vec<String>);
call!(repeat "igor", "jobs.get",
/// A job with the definitions of its parameters.
GetJob { master: String, job: String } -> Context);
call!(repeat "igor", "builds.get",
/// One build, as Spinnaker's igor shows it.
GetBuild { master: String, job: String, number: u64 } -> Context);
