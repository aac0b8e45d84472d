//! What every sender says becomes exactly these events.

use kork_model::{
    Timestamp,
    inbound::{EventKind, InboundEvent, Verified},
};
use serde_json::Value;

use crate::harness::{Case, NOW, Sent, assert_holds};

#[test]
fn every_delivery_becomes_its_events() {
    // Those that only ever come with a proof are sent with one elsewhere; without secrets none is asked.
    for case in Case::all() {
        let place = format!("{} at {}", case.name, case.path);
        let received = case
            .sent()
            .receive()
            .unwrap_or_else(|refused| panic!("{place}: {refused}"));
        assert_eq!(received.sender.name(), case.sender, "{place}");
        assert_eq!(received.verified, Verified::No, "{place}");
        if case.delivery.is_some() {
            assert_eq!(received.delivery_id, case.delivery, "{place}");
        }
        match &case.ignored {
            Some(because) => {
                let said = received.ignored.clone().unwrap_or_default();
                assert!(said.starts_with("ignored, because "), "{place}: {said}");
                assert!(said.contains(because), "{place}: {said}");
            }
            None => assert_eq!(received.ignored, None, "{place}"),
        }
        let events: Vec<Value> = received
            .events
            .iter()
            .map(|event| serde_json::to_value(event).unwrap())
            .collect();
        assert_eq!(events.len(), case.events.len(), "{place}: {events:#?}");
        for (event, expected) in events.iter().zip(&case.events) {
            assert_holds(event, expected, &place);
        }
        for event in &received.events {
            assert_sound(event, &case, &place);
        }
        let mut ids: Vec<&str> = received
            .events
            .iter()
            .map(|event| event.id.as_str())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events.len(), "{place}: ids are distinct");
    }
}

/// What holds for every event, whoever sent it.
fn assert_sound(event: &InboundEvent, case: &Case, place: &str) {
    assert!(!event.id.is_empty(), "{place}");
    assert_eq!(event.received, NOW, "{place}");
    assert_eq!(event.sender, case.sender, "{place}");
    assert!(
        case.path.ends_with(&format!("/{}", event.source)),
        "{place}"
    );
    assert!(event.branch.is_none() || event.tag.is_none(), "{place}");
    for name in event.attributes.keys() {
        assert!(
            !name.contains("auth") && !name.contains("token"),
            "{place}: {name}"
        );
    }
    if event.kind == EventKind::Image {
        let trigger = |name: &str| event.trigger.get(name).and_then(Value::as_str);
        assert_eq!(
            trigger("repository"),
            event.repository.as_deref(),
            "{place}"
        );
        assert_eq!(trigger("tag"), event.tag.as_deref(), "{place}");
        assert!(trigger("account").is_some(), "{place}");
        assert_eq!(event.artifacts.len(), 1, "{place}");
    }
    if event.kind == EventKind::Git {
        for name in ["source", "project", "slug", "action"] {
            assert!(event.trigger.contains_key(name), "{place}: {name}");
        }
    }
    let again: InboundEvent = serde_json::from_value(serde_json::to_value(event).unwrap()).unwrap();
    assert_eq!(&again, event, "{place}");
}

/// Every sender of the table has at least one delivery that becomes an event here.
#[test]
fn no_sender_is_without_a_delivery() {
    let mut seen: Vec<String> = Case::all()
        .into_iter()
        .filter(|case| !case.events.is_empty())
        .map(|case| case.sender)
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 28, "{seen:?}");
}

#[test]
fn the_same_delivery_twice_has_the_same_ids() {
    for case in Case::all() {
        if case.delivery.is_none() {
            continue;
        }
        let ids = |sent: Sent| -> Vec<String> {
            sent.receive()
                .unwrap()
                .events
                .into_iter()
                .map(|event| event.id)
                .collect()
        };
        assert_eq!(ids(case.sent()), ids(case.sent()), "{}", case.name);
        assert!(
            ids(case.sent()).iter().all(|id| !id.ends_with("fresh")),
            "{}",
            case.name
        );
    }
}

#[test]
fn equal_bodies_without_a_name_are_two_events() {
    let sent = Case::named("anybody", "generic/x").sent();
    let headers = std::collections::BTreeMap::new();
    let delivery = igor_inbound::Delivery {
        kind: "generic",
        source: "x",
        headers: &headers,
        query: &headers,
        body: &sent.body,
        received: NOW,
    };
    let id = |fresh: &str| {
        let received =
            igor_inbound::receive(&delivery, None, &igor_inbound::Keys::default(), fresh).unwrap();
        received.events[0].id.clone()
    };
    assert_ne!(id("1"), id("2"));
}

/// Registries send a call that failed once more, and have no name for it.
#[test]
fn what_a_registry_repeats_happened_once() {
    for (name, path) in [
        ("Quay with two tags", "quay/q"),
        ("Artifactory file", "artifactory/j"),
    ] {
        let sent = Case::named(name, path).sent();
        let ids = |fresh: &str, received: Timestamp| -> Vec<String> {
            let received = sent.receive_at(received, fresh).unwrap();
            received.events.into_iter().map(|event| event.id).collect()
        };
        let first = ids("1", NOW);
        assert_eq!(ids("2", NOW), first, "{name}");
        assert_ne!(ids("2", NOW.plus_ms(3_600_000)), first, "{name}");
    }
}

#[test]
fn phases_of_a_build_share_the_id_of_the_event_and_not_that_of_the_delivery() {
    let received = |name: &str| Case::named(name, "jenkins/ci").sent().receive().unwrap();
    let (started, finalized) = (received("started"), received("finalized"));
    assert_eq!(started.events[0].id, finalized.events[0].id);
    assert_ne!(started.delivery_id, finalized.delivery_id);
}

#[test]
fn a_push_of_github_carries_what_a_trigger_needs_to_check_its_own_secret() {
    let sent = Case::named("push", "git/github").sent();
    assert!(sent.receive().unwrap().events[0].signed.is_none());
    let signed = sent
        .clone()
        .header("x-hub-signature", "sha1=00")
        .receive()
        .unwrap();
    let body = signed.events[0].signed.clone().unwrap();
    assert_eq!(body.signatures["x-hub-signature"], "sha1=00");
    let raw = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body.body);
    assert_eq!(raw.unwrap(), sent.body);
    assert!(!signed.events[0].attributes.contains_key("x-hub-signature"));
}

#[test]
fn forms_with_a_payload_are_read() {
    let mut sent = Case::named("push", "git/github").sent();
    let json = String::from_utf8(sent.body.clone()).unwrap();
    sent.body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &json)
        .finish()
        .into_bytes();
    let sent = sent.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(
        sent.receive().unwrap().events[0].branch.as_deref(),
        Some("feature/größe")
    );
}

#[test]
fn names_that_nobody_has_are_refused_and_say_which_there_are() {
    let mut sent = Case::named("anybody", "generic/x").sent();
    for (path, part) in [
        ("nobody/x", "bitbucketServer"),
        ("git/nobody", "stash"),
        ("/x", "github"),
    ] {
        path.clone_into(&mut sent.path);
        let refused = sent.receive().unwrap_err();
        assert_eq!(refused.status(), 404, "{path}");
        assert!(refused.to_string().contains(part), "{refused}");
    }
}

#[test]
fn a_configured_sender_lends_its_proof_to_a_plain_webhook() {
    let mut sent = Case::named("push", "git/github").sent();
    "webhook/repo".clone_into(&mut sent.path);
    sent.source.sender = Some(igor_inbound::Sender::Github);
    let received = sent.receive().unwrap();
    assert_eq!(received.events[0].kind, EventKind::Webhook);
    assert_eq!(received.events[0].id, "webhook:repo:7f3c2a10-0001");
    // And a git source may have any name.
    "git/repo".clone_into(&mut sent.path);
    assert_eq!(sent.receive().unwrap().events[0].kind, EventKind::Git);
}

#[test]
fn mistakes_say_where_they_are() {
    for (path, body, place) in [
        (
            "git/github",
            r#"{"ref":"refs/heads/x"}"#,
            "body.repository.full_name",
        ),
        ("jenkins/ci", r#"{"url":"https://ci/x"}"#, "body.url"),
        (
            "jenkins/ci",
            r#"{"url":"https://ci/job/a/3/","number":4}"#,
            "body.url",
        ),
        (
            "jenkins/ci",
            r#"{"url":"https://ci/job/a/3/","phase":"DONE"}"#,
            "body",
        ),
        ("distribution/d", "{}", "body.events"),
        (
            "cdevents/c",
            r#"{"context":{},"subject":{}}"#,
            "data.context.type",
        ),
        (
            "cloudevents/c",
            r#"{"specversion":"1.0","id":"1","source":"s"}"#,
            "body.type",
        ),
        (
            "cloudevents/c",
            r#"{"id":"1","source":"s","type":"t"}"#,
            "body.specversion",
        ),
        (
            "cloudevents/c",
            r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#,
            "body.specversion",
        ),
        ("webhook/w", "[1]", "body"),
        ("webhook/w", "{", "body"),
    ] {
        let mut sent = Case::named("anybody", "generic/x").sent();
        path.clone_into(&mut sent.path);
        sent.body = body.as_bytes().to_vec();
        let refused = sent.receive().unwrap_err();
        assert_eq!(refused.status(), 400, "{path}");
        assert!(
            refused.to_string().starts_with(&format!("{place}: ")),
            "{path}: {refused}"
        );
    }
}

#[test]
fn a_source_says_better_than_the_body_which_registry_and_account_it_is() {
    let mut sent = Case::named("Harbor", "harbor/h").sent();
    sent.source.host = Some("harbor.inside:5000".to_owned());
    sent.source.account = Some("harbor-account".to_owned());
    let event = sent.receive().unwrap().events.remove(0);
    assert_eq!(
        event.image.as_deref(),
        Some("harbor.inside:5000/pay/ledger")
    );
    assert_eq!(event.trigger["registry"], "harbor.inside:5000");
    assert_eq!(event.trigger["account"], "harbor-account");
}

#[test]
fn a_subscription_has_the_name_that_the_source_gives_it() {
    let mut sent = Case::named("pubsub push", "pubsub/images").sent();
    sent.source.subscription = Some("logical".to_owned());
    let event = sent.receive().unwrap().events.remove(0);
    assert_eq!(event.trigger["subscriptionName"], "logical");
}
