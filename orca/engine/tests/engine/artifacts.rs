//! Artifacts: bound at the start, and bound again by stages that produce them.

use kork_model::{Context, Status, WorkReport, WorkResult};
use orca_engine::{Command, build::Built};
use serde_json::{Value, json};

use super::{
    check::{order_of, shown},
    driver::{Driver, built, execution, object, pipeline, stage},
};

fn image(version: &str) -> Value {
    json!({"type": "docker/image", "name": "app", "version": version})
}

/// As clients see it.
fn full(version: &str) -> Value {
    let mut image = image(version);
    image["customKind"] = json!(false);
    image["metadata"] = json!({});
    image
}

/// A definition that expects one image, and these artifacts in its trigger.
fn expecting(more: Value, artifacts: &Value) -> Value {
    let mut expected = object(json!({"id": "a", "displayName": "image",
        "matchArtifact": {"type": "docker/image"}}));
    expected.extend(object(more));
    let mut given = pipeline(&[stage("1", &[], "wait", json!({}))]);
    given["expectedArtifacts"] = json!([expected]);
    given["trigger"] = json!({"artifacts": artifacts, "expectedArtifactIds": ["a"]});
    given
}

#[test]
fn what_is_bound_at_the_start_is_shown_in_full() {
    let mut sent = image("1");
    sent["id"] = json!("x");
    sent["kind"] = json!("docker");
    sent["location"] = json!(null);
    let mut bound = full("1");
    bound["metadata"] = json!({"id": "x"});
    let match_artifact = json!({"type": "docker/image", "customKind": false, "metadata": {}});
    let expected = json!([{"id": "a", "usePriorArtifact": false, "useDefaultArtifact": false,
        "matchArtifact": match_artifact, "boundArtifact": bound}]);
    // The same one twice is one.
    let trigger = execution(&expecting(json!({}), &json!([sent, sent]))).trigger;
    assert_eq!(trigger["artifacts"], json!([bound]));
    assert_eq!(trigger["expectedArtifacts"], expected);
    assert_eq!(trigger["resolvedExpectedArtifacts"], expected);

    let default = json!({"useDefaultArtifact": true, "defaultArtifact": image("0")});
    let trigger = execution(&expecting(default, &json!([]))).trigger;
    assert_eq!(trigger["artifacts"], json!([full("0")]));
    let resolved = &trigger["resolvedExpectedArtifacts"][0];
    assert_eq!(resolved["defaultArtifact"], full("0"));
    assert_eq!(resolved["boundArtifact"], full("0"));
}

#[test]
fn artifacts_that_were_passed_on_count_too() {
    let mut given = expecting(json!({}), &json!([]));
    given["receivedArtifacts"] = json!([image("7")]);
    let trigger = execution(&given).trigger;
    assert_eq!(trigger["artifacts"], json!([full("7")]));
}

#[test]
fn what_is_refused_keeps_its_artifacts_as_they_were_sent() {
    let given = expecting(json!({}), &json!([image("1"), image("2")]));
    let Ok(Built::Refused { execution, .. }) = built(&given) else {
        panic!("two artifacts match");
    };
    assert_eq!(
        execution.trigger["artifacts"],
        json!([image("1"), image("2")])
    );
    assert_eq!(execution.trigger.get("expectedArtifacts"), None);
}

/// A webhook that expects an image and was answered with these artifacts.
fn answered(expected: &Value, artifacts: &Value) -> Driver {
    let context = json!({"url": "http://x", "expectedArtifacts": expected});
    let mut given = pipeline(&[
        stage("1", &[], "webhook", context),
        stage("2", &["1"], "wait", json!({})),
    ]);
    given["trigger"] = json!({"artifacts": [image("9")]});
    let mut driver = Driver::start(&given);
    let key = order_of(&driver, "1");
    let order = driver.orders.remove(&key).expect("the call is out");
    let mut result = WorkResult::succeeded(Context::new());
    result.outputs = object(json!({ "artifacts": artifacts }));
    let report = Box::new(WorkReport::done(&order, result));
    driver.give(&Command::Report { report });
    driver
}

#[test]
fn a_stage_binds_what_it_produced_before_what_the_trigger_brought() {
    let expected = json!([{"id": "e", "matchArtifact": {"name": "app"}}]);
    for (artifacts, version) in [
        (json!([image("1"), image("2")]), "1"),
        (json!([{"name": "other"}]), "9"),
        (json!([]), "9"),
    ] {
        let driver = answered(&expected, &artifacts);
        assert_eq!(shown(&driver), "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED");
        let stage = &driver.state.execution.stages[0];
        let names: Vec<&str> = stage.tasks.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["createWebhook", "bindProducedArtifacts"]);
        for map in [&stage.context, &stage.outputs] {
            assert_eq!(map["artifacts"], json!([full(version)]));
            let resolved = &map["resolvedExpectedArtifacts"][0];
            assert_eq!(resolved["boundArtifact"], full(version));
            assert_eq!(resolved["matchArtifact"]["customKind"], json!(false));
        }
    }
    let missing = json!([{"id": "e", "displayName": "chart", "matchArtifact": {"type": "helm"}}]);
    let driver = answered(&missing, &json!([image("1")]));
    assert_eq!(shown(&driver), "TERMINAL: 1 TERMINAL, 2 NOT_STARTED");
    let stage = &driver.state.execution.stages[0];
    let statuses: Vec<Status> = stage.tasks.iter().map(|t| t.status).collect();
    assert_eq!(statuses, [Status::Succeeded, Status::Terminal]);
    let said = stage.context["exception"]["details"]["errors"][0].as_str();
    assert!(said.is_some_and(|s| s.contains("chart")), "{said:?}");
    let nothing = answered(&json!([]), &json!([]));
    assert_eq!(shown(&nothing), "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED");
}
