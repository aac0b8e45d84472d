//! `evaluateVariables`: what it publishes, at once and one after the other.

use serde_json::{Value, json};

use super::{
    check::{Do, check},
    driver::{Driver, pipeline, stage},
};

/// A stage `1` with these variables, in one version of expressions, and a reader behind it.
fn variables(version: &str, list: &Value, seen: &str) -> Value {
    let mut given = pipeline(&[
        stage("1", &[], "evaluateVariables", json!({ "variables": list })),
        stage("2", &["1"], "wait", json!({ "seen": seen })),
    ]);
    given["spelEvaluator"] = json!(version);
    given
}

fn run(given: &Value) -> Driver {
    check(given, &[], "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED")
}

#[test]
fn version_four_evaluates_one_after_the_other() {
    let list = json!([
        {"key": "a", "value": "${1}"},
        {"key": "b", "value": "${a}2", "description": "from ${a}"},
        {"key": "no", "value": "${nothing.here}"},
        {"key": "c", "value": "${b}3"},
        {"key": "m", "value": {"k": "${1 + 1}"}},
        {"key": "t", "value": "plain"},
    ]);
    let driver = run(&variables("v4", &list, "${c}"));
    let stages = &driver.state.execution.stages;
    let outputs = json!({"a": 1, "b": "12", "no": "${nothing.here}", "c": "123",
        "m": {"k": "${1 + 1}"}, "t": "plain"});
    assert_eq!(Value::Object(stages[0].outputs.clone()), outputs);
    assert_eq!(
        stages[0].context["variables"],
        json!([
            {"key": "a", "value": 1, "sourceValue": "{1}"},
            {"key": "b", "value": "12", "sourceValue": "{a}2", "description": "from 1"},
            {"key": "no", "value": "${nothing.here}", "sourceValue": "{nothing.here}"},
            {"key": "c", "value": "123", "sourceValue": "{b}3"},
            {"key": "m", "value": {"k": "${1 + 1}"}},
            {"key": "t", "value": "plain", "sourceValue": "plain"},
        ])
    );
    let summary = &stages[0].context["expressionEvaluationSummary"];
    assert!(summary.get("nothing.here").is_some(), "{summary}");
    assert_eq!(stages[1].context["seen"], json!("123"));
}

#[test]
fn version_three_publishes_what_was_known_before() {
    let list = json!([{"key": "a", "value": "${1}"}, {"key": "b", "value": "${a}2"}]);
    let driver = run(&variables("v3", &list, "${b}"));
    let stages = &driver.state.execution.stages;
    assert_eq!(
        Value::Object(stages[0].outputs.clone()),
        json!({"a": 1, "b": "${a}2"})
    );
    assert_eq!(stages[1].context["seen"], json!("12"));
}

#[test]
fn a_restart_evaluates_the_source_again() {
    let list =
        json!([{"key": "a", "value": "${{'x': 1}['x']}-${#stage('wait 2')['status'].name()}"}]);
    let given = variables("V4", &list, "${a}");
    let seen = |when: &[Do]| {
        let driver = check(&given, when, "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED");
        driver.state.execution.stages[1].context["seen"].clone()
    };
    assert_eq!(seen(&[]), json!("1-NOT_STARTED"));
    let mut driver = check(&given, &[], "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED");
    super::check::act(&mut driver, &Do::Restart("1"));
    let list = &driver.state.execution.stages[0].context["variables"];
    assert_eq!(
        list[0]["sourceValue"],
        json!("{{'x': 1}['x']}-{#stage('wait 2')['status'].name()}")
    );
    assert_eq!(list[0]["value"], json!("1-NOT_STARTED"));
}

#[test]
fn keys_may_be_numbers_and_values_may_be_missing() {
    let list = json!([{"key": 5, "value": "x"}, {"key": "none"}, {"key": "null", "value": null}]);
    for version in ["v3", "v4"] {
        let driver = run(&variables(version, &list, "y"));
        let outputs = Value::Object(driver.state.execution.stages[0].outputs.clone());
        assert_eq!(outputs, json!({"5": "x"}), "{version}");
    }
    for wrong in [
        json!(null),
        json!({}),
        json!("x"),
        json!([7]),
        json!([{"value": 1}]),
    ] {
        for version in ["v3", "v4"] {
            let given = variables(version, &wrong, "y");
            check(&given, &[], "TERMINAL: 1 TERMINAL, 2 NOT_STARTED");
        }
    }
    check(
        &variables("v3", &json!([]), "y"),
        &[],
        "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED",
    );
}
