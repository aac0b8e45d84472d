//! One step past every limit, and what is said then.

use kork_model::Status;
use orca_engine::{Command, limits};
use serde_json::{Value, json};

use super::{
    check::{Do, by, check, id_of, order_of},
    driver::{Driver, built, object, pipeline, stage},
};

fn wait(reference: &str, after: &[&str]) -> Value {
    stage(reference, after, "wait", json!({}))
}

#[test]
fn a_definition_has_bounds() {
    let many: Vec<Value> = (0..=limits::STAGES_MAX)
        .map(|n| wait(&n.to_string(), &[]))
        .collect();
    let large = "x".repeat(limits::CONTEXT_BYTES_MAX);
    let heavy: Vec<Value> = (0..5)
        .map(|n| {
            stage(
                &n.to_string(),
                &[],
                "wait",
                json!({"x": &large[..200 * 1024]}),
            )
        })
        .collect();
    let long = "x".repeat(limits::NAME_CHARS_MAX + 1);
    let with = |more: Value| pipeline(&[stage("1", &[], "wait", more)]);
    for (definition, pointer) in [
        (pipeline(&many), "/stages"),
        (with(json!({ "x": large })), "/stages/0"),
        (with(json!({ "name": long })), "/stages/0/name"),
        (with(json!({ "refId": long })), "/stages/0/refId"),
        (with(json!({ "type": long })), "/stages/0/type"),
        (pipeline(&heavy), ""),
    ] {
        let invalid = built(&definition).expect_err(pointer);
        assert_eq!(invalid.errors[0].pointer, pointer, "{invalid}");
    }
    assert!(
        built(&pipeline(&many[1..])).is_ok(),
        "as many as are allowed"
    );
    assert!(built(&with(json!({"name": &long[1..]}))).is_ok());
}

#[test]
fn a_wait_has_a_longest_time() {
    let with = |seconds: u64| pipeline(&[stage("1", &[], "wait", json!({ "waitTime": seconds }))]);
    let ends = |seconds: u64| {
        let driver = check(&with(seconds), &[], "RUNNING: 1 RUNNING");
        driver.state.next_wake()
    };
    let longest = ends(limits::WAIT_SECONDS_MAX);
    assert_eq!(ends(limits::WAIT_SECONDS_MAX + 1), longest);
    assert_eq!(ends(99_999_999_999), longest);
    check(&with(u64::MAX), &[], "TERMINAL: 1 TERMINAL");
}

#[test]
fn a_stage_that_would_add_too_many_stages_fails() {
    let check = json!({"type": "expression", "context": {"expression": "true"}});
    let list: Vec<Value> = vec![check; limits::STAGES_WITH_SYNTHETIC_MAX];
    let given = pipeline(&[stage(
        "1",
        &[],
        "checkPreconditions",
        json!({ "preconditions": list }),
    )]);
    let driver = super::check::check(&given, &[], "TERMINAL: 1 TERMINAL");
    let text = driver.state.execution.stages[0].context["exception"].to_string();
    assert!(
        text.contains(&limits::STAGES_WITH_SYNTHETIC_MAX.to_string()),
        "{text}"
    );
}

#[test]
fn a_change_that_is_too_large_is_refused() {
    let mut driver = Driver::start(&pipeline(&[stage("1", &[], "manualJudgment", json!({}))]));
    let patch = |driver: &Driver, size: usize| Command::Patch {
        stage: id_of(driver, "1"),
        context: object(json!({"note": "x".repeat(size)})),
        by: by(),
    };
    let refused = driver.try_give(&patch(&driver, limits::CONTEXT_BYTES_MAX));
    assert_eq!(refused.expect_err("too large").problem().code, "ORCA-0006");
    // Many changes that are small enough one by one are not, all together.
    let before = driver.state.clone();
    let part = limits::CONTEXT_BYTES_MAX / 2;
    driver.give(&patch(&driver, part));
    let (stage, context) = (
        id_of(&driver, "1"),
        object(json!({"other": "x".repeat(part)})),
    );
    let refused = driver.try_give(&Command::Patch {
        stage,
        context,
        by: by(),
    });
    assert_eq!(refused.expect_err("too large").problem().code, "ORCA-0006");
    assert_ne!(driver.state, before);
    driver.finish();
    driver.check_end();
}

fn reported(size: usize) -> Driver {
    let mut driver = Driver::start(&pipeline(&[stage(
        "1",
        &[],
        "resizeServerGroup",
        json!({}),
    )]));
    let order = driver
        .orders
        .remove(&order_of(&driver, "1"))
        .expect("it is out");
    let outputs = object(json!({"log": "x".repeat(size)}));
    let result = kork_model::WorkResult::succeeded(outputs);
    let report = Box::new(kork_model::WorkReport::done(&order, result));
    driver.give(&Command::Report { report });
    driver
}

#[test]
fn a_result_that_is_too_large_is_left_out_and_said_so() {
    let small = reported(1_000);
    assert_eq!(small.state.execution.stages[0].outputs.len(), 1);
    let large = reported(limits::CONTEXT_BYTES_MAX);
    let stage = &large.state.execution.stages[0];
    assert_eq!(stage.status, Status::Succeeded);
    assert!(stage.outputs.is_empty());
    let said = stage.context["resultTooLarge"]
        .as_str()
        .expect("it is said");
    assert!(
        said.contains(&limits::CONTEXT_BYTES_MAX.to_string()),
        "{said}"
    );
}

#[test]
fn progress_that_is_too_large_is_not_shown() {
    let mut driver = Driver::start(&pipeline(&[stage(
        "1",
        &[],
        "resizeServerGroup",
        json!({}),
    )]));
    let order = driver.orders[&order_of(&driver, "1")].clone();
    let shown = object(json!({"logTail": "x".repeat(limits::CONTEXT_BYTES_MAX)}));
    let report = Box::new(kork_model::WorkReport::progress(&order, shown));
    driver.give(&Command::Report { report });
    let size = serde_json::to_string(&driver.state.execution.stages[0].context)
        .expect("JSON")
        .len();
    assert!(size <= limits::CONTEXT_BYTES_MAX, "{size} bytes");
    driver.finish();
    driver.check_end();
}

/// An expression can make much out of little.
#[test]
fn a_context_that_grows_too_large_by_its_expressions_fails_its_stage() {
    let large = "x".repeat(limits::CONTEXT_BYTES_MAX * 2 / 3);
    let more = json!({"a": large, "b": "${a}", "continuePipeline": true});
    let driver = check(
        &pipeline(&[stage("1", &[], "wait", more)]),
        &[],
        "TERMINAL: 1 TERMINAL",
    );
    let context = &driver.state.execution.stages[0].context;
    let size = serde_json::to_string(context).expect("JSON").len();
    assert!(size <= limits::CONTEXT_BYTES_MAX, "{size} bytes");
    assert!(
        context["exception"].to_string().contains("bytes"),
        "{}",
        context["exception"]
    );
}

/// One decision is one message of the log. What does not fit waits for the next one, which is due at
/// once, and nothing is lost.
#[test]
fn a_decision_never_outgrows_a_message() {
    let large = "x".repeat(170 * 1024);
    let mut stages = vec![stage("0", &[], "resizeServerGroup", json!({}))];
    let all: Vec<String> = (1..=5).map(|n| n.to_string()).collect();
    for n in &all {
        stages.push(stage(n, &["0"], "resizeServerGroup", json!({ "x": large })));
        stages.push(stage(&format!("{n}b"), &[n], "wait", json!({})));
    }
    let given = pipeline(&stages);
    let mut driver = Driver::start(&given);
    let order = driver
        .orders
        .remove(&order_of(&driver, "0"))
        .expect("it is out");
    let outputs = object(json!({"log": "x".repeat(200 * 1024)}));
    let report = Box::new(kork_model::WorkReport::done(
        &order,
        kork_model::WorkResult::succeeded(outputs),
    ));
    driver
        .try_give(&Command::Report { report })
        .expect("it is heard");
    driver.finish();
    let longest = driver.log[1..]
        .iter()
        .map(String::len)
        .max()
        .expect("it ran");
    assert!(longest < 1024 * 1024, "a message of {longest} bytes");
    assert_eq!(driver.state.execution.status, Status::Succeeded);
    driver.check_end();
}

/// The longest chain that is allowed, of stages that need many steps each.
#[test]
fn a_decision_that_would_take_too_many_steps_goes_on_in_the_next() {
    let holds = json!({"type": "expression", "context": {"expression": "true"}});
    let count = limits::EVENTS_PER_DECISION_MAX / 8;
    let stages: Vec<Value> = (0..count)
        .map(|_| json!({"type": "checkPreconditions", "preconditions": [holds]}))
        .collect();
    let mut driver = Driver::start(&pipeline(&stages));
    driver.finish();
    assert_eq!(driver.state.execution.status, Status::Succeeded);
    assert!(
        driver
            .state
            .execution
            .stages
            .iter()
            .all(|s| s.status == Status::Succeeded)
    );
}

#[test]
fn pauses_between_tries_and_their_number_are_bounded() {
    let given = pipeline(&[stage("1", &[], "resizeServerGroup", json!({}))]);
    let mut tries = 1;
    let mut when = Vec::new();
    while tries < limits::WORK_ATTEMPTS_MAX {
        when.extend([Do::Later("1"), Do::Pass(limits::WORK_BACKOFF_MAX_MS)]);
        tries += 1;
    }
    check(&given, &when, "RUNNING: 1 RUNNING");
    when.push(Do::Later("1"));
    check(&given, &when, "TERMINAL: 1 TERMINAL");
}
