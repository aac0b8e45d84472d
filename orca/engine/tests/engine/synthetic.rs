//! Stages that stages add: before, after, and when they failed.

use serde_json::{Value, json};

use super::{
    check::{Do, check, id_of},
    driver::{cluster, pipeline, stage},
};

fn checks(list: Value, more: Value) -> Value {
    let mut stage = stage("1", &[], "checkPreconditions", more);
    stage["preconditions"] = list;
    stage
}

fn expression(text: &str) -> Value {
    json!({"type": "expression", "context": {"expression": text}})
}

#[test]
fn preconditions_are_children_that_decide_together() {
    let softly =
        json!({"type": "expression", "failPipeline": false, "context": {"expression": "false"}});
    let status = |name: &str, status: &str| json!({"type": "stageStatus", "context": {"stageName": name, "stageStatus": status}});
    let table = [
        (json!([]), "SUCCEEDED: 1 SKIPPED"),
        (
            json!([expression("true")]),
            "SUCCEEDED: 1<1 SUCCEEDED, 1 SUCCEEDED",
        ),
        (
            json!([expression("true"), expression("false")]),
            "TERMINAL: 1<1 SUCCEEDED, 1<2 TERMINAL, 1 TERMINAL",
        ),
        (
            json!([expression("true"), expression("nothing.here")]),
            "TERMINAL: 1<1 SUCCEEDED, 1<2 TERMINAL, 1 TERMINAL",
        ),
        (json!([softly]), "SUCCEEDED: 1<1 STOPPED, 1 STOPPED"),
        (
            json!([status("nobody", "SUCCEEDED")]),
            "TERMINAL: 1<1 TERMINAL, 1 TERMINAL",
        ),
        (
            json!([status("checkPreconditions 1", "RUNNING")]),
            "SUCCEEDED: 1<1 SUCCEEDED, 1 SUCCEEDED",
        ),
        (
            json!([{"type": "moon"}]),
            "TERMINAL: 1<1 TERMINAL, 1 TERMINAL",
        ),
        (
            json!([{"type": "moon", "failPipeline": false}]),
            "SUCCEEDED: 1<1 STOPPED, 1 STOPPED",
        ),
        (
            json!([{"type": "moon", "continuePipeline": true}]),
            "SUCCEEDED: 1<1 FAILED_CONTINUE, 1 FAILED_CONTINUE",
        ),
        (json!([{}]), "TERMINAL: 1<1 TERMINAL, 1 TERMINAL"),
        (
            json!([{"type": "expression"}]),
            "TERMINAL: 1<1 TERMINAL, 1 TERMINAL",
        ),
        (
            json!([expression("'TRUE'"), expression("'True'")]),
            "SUCCEEDED: 1<1 SUCCEEDED, 1<2 SUCCEEDED, 1 SUCCEEDED",
        ),
        (
            json!([{"type": "expression", "context": {"expression": true}}]),
            "SUCCEEDED: 1<1 SUCCEEDED, 1 SUCCEEDED",
        ),
        (
            json!([expression("null"), expression("'yes'")]),
            "TERMINAL: 1<1 TERMINAL, 1<2 TERMINAL, 1 TERMINAL",
        ),
        (json!([7]), "TERMINAL: 1 TERMINAL"),
        (
            json!([{"type": "expression", "context": 7}]),
            "TERMINAL: 1 TERMINAL",
        ),
    ];
    for (list, expect) in table {
        check(&pipeline(&[checks(list, json!({}))]), &[], expect);
    }
    let goes_on = checks(
        json!([expression("false")]),
        json!({"continuePipeline": true}),
    );
    check(
        &pipeline(&[goes_on]),
        &[],
        "SUCCEEDED: 1<1 FAILED_CONTINUE, 1 FAILED_CONTINUE",
    );
}

#[test]
fn a_precondition_carries_its_own_keys_into_its_stage() {
    let list = json!([{"type": "expression", "note": "n", "failPipeline": true,
        "context": {"cluster": "own"}}]);
    let shared = json!({"cluster": "c", "regions": ["eu"], "failPipeline": false});
    let driver = check(
        &pipeline(&[checks(list, shared.clone())]),
        &[],
        "SUCCEEDED: 1<1 TERMINAL, 1 STOPPED",
    );
    let context = &driver.state.execution.stages[0].context;
    assert_eq!(context["note"], json!("n"));
    assert_eq!(context["failPipeline"], json!(true));
    let own = json!({"cluster": "own", "regions": ["eu"], "expressionResult": "false"});
    assert_eq!(context["context"], own);
    let driver = check(
        &pipeline(&[checks(json!([{}]), shared)]),
        &[],
        "SUCCEEDED: 1<1 STOPPED, 1 STOPPED",
    );
    let stage = &driver.state.execution.stages[0];
    assert_eq!(stage.name, "Check precondition (null)");
    assert_eq!(stage.kind, "checkPreconditions");
}

#[test]
fn a_precondition_that_asks_the_cloud_is_work() {
    let size = json!({"type": "clusterSize", "context": {"cluster": "app-prod"}});
    let given = pipeline(&[checks(json!([size]), json!({}))]);
    check(
        &given,
        &[Do::Good("1<1")],
        "SUCCEEDED: 1<1 SUCCEEDED, 1 SUCCEEDED",
    );
    check(
        &given,
        &[Do::Bad("1<1")],
        "TERMINAL: 1<1 TERMINAL, 1 TERMINAL",
    );
    check(
        &given,
        &[Do::Pass(60_000)],
        "TERMINAL: 1<1 TERMINAL, 1 TERMINAL",
    );
}

#[test]
fn a_deployment_makes_its_clusters_and_then_what_the_strategy_asks_for() {
    use Do::Good;
    let redblack = pipeline(&[stage("1", &[], "deploy", cluster("prod", "redblack"))]);
    check(&redblack, &[], "RUNNING: 1<1 RUNNING, 1 RUNNING");
    check(
        &redblack,
        &[Good("1<1")],
        "RUNNING: 1<1 RUNNING, 1<1>1 RUNNING, 1 RUNNING",
    );
    check(
        &redblack,
        &[Good("1<1"), Good("1<1>1")],
        "SUCCEEDED: 1<1 SUCCEEDED, 1<1>1 SUCCEEDED, 1 SUCCEEDED",
    );
    check(
        &redblack,
        &[Do::Bad("1<1")],
        "TERMINAL: 1<1 TERMINAL, 1 TERMINAL",
    );
    check(
        &redblack,
        &[Good("1<1"), Do::Bad("1<1>1")],
        "TERMINAL: 1<1 TERMINAL, 1<1>1 TERMINAL, 1 TERMINAL",
    );
    check(
        &redblack,
        &[Good("1<1"), Do::Cancel],
        "CANCELED: 1<1 CANCELED, 1<1>1 CANCELED, 1 CANCELED",
    );
    let none = pipeline(&[stage("1", &[], "deploy", cluster("prod", "none"))]);
    check(
        &none,
        &[Good("1<1")],
        "SUCCEEDED: 1<1 SUCCEEDED, 1 SUCCEEDED",
    );
    let unknown = pipeline(&[stage("1", &[], "deploy", cluster("prod", "moon"))]);
    check(&unknown, &[], "TERMINAL: 1 TERMINAL");
}

#[test]
fn the_parts_of_a_strategy_run_one_behind_the_other() {
    use Do::{Good, Pass};
    let mut all = cluster("prod", "redblack");
    for (key, value) in [
        ("maxRemainingAsgs", json!(2)),
        ("delayBeforeCleanup", json!(5)),
        ("scaleDown", json!(true)),
        ("delayBeforeScaleDown", json!(3)),
    ] {
        all["clusters"][0][key] = value;
    }
    let given = pipeline(&[stage("1", &[], "deploy", all)]);
    let when = [
        Good("1<1"),
        Good("1<1>1"),
        Pass(5_000),
        Good("1<1>3"),
        Pass(3_000),
        Good("1<1>5"),
    ];
    let driver = check(
        &given,
        &when,
        "SUCCEEDED: 1<1 SUCCEEDED, 1<1>1 SUCCEEDED, 1<1>2 SUCCEEDED, 1<1>3 SUCCEEDED, \
         1<1>4 SUCCEEDED, 1<1>5 SUCCEEDED, 1 SUCCEEDED",
    );
    let kinds: Vec<&str> = driver
        .state
        .execution
        .stages
        .iter()
        .map(|s| s.kind.as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "createServerGroup",
            "shrinkCluster",
            "wait",
            "disableCluster",
            "wait",
            "scaleDownCluster",
            "deploy"
        ],
    );
    check(
        &given,
        &[Good("1<1"), Do::Bad("1<1>1")],
        "TERMINAL: 1<1 TERMINAL, 1<1>1 TERMINAL, 1<1>2 NOT_STARTED, 1<1>3 NOT_STARTED, \
         1<1>4 NOT_STARTED, 1<1>5 NOT_STARTED, 1 TERMINAL",
    );
}

fn with_rollback() -> Value {
    let mut deploy = cluster("prod", "redblack");
    deploy["clusters"][0]["rollback"] = json!({"onFailure": true});
    deploy["clusters"][0]["delayBeforeCleanup"] = json!(5);
    pipeline(&[stage("1", &[], "deploy", deploy)])
}

/// What had not started of the strategy is dropped, and the roll-back runs to its end before the
/// stage ends.
#[test]
fn a_failure_behind_the_new_server_group_is_rolled_back() {
    use Do::{Bad, Good, Pass};
    let failed = [Good("1<1"), Pass(5_000), Bad("1<1>2")];
    let rolling = check(
        &with_rollback(),
        &failed,
        "RUNNING: 1<1 RUNNING, 1<1>1 SUCCEEDED, 1<1>2 TERMINAL, 1<1>3 RUNNING, 1 RUNNING",
    );
    let last = rolling
        .state
        .stage(&id_of(&rolling, "1<1>3"))
        .expect("it is there");
    assert_eq!(last.kind, "disableServerGroup");
    assert_eq!(last.context["serverGroupName"], "app-v000");
    for end in [Good("1<1>3"), Bad("1<1>3")] {
        let mut when = failed.to_vec();
        when.push(end.clone());
        let status = if matches!(end, Good(_)) {
            "SUCCEEDED"
        } else {
            "TERMINAL"
        };
        check(
            &with_rollback(),
            &when,
            &format!(
                "TERMINAL: 1<1 TERMINAL, 1<1>1 SUCCEEDED, 1<1>2 TERMINAL, 1<1>3 {status}, 1 TERMINAL"
            ),
        );
    }
}

/// Nothing was made, so there is nothing to take back.
#[test]
fn a_failure_before_there_is_a_server_group_is_not_rolled_back() {
    check(
        &with_rollback(),
        &[Do::Bad("1<1")],
        "TERMINAL: 1<1 TERMINAL, 1 TERMINAL",
    );
}

#[test]
fn a_window_stands_before_everything_else_of_its_stage() {
    // The run starts on a Monday at 12:53:20 UTC.
    let window = |from: u64, to: u64| {
        json!({"restrictExecutionDuringTimeWindow": true, "restrictedExecutionWindow":
            {"whitelist": [{"startHour": from, "startMin": 0, "endHour": to, "endMin": 0}]}})
    };
    let with = |more: Value| pipeline(&[stage("1", &[], "wait", more)]);
    check(
        &with(window(0, 23)),
        &[],
        "SUCCEEDED: 1<1 SUCCEEDED, 1 SUCCEEDED",
    );
    let closed = "RUNNING: 1<1 RUNNING, 1 RUNNING";
    let driver = check(&with(window(20, 22)), &[Do::Pass(1)], closed);
    let opens = driver.state.next_wake().expect("it opens");
    assert_eq!(opens.millis() % 86_400_000, 20 * 3_600_000);
    check(
        &with(window(20, 22)),
        &[Do::Patch("1<1", json!({"skipRemainingWait": true}))],
        "SUCCEEDED: 1<1 SUCCEEDED, 1 SUCCEEDED",
    );
    check(
        &with(window(20, 22)),
        &[Do::Finish],
        "SUCCEEDED: 1<1 SUCCEEDED, 1 SUCCEEDED",
    );
    check(
        &with(window(20, 99)),
        &[],
        "TERMINAL: 1<1 TERMINAL, 1 TERMINAL",
    );
    let mut parted = window(0, 23);
    parted["preconditions"] = json!([expression("true")]);
    let given = pipeline(&[stage("1", &[], "checkPreconditions", parted)]);
    check(
        &given,
        &[],
        "SUCCEEDED: 1<1 SUCCEEDED, 1<2 SUCCEEDED, 1 SUCCEEDED",
    );
}
