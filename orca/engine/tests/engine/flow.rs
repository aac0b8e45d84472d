//! Who runs after whom, and what a failure makes of the others.

use orca_engine::Event;
use serde_json::{Value, json};

use super::{
    check::{Do, check},
    driver::{Driver, pipeline, stage},
};

fn op(reference: &str, after: &[&str], more: Value) -> Value {
    stage(reference, after, "resizeServerGroup", more)
}

fn plain(reference: &str, after: &[&str]) -> Value {
    op(reference, after, json!({}))
}

#[test]
fn a_chain_runs_in_order() {
    use Do::{Finish, Good};
    let chain = pipeline(&[plain("1", &[]), plain("2", &["1"]), plain("3", &["2"])]);
    check(
        &chain,
        &[],
        "RUNNING: 1 RUNNING, 2 NOT_STARTED, 3 NOT_STARTED",
    );
    check(
        &chain,
        &[Good("1")],
        "RUNNING: 1 SUCCEEDED, 2 RUNNING, 3 NOT_STARTED",
    );
    check(
        &chain,
        &[Good("1"), Good("2")],
        "RUNNING: 1 SUCCEEDED, 2 SUCCEEDED, 3 RUNNING",
    );
    check(
        &chain,
        &[Finish],
        "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED, 3 SUCCEEDED",
    );
}

#[test]
fn without_references_stages_run_in_the_order_of_the_list() {
    let wait = json!({"type": "wait"});
    let chain = pipeline(&[wait.clone(), wait.clone(), wait]);
    let driver = check(
        &chain,
        &[],
        "SUCCEEDED: 0 SUCCEEDED, 1 SUCCEEDED, 2 SUCCEEDED",
    );
    assert_eq!(
        driver.log.len(),
        1,
        "a chain of inline stages is one append"
    );
}

#[test]
fn a_join_starts_once_after_all_it_requires() {
    use Do::Good;
    let diamond = pipeline(&[
        plain("1", &[]),
        plain("2", &["1"]),
        plain("3", &["1"]),
        plain("4", &["2", "3"]),
    ]);
    let half = "RUNNING: 1 SUCCEEDED, 2 SUCCEEDED, 3 RUNNING, 4 NOT_STARTED";
    check(&diamond, &[Good("1"), Good("2")], half);
    let all = "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED, 3 SUCCEEDED, 4 SUCCEEDED";
    for order in [["2", "3"], ["3", "2"]] {
        let driver = check(
            &diamond,
            &[Good("1"), Good(order[0]), Good(order[1]), Good("4")],
            all,
        );
        assert_eq!(started(&driver, "4"), 1);
    }
}

#[test]
fn branches_that_end_at_the_same_instant_join_once() {
    let wait = |r: &str, after: &[&str]| stage(r, after, "wait", json!({"waitTime": 7}));
    let given = pipeline(&[
        wait("1", &[]),
        wait("2", &[]),
        wait("3", &[]),
        plain("4", &["1", "2", "3"]),
    ]);
    let then = "RUNNING: 1 SUCCEEDED, 2 SUCCEEDED, 3 SUCCEEDED, 4 RUNNING";
    let driver = check(&given, &[Do::Pass(7_000)], then);
    assert_eq!(started(&driver, "4"), 1);
}

/// How often a stage started, by the log.
fn started(driver: &Driver, reference: &str) -> usize {
    let id = super::check::id_of(driver, reference);
    let decisions = driver.log.iter().flat_map(|text| {
        serde_json::from_str::<Vec<Event>>(text).expect("what was written can be read")
    });
    decisions
        .filter(|e| matches!(e, Event::StageStarted { stage, .. } if *stage == id))
        .count()
}

/// The table of failure options, for a failure of work, of a person and of a check; alone, and with a
/// branch beside it. `f` fails, `n` follows it, `b` runs beside, `j` joins both.
#[test]
fn failure_modes() {
    let halt = json!({});
    let branch = json!({"failPipeline": false});
    let later = json!({"failPipeline": false, "completeOtherBranchesThenFail": true});
    let ignore = json!({"continuePipeline": true});
    let table = [
        (
            halt,
            "TERMINAL: f TERMINAL, n NOT_STARTED",
            "TERMINAL: f TERMINAL, n NOT_STARTED, b CANCELED, j NOT_STARTED",
        ),
        (
            json!({"failPipeline": true, "completeOtherBranchesThenFail": true}),
            "TERMINAL: f TERMINAL, n NOT_STARTED",
            "TERMINAL: f TERMINAL, n NOT_STARTED, b CANCELED, j NOT_STARTED",
        ),
        (
            branch,
            "SUCCEEDED: f STOPPED, n NOT_STARTED",
            "SUCCEEDED: f STOPPED, n NOT_STARTED, b SUCCEEDED, j NOT_STARTED",
        ),
        (
            later,
            "TERMINAL: f STOPPED, n NOT_STARTED",
            "TERMINAL: f STOPPED, n NOT_STARTED, b SUCCEEDED, j NOT_STARTED",
        ),
        (
            ignore,
            "SUCCEEDED: f FAILED_CONTINUE, n SUCCEEDED",
            "SUCCEEDED: f FAILED_CONTINUE, n SUCCEEDED, b SUCCEEDED, j SUCCEEDED",
        ),
        (
            json!({"failPipeline": true, "continuePipeline": true}),
            "SUCCEEDED: f FAILED_CONTINUE, n SUCCEEDED",
            "SUCCEEDED: f FAILED_CONTINUE, n SUCCEEDED, b SUCCEEDED, j SUCCEEDED",
        ),
        (
            json!({"failPipeline": "false"}),
            "SUCCEEDED: f STOPPED, n NOT_STARTED",
            "SUCCEEDED: f STOPPED, n NOT_STARTED, b SUCCEEDED, j NOT_STARTED",
        ),
        (
            json!({"continuePipeline": "true"}),
            "SUCCEEDED: f FAILED_CONTINUE, n SUCCEEDED",
            "SUCCEEDED: f FAILED_CONTINUE, n SUCCEEDED, b SUCCEEDED, j SUCCEEDED",
        ),
    ];
    for (flags, alone, beside) in table {
        for (kind, fails) in [
            ("resizeServerGroup", Do::Bad("f")),
            ("manualJudgment", Do::Say("f", "stop")),
        ] {
            let failing = stage("f", &[], kind, flags.clone());
            let next = stage("n", &["f"], "wait", json!({}));
            let when = [fails.clone(), Do::Finish];
            let unless_ended = |expect: &str| if expect.starts_with("RUNNING") { 2 } else { 1 };
            check(
                &pipeline(&[failing.clone(), next.clone()]),
                &when[..unless_ended(alone)],
                alone,
            );
            let four = pipeline(&[
                failing,
                next,
                plain("b", &[]),
                stage("j", &["f", "b"], "wait", json!({})),
            ]);
            check(&four, &when, beside);
        }
    }
}

#[test]
fn failures_while_planning_ignore_the_flags() {
    let flags = json!({"failPipeline": false, "continuePipeline": true});
    let broken =
        json!({"failOnFailedExpressions": true, "continuePipeline": true, "x": "${nothing.here}"});
    for failing in [
        stage("f", &[], "noSuchType", flags.clone()),
        stage("f", &[], "Wait", flags.clone()),
        stage("f", &[], "deploy", flags.clone()),
        stage("f", &[], "checkPreconditions", flags),
        stage("f", &[], "wait", broken),
        stage(
            "f",
            &[],
            "wait",
            json!({"stageEnabled": false, "continuePipeline": true}),
        ),
    ] {
        let given = pipeline(&[failing, stage("n", &["f"], "wait", json!({}))]);
        check(&given, &[], "TERMINAL: f TERMINAL, n NOT_STARTED");
    }
}

#[test]
fn a_failed_expression_alone_does_not_fail_its_stage() {
    let given = pipeline(&[stage("1", &[], "wait", json!({"x": "${nothing.here}"}))]);
    let driver = check(&given, &[], "SUCCEEDED: 1 SUCCEEDED");
    let context = &driver.state.execution.stages[0].context;
    assert!(
        context.contains_key("expressionEvaluationSummary"),
        "{context:?}"
    );
}

#[test]
fn a_stage_that_is_switched_off_counts_as_done() {
    let with = |enabled: Value| {
        pipeline(&[
            stage(
                "1",
                &[],
                "resizeServerGroup",
                json!({"stageEnabled": enabled}),
            ),
            stage("2", &["1"], "wait", json!({})),
        ])
    };
    let expression = |e: Value| with(json!({"type": "expression", "expression": e}));
    for off in [
        json!("false"),
        json!("1"),
        json!("nothing.here"),
        json!("((("),
        json!("'no'"),
        json!(0),
        json!(false),
    ] {
        check(&expression(off), &[], "SUCCEEDED: 1 SKIPPED, 2 SUCCEEDED");
    }
    for on in [
        json!("true"),
        json!(""),
        json!("  "),
        json!("1 == 1"),
        json!(true),
    ] {
        check(&expression(on), &[], "RUNNING: 1 RUNNING, 2 NOT_STARTED");
    }
    check(
        &with(json!({"type": "expression"})),
        &[],
        "RUNNING: 1 RUNNING, 2 NOT_STARTED",
    );
}

#[test]
fn references_that_are_unknown_or_given_twice() {
    let wait = |r: &str, after: &[&str]| stage(r, after, "wait", json!({}));
    check(
        &pipeline(&[wait("1", &[]), wait("2", &["1", "9"])]),
        &[],
        "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED",
    );
    check(
        &pipeline(&[wait("1", &[]), wait("2", &["9"])]),
        &[],
        "TERMINAL: 1 SUCCEEDED, 2 NOT_STARTED",
    );
    check(
        &pipeline(&[plain("1", &[]), wait("1", &[]), wait("2", &["1"])]),
        &[],
        "RUNNING: 1 RUNNING, 1 SUCCEEDED, 2 NOT_STARTED",
    );
    check(
        &pipeline(&[wait("1", &[]), wait("1", &[]), wait("2", &["1"])]),
        &[],
        "SUCCEEDED: 1 SUCCEEDED, 1 SUCCEEDED, 2 SUCCEEDED",
    );
}

#[test]
fn graphs_that_cannot_run_end_with_the_reason() {
    let wait = |r: &str, after: &[&str]| stage(r, after, "wait", json!({}));
    for (stages, started) in [
        (vec![wait("1", &["2"]), wait("2", &["1"])], false),
        (vec![wait("1", &["1"])], false),
        (vec![wait("1", &["9"])], false),
        (vec![], false),
        (
            vec![wait("1", &[]), wait("2", &["3"]), wait("3", &["2"])],
            true,
        ),
        (
            vec![wait("1", &[]), wait("2", &["1", "3"]), wait("3", &["2"])],
            true,
        ),
    ] {
        let mut driver = Driver::start(&pipeline(&stages));
        let execution = &driver.state.execution;
        assert_eq!(execution.status, kork_model::Status::Terminal);
        assert_eq!(execution.start_time.is_some(), started);
        assert_eq!(execution.system_notifications.len(), 1);
        driver.check_end();
    }
}

#[test]
fn a_start_that_comes_too_late_is_cancelled() {
    let mut given = pipeline(&[plain("1", &[])]);
    given["startTimeExpiry"] = json!(1_789_999_999_999_u64);
    check(&given, &[], "CANCELED: 1 NOT_STARTED");
    let late = stage(
        "1",
        &[],
        "resizeServerGroup",
        json!({"startTimeExpiry": 1_789_999_999_999_u64}),
    );
    check(&pipeline(&[late]), &[], "SUCCEEDED: 1 SKIPPED");
}

#[test]
fn a_dry_run_touches_nothing() {
    let mut given = pipeline(&[plain("1", &[]), stage("2", &["1"], "noSuchType", json!({}))]);
    given["trigger"] = json!({"dryRun": true});
    let driver = check(&given, &[], "TERMINAL: 1 SUCCEEDED, 2 TERMINAL");
    assert!(driver.sent.is_empty(), "{:?}", driver.sent);
}
