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
fn an_unknown_type_and_failed_expressions_ignore_the_flags() {
    let flags = json!({"failPipeline": false, "continuePipeline": true});
    let broken =
        json!({"failOnFailedExpressions": true, "continuePipeline": true, "x": "${nothing.here}"});
    let method = json!({"url": "http://x", "method": "BANANA", "continuePipeline": true});
    for failing in [
        stage("f", &[], "noSuchType", flags.clone()),
        stage("f", &[], "Wait", flags),
        stage("f", &[], "webhook", method),
        stage("f", &[], "wait", broken),
    ] {
        let given = pipeline(&[failing, stage("n", &["f"], "wait", json!({}))]);
        check(&given, &[], "TERMINAL: f TERMINAL, n NOT_STARTED");
    }
}

#[test]
fn other_failures_while_planning_follow_the_flags() {
    let unreadable = |more: Value| {
        let mut context = json!({"stageEnabled": false});
        let flags = more.as_object().unwrap().clone();
        context.as_object_mut().unwrap().extend(flags);
        stage("f", &[], "wait", context)
    };
    let of = |kind: &str, more: Value| stage("f", &[], kind, more);
    for make in [
        &unreadable as &dyn Fn(Value) -> Value,
        &|more| of("checkPreconditions", more),
        &|more| of("deploy", more),
    ] {
        for (flags, expect) in [
            (json!({}), "TERMINAL: f TERMINAL, n NOT_STARTED"),
            (
                json!({"failPipeline": false}),
                "SUCCEEDED: f STOPPED, n NOT_STARTED",
            ),
            (
                json!({"continuePipeline": true}),
                "SUCCEEDED: f FAILED_CONTINUE, n SUCCEEDED",
            ),
        ] {
            let given = pipeline(&[make(flags), stage("n", &["f"], "wait", json!({}))]);
            let driver = check(&given, &[], expect);
            let context = &driver.state.execution.stages[0].context;
            assert_eq!(context["beforeStagePlanningFailed"], json!(true));
        }
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
        json!("'yes'"),
        json!("null"),
        json!("${nothing.here}"),
        json!("${'1 == 2'}"),
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
        json!("'true'"),
        json!("'TRUE'"),
        json!("${true}"),
        json!("'${#currentStage()['refId']}' == '1'"),
        json!(true),
        json!(null),
    ] {
        check(&expression(on), &[], "RUNNING: 1 RUNNING, 2 NOT_STARTED");
    }
    for on in [
        json!({}),
        json!(null),
        json!({"type": "expression"}),
        json!({"type": "moon", "expression": "false"}),
        json!({"expression": "false"}),
    ] {
        check(&with(on), &[], "RUNNING: 1 RUNNING, 2 NOT_STARTED");
    }
    let spelled = with(json!({"type": "Expression", "expression": "false"}));
    check(&spelled, &[], "SUCCEEDED: 1 SKIPPED, 2 SUCCEEDED");
    for unreadable in [json!(false), json!([]), json!("false")] {
        check(
            &with(unreadable),
            &[],
            "TERMINAL: 1 TERMINAL, 2 NOT_STARTED",
        );
    }
    let list = expression(json!(["true"]));
    check(&list, &[], "TERMINAL: 1 TERMINAL, 2 NOT_STARTED");
}

#[test]
fn a_condition_sees_the_stages_own_values_evaluated() {
    let enabled = json!({"type": "expression", "expression": "go"});
    let given = |go: &str| {
        let context = json!({"stageEnabled": enabled, "go": go});
        pipeline(&[
            stage("1", &[], "wait", json!({"tag": "T"})),
            stage("2", &["1"], "wait", context),
        ])
    };
    let is = |tag: &str| {
        given(&format!(
            "${{#stage('wait 1')['context']['tag'] == '{tag}'}}"
        ))
    };
    check(&is("T"), &[], "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED");
    check(&is("F"), &[], "SUCCEEDED: 1 SUCCEEDED, 2 SKIPPED");
}

#[test]
fn a_task_knows_no_switched_off_stages() {
    let enabled = json!({"type": "expression", "expression": "false"});
    let task = super::driver::object(json!({"application": "app", "description": "d",
        "job": [{"type": "wait", "stageEnabled": enabled}]}));
    let request = orca_engine::build::Request {
        id: kork_model::ExecutionId::from("01J9ZK3M2N4P5Q6R7S8T9V0W1X"),
        now: kork_model::Timestamp(1_790_000_000_000),
        pipeline: &task,
        trigger: None,
        user: "anonymous",
        origin: "api",
        prior_artifacts: &[],
    };
    let execution = Box::new(orca_engine::build::orchestration(&request).unwrap());
    let mut driver = Driver::empty();
    driver.give(&orca_engine::Command::Create { execution });
    assert_eq!(driver.status_of("0"), kork_model::Status::Succeeded);
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
    let played = &driver.state.execution.stages[0];
    assert_eq!(played.tasks[0].name, "dryRun");
    assert!(played.context.is_empty(), "{:?}", played.context);
}
