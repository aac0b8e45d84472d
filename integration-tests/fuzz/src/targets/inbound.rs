//! Deliveries of webhooks: head, query and body, from limits over proofs to events and what they start.
//!
//! Names of the head: `:path` is `type/source`, `:query.<name>` a parameter, `:source` the configuration of the
//! source as JSON, `:secret` gives it a secret, `:sign` signs what is there as a sender does. `{secret}` in a
//! header or parameter is that secret.

use std::{collections::BTreeMap, sync::LazyLock};

use igor_inbound::{Delivery, KeySet, Keys, Received, Refused, Secret, Source, cdevent, receive};
use kork_model::{InboundEvent, inbound::Verified};
use orca_triggers::TriggerIndex;
use serde_json::{Value, json};

use super::{NOW, first_words, json_bytes, object, round_trip, seeds};
use crate::{
    Fault, Input, Outcome, Shape, Target,
    outcome::{bounded, must},
    targets::proof::{PLACE, SECRET, signature},
};

/// Members and values that readers tell apart.
pub(super) const WORDS: &str = include_str!("../../dictionaries/inbound.txt");

/// Headers and the names of this target.
pub(super) const HEADS: &str = include_str!("../../dictionaries/inbound-heads.txt");

macro_rules! senders {
    ($($name:literal $sender:literal),* $(,)?) => {
        /// A target for each sender; they differ in what they begin with.
        pub const TARGETS: &[Target] = &[$(Target {
            name: concat!("inbound-", $name),
            seeds: || deliveries($sender),
            words: WORDS,
            heads: HEADS,
            run,
        }),*];
    };
}

senders! {
    "webhook" "webhook", "build" "build", "docker" "docker", "pubsub" "pubsub", "cdevents" "cdevents",
    "github" "github", "gitlab" "gitlab", "gitea" "gitea", "forgejo" "forgejo", "bitbucket" "bitbucket",
    "bitbucket-server" "bitbucketServer", "dockerhub" "dockerhub", "harbor" "harbor", "distribution" "distribution",
    "quay" "quay", "ecr" "ecr", "gar" "gar", "acr" "acr", "jfrog" "jfrog", "nexus" "nexus", "sonatype-iq" "sonatypeIq",
    "flux" "flux", "argocd" "argocd", "standard-webhooks" "standardWebhooks", "cloudevents" "cloudevents",
    "generic" "generic", "jenkins" "jenkins",
}

const FILES: [&str; 10] = [
    "bitbucket-server",
    "bitbucket",
    "cdevents",
    "gitea",
    "github",
    "gitlab",
    "jenkins",
    "others",
    "registries",
    "spinnaker",
];

/// The recorded deliveries of a sender, as they are and once with a secret.
pub(super) fn deliveries(sender: &str) -> Vec<Input> {
    let files = FILES
        .iter()
        .map(|file| seeds::json(&format!("igor/inbound/tests/deliveries/{file}.json")));
    let cases: Vec<Value> = files
        .filter_map(|file| file.as_array().cloned())
        .flatten()
        .collect();
    let of_sender = cases.iter().filter(|case| case["sender"] == sender);
    let mut inputs: Vec<Input> = of_sender.map(delivery).collect();
    if inputs.is_empty() {
        let body =
            json!({"ref": "refs/heads/x", "repository": {"full_name": "a/b"}, "action": "push"});
        inputs.push(Input::body(body.to_string()).with(":path", format!("{sender}/x")));
    }
    if let Some(first) = inputs.first().cloned() {
        inputs.push(
            first
                .clone()
                .with(":secret", "")
                .with("authorization", PLACE),
        );
        inputs.push(
            first
                .clone()
                .with(":secret", "")
                .with("x-gitlab-token", PLACE),
        );
        inputs.push(first.with(":secret", ""));
    }
    inputs
}

fn delivery(case: &Value) -> Input {
    let body = match &case["body"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let path = case["path"].as_str().unwrap_or_default();
    let mut input = Input::body(body).with(":path", path);
    for (name, value) in case["headers"].as_object().into_iter().flatten() {
        input = input.with(name, value.as_str().unwrap_or_default());
    }
    let kind = path.split('/').next().unwrap_or_default();
    let sender = matches!(kind, "build" | "docker").then_some(kind);
    let source = json!({"sender": sender, "host": case["host"]});
    input.with(":source", source.to_string())
}

/// A delivery as it is received.
struct Sent {
    kind: String,
    name: String,
    headers: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    source: Source,
    has_secret: bool,
    /// It holds the secret, or a signature made with it: it may be taken.
    is_ours: bool,
    /// The secret stands only where secrets belong.
    is_in_place: bool,
}

/// Headers in which a secret belongs.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "x-gitlab-token",
    "x-jfrog-event-auth",
    "x-api-key",
];

impl Sent {
    fn of(input: &Input) -> Self {
        let path = input.value(":path").unwrap_or("webhook/x");
        let (kind, name) = path.split_once('/').unwrap_or((path, ""));
        let source = input
            .value(":source")
            .and_then(|text| serde_json::from_str(text).ok());
        let mut sent = Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            source: source.unwrap_or_default(),
            has_secret: input.value(":secret").is_some(),
            is_ours: false,
            is_in_place: true,
        };
        for (name, value) in &input.head {
            let (name, query) = match name.strip_prefix(":query.") {
                Some(name) => (name.to_owned(), true),
                None if name.starts_with(':') => continue,
                None => (name.to_ascii_lowercase(), false),
            };
            if value.contains(PLACE) {
                sent.is_ours = true;
                sent.is_in_place &= if query {
                    name == "token"
                } else {
                    CREDENTIALS.contains(&name.as_str())
                };
            }
            let all = if query {
                &mut sent.query
            } else {
                &mut sent.headers
            };
            all.insert(name, value.replace(PLACE, SECRET));
        }
        if let Some(how) = input.value(":sign") {
            sent.is_ours = true;
            sent.headers.extend(signature(how, &input.body));
        }
        sent
    }

    fn receive(&self, body: &[u8]) -> Result<Received, Refused> {
        let secrets = [
            Secret::new(SECRET),
            Secret::new(super::proof::signing_key()),
        ];
        let delivery = Delivery {
            kind: &self.kind,
            source: &self.name,
            headers: &self.headers,
            query: &self.query,
            body,
            received: NOW,
        };
        let keys = Keys {
            secrets: if self.has_secret { &secrets } else { &[] },
            google: Some(google()),
        };
        receive(&delivery, Some(&self.source), &keys, "fresh")
    }
}

fn google() -> &'static KeySet {
    static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
        let tokens = seeds::json("igor/inbound/tests/google-tokens.json");
        KeySet::parse(tokens["keySet"].to_string().as_bytes()).unwrap_or_default()
    });
    &KEYS
}

/// Receives a delivery, and offers what comes of it to triggers.
pub(super) fn run(input: &Input) -> Outcome {
    let sent = Sent::of(input);
    let shape = Shape::new()
        .set("secret", sent.has_secret)
        .set("ours", sent.is_ours);
    let received = match sent.receive(&input.body) {
        Ok(received) => received,
        Err(refused) => return refusal(shape, &sent, &refused),
    };
    if sent.has_secret && !sent.is_ours {
        // A ping that nobody signs may be answered: it says nothing.
        must(received.events.is_empty(), || {
            "an unproven delivery became an event".to_owned()
        })?;
        must(received.verified == Verified::No, || {
            "an unproven delivery is verified".to_owned()
        })?;
    }
    if received.verified == Verified::Signed {
        must(received.proof.is_some(), || {
            "a delivery is verified without a proof".to_owned()
        })?;
    }
    must(
        !received.events.is_empty() || received.ignored.is_some(),
        || "no event and no reason".to_owned(),
    )?;
    events(shape, &sent, input.len(), &received)
}

fn refusal(shape: Shape, sent: &Sent, refused: &Refused) -> Outcome {
    let (said, debug) = (refused.to_string(), format!("{refused:?}"));
    if sent.has_secret && sent.is_in_place {
        must(!said.contains(SECRET) && !debug.contains(SECRET), || {
            "a refusal shows the secret".to_owned()
        })?;
    }
    // A value is quoted once in the answer, and with its escapes.
    bounded(
        "a refusal",
        said.len(),
        4_096 + 8 * igor_inbound::limits::HEADER_BYTES_MAX,
    )?;
    must(matches!(refused.status(), 400 | 401 | 404 | 413), || {
        "a strange status".to_owned()
    })?;
    let shape = shape.word(refused.status());
    Ok(match refused {
        Refused::BadSignature { log } => shape.said(first_words(log, 4)),
        Refused::Invalid { what, .. } => shape.said(what),
        Refused::TooLarge { what, .. } => shape.said(what),
        Refused::UnsupportedType { .. } | Refused::UnsupportedSource { .. } => shape,
    })
}

fn events(shape: Shape, sent: &Sent, asked: usize, received: &Received) -> Outcome {
    use igor_inbound::limits::{EVENTS_MAX, ID_BYTES_MAX};
    bounded("a delivery (its events)", received.events.len(), EVENTS_MAX)?;
    let mut shape = shape
        .word(received.sender.name())
        .word(format_args!("{:?}", received.proof))
        .count("events", received.events.len())
        .set("delivery", received.delivery_id.is_some());
    shape = shape.said(received.ignored.as_deref().unwrap_or_default());
    let mut ids = std::collections::BTreeSet::new();
    for event in &received.events {
        must(!event.id.is_empty(), || "an event has no id".to_owned())?;
        bounded("an id", event.id.len(), ID_BYTES_MAX)?;
        must(ids.insert(&event.id), || {
            "two events have one id".to_owned()
        })?;
        must(
            event.verified != Verified::Signed || received.verified == Verified::Signed,
            || "an event is surer than its delivery".to_owned(),
        )?;
        bounded("an event", json_bytes(event)?, 16 * 1024 + 64 * asked)?;
        if sent.has_secret && sent.is_in_place {
            let text = serde_json::to_string(event).unwrap_or_default();
            must(!text.contains(SECRET), || {
                "an event shows the secret".to_owned()
            })?;
        }
        let told = cdevent(event);
        must(told["type"].is_string(), || {
            "a CDEvent has no type".to_owned()
        })?;
    }
    if let Some(event) = received.events.first() {
        round_trip("an event", event)?;
        shape = look(shape, event);
        shape = triggered(shape, event)?;
    }
    Ok(shape)
}

/// Which fields an event has.
pub(super) fn look(shape: Shape, event: &InboundEvent) -> Shape {
    let mut shape = shape.word(format_args!("{:?}", event.kind));
    for (name, is_set) in [
        ("repository", event.repository.is_some()),
        ("branch", event.branch.is_some()),
        ("tag", event.tag.is_some()),
        ("commit", event.commit.is_some()),
        ("actor", event.actor.is_some()),
        ("image", event.image.is_some()),
        ("digest", event.digest.is_some()),
        ("job", event.job.is_some()),
        ("number", event.build_number.is_some()),
        ("url", event.url.is_some()),
        ("incomplete", event.incomplete),
        ("later", event.not_before.is_some()),
        ("signed", event.signed.is_some()),
        ("action", event.action.is_some()),
        ("result", event.result.is_some()),
        ("trace", event.traceparent.is_some()),
    ] {
        shape = shape.set(name, is_set);
    }
    for name in event.trigger.keys().take(16) {
        shape = shape.word(name);
    }
    shape
        .count("files", event.files.len())
        .count("artifacts", event.artifacts.len())
        .count("parameters", event.parameters.len())
}

/// Pipelines that wait for everything: what is received is matched with triggers next.
fn triggered(shape: Shape, event: &InboundEvent) -> Result<Shape, Fault> {
    static INDEX: LazyLock<TriggerIndex> = LazyLock::new(|| {
        let pipelines: Vec<_> = super::triggers::pipelines()
            .iter()
            .map(|p| object(Some(p)))
            .collect();
        let mut index = TriggerIndex::default();
        index.replace_all(&pipelines);
        index
    });
    super::triggers::matched(shape, &INDEX, event)
}
