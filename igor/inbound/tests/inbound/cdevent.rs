//! Events as `CDEvents`, and back.

use igor_inbound::cdevent;
use kork_model::inbound::EventKind;
use serde_json::{Value, json};

use crate::harness::{Case, assert_holds};

fn told(name: &str, path: &str) -> Value {
    let received = Case::named(name, path).sent().receive().unwrap();
    cdevent(&received.events[0])
}

#[test]
fn each_kind_of_event_has_its_word() {
    for (name, path, kind) in [
        (
            "finalized",
            "jenkins/ci",
            "dev.cdevents.pipelinerun.finished.0.2.0",
        ),
        (
            "started",
            "jenkins/ci",
            "dev.cdevents.pipelinerun.started.0.2.0",
        ),
        (
            "queued",
            "jenkins/ci",
            "dev.cdevents.pipelinerun.queued.0.2.0",
        ),
        ("push", "git/github", "dev.cdevents.change.merged.0.2.0"),
        (
            "new branch",
            "git/github",
            "dev.cdevents.branch.created.0.2.0",
        ),
        (
            "pull request from a fork",
            "git/github",
            "dev.cdevents.change.created.0.3.0",
        ),
        (
            "merged request",
            "git/gitlab",
            "dev.cdevents.change.merged.0.2.0",
        ),
        (
            "Harbor",
            "harbor/h",
            "dev.cdevents.artifact.published.0.2.0",
        ),
        (
            "push of a tag",
            "git/github",
            "dev.cdeventsx.gennaker-webhook.received.0.1.0",
        ),
        (
            "webhook",
            "webhook/deploys",
            "dev.cdeventsx.gennaker-webhook.received.0.1.0",
        ),
    ] {
        let event = told(name, path);
        assert_eq!(event["type"], kind, "{name}");
        assert_eq!(event["data"]["context"]["type"], kind, "{name}");
    }
}

#[test]
fn a_build_is_a_run_of_a_pipeline() {
    let expected = json!({
        "specversion": "1.0",
        "id": "jenkins:ci:payments/ledger/feature%2Fx:87:FINALIZED",
        "source": "/gennaker/jenkins/ci",
        "time": "2026-09-01T05:20:00Z",
        "data": {
            "context": {"version": "0.4.1", "timestamp": "2026-09-01T05:20:00Z"},
            "subject": {
                "id": "ci/payments/ledger/feature%2Fx/87",
                "type": "pipelineRun",
                "content": {"pipelineName": "payments/ledger/feature%2Fx", "outcome": "error"},
            },
            "customData": {"verified": "no", "sender": "jenkins"},
        },
    });
    assert_holds(&told("finalized", "jenkins/ci"), &expected, "cdevent");
}

/// What goes out comes in again, and means the same.
#[test]
fn every_event_survives_the_way_out_and_in() {
    for case in Case::all() {
        for event in case.sent().receive().unwrap().events {
            let out = cdevent(&event);
            let mut sent = case
                .sent()
                .header("content-type", "application/cloudevents+json");
            "cdevents/peer".clone_into(&mut sent.path);
            sent.source.sender = None;
            sent.headers.retain(|name, _| name == "content-type");
            sent.body = serde_json::to_vec(&out).unwrap();
            let back = sent
                .receive()
                .unwrap_or_else(|refused| panic!("{}: {refused}", case.name));
            let back = &back.events[0];
            assert_eq!(
                back.payload["customData"]["id"],
                json!(event.id),
                "{}",
                case.name
            );
            if event.kind == EventKind::Image && event.digest.is_some() {
                assert_eq!(back.image, event.image, "{}", case.name);
                assert_eq!(back.tag, event.tag, "{}", case.name);
                assert_eq!(back.digest, event.digest, "{}", case.name);
            }
        }
    }
}
