//! What people do to an execution: cancel, hold, let go, change a stage.

use kork_model::{Status, WorkReport, WorkResult};
use orca_engine::{Command, Rejection};
use serde_json::{Value, json};

use super::{
    check::{Do, act, by, check, id_of, order_of, shown},
    driver::{Driver, execution, object, pipeline, stage},
};

fn two() -> Value {
    pipeline(&[
        stage("1", &[], "resizeServerGroup", json!({})),
        stage("2", &["1"], "wait", json!({"waitTime": 9})),
    ])
}

#[test]
fn cancel_ends_everything_and_calls_work_back() {
    use Do::{Cancel, Crash, Good, Pause};
    let first = check(&two(), &[Cancel], "CANCELED: 1 CANCELED, 2 NOT_STARTED");
    assert_eq!(first.state.execution.canceled_by.as_deref(), Some("ana"));
    assert!(first.state.execution.canceled);
    check(
        &two(),
        &[Good("1"), Cancel],
        "CANCELED: 1 SUCCEEDED, 2 CANCELED",
    );
    check(
        &two(),
        &[Pause, Cancel],
        "CANCELED: 1 CANCELED, 2 NOT_STARTED",
    );
    check(
        &two(),
        &[Pause, Crash, Cancel],
        "CANCELED: 1 CANCELED, 2 NOT_STARTED",
    );
}

#[test]
fn cancel_of_an_execution_that_waits_for_its_turn() {
    let mut limited = two();
    limited["limitConcurrent"] = json!(true);
    let driver = check(
        &limited,
        &[Do::Cancel],
        "CANCELED: 1 NOT_STARTED, 2 NOT_STARTED",
    );
    assert!(driver.state.execution.start_time.is_none());
    check(
        &limited,
        &[Do::Pause],
        "NOT_STARTED: 1 NOT_STARTED, 2 NOT_STARTED",
    );
    let mut admitted = Driver::start(&limited);
    admitted.give(&Command::Admit { generation: 1 });
    assert_eq!(
        admitted.state.execution.status,
        Status::NotStarted,
        "that is another run's place"
    );
    admitted.give(&Command::Admit { generation: 0 });
    assert_eq!(shown(&admitted), "RUNNING: 1 RUNNING, 2 NOT_STARTED");
    admitted.give(&Command::Supersede { generation: 0 });
    assert_eq!(shown(&admitted), "RUNNING: 1 RUNNING, 2 NOT_STARTED");
    let mut superseded = Driver::start(&limited);
    superseded.give(&Command::Supersede { generation: 1 });
    assert_eq!(superseded.state.execution.status, Status::NotStarted);
    superseded.give(&Command::Supersede { generation: 0 });
    assert_eq!(superseded.state.execution.status, Status::Canceled);
    superseded.check_end();
}

#[test]
fn while_held_reports_count_but_nothing_starts() {
    use Do::{Good, Pass, Pause, Resume};
    check(&two(), &[Pause], "PAUSED: 1 PAUSED, 2 NOT_STARTED");
    check(
        &two(),
        &[Pause, Good("1")],
        "PAUSED: 1 PAUSED, 2 NOT_STARTED",
    );
    check(
        &two(),
        &[Pause, Good("1"), Resume],
        "RUNNING: 1 SUCCEEDED, 2 RUNNING",
    );
    check(
        &two(),
        &[Pause, Do::Bad("1"), Resume],
        "TERMINAL: 1 TERMINAL, 2 NOT_STARTED",
    );
    check(
        &two(),
        &[Good("1"), Pause, Pass(20_000)],
        "PAUSED: 1 SUCCEEDED, 2 PAUSED",
    );
    check(
        &two(),
        &[Good("1"), Pause, Pass(20_000), Resume],
        "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED",
    );
    check(
        &two(),
        &[Pause, Do::Later("1"), Resume, Do::Finish],
        "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED",
    );
    let asked = pipeline(&[stage("1", &[], "manualJudgment", json!({}))]);
    check(
        &asked,
        &[Pause, Do::Say("1", "continue")],
        "PAUSED: 1 PAUSED",
    );
    check(
        &asked,
        &[Pause, Do::Say("1", "continue"), Resume],
        "SUCCEEDED: 1 SUCCEEDED",
    );
}

#[test]
fn pauses_are_measured() {
    let mut driver = Driver::start(&two());
    let start = driver.now;
    for what in [Do::Pass(100), Do::Pause, Do::Pass(250), Do::Resume] {
        act(&mut driver, &what);
    }
    let paused = driver.state.execution.paused.clone().expect("it was held");
    assert_eq!(
        (paused.pause_time, paused.resume_time),
        (Some(start.plus_ms(100)), Some(start.plus_ms(350)))
    );
    assert_eq!((paused.paused_ms, paused.paused), (250, false));
    act(&mut driver, &Do::Pause);
    act(&mut driver, &Do::Pass(50));
    act(&mut driver, &Do::Resume);
    let notes = driver.state.notes(&id_of(&driver, "1"));
    assert_eq!(
        notes.paused_ms, 300,
        "the stage's own sum counts all pauses"
    );
}

#[test]
fn what_is_finished_takes_no_more_orders() {
    let mut driver = check(&two(), &[Do::Finish], "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED");
    let log = driver.log.len();
    for what in [Do::Cancel, Do::Pause, Do::Resume, Do::Pass(1_000_000)] {
        act(&mut driver, &what);
    }
    assert_eq!(driver.log.len(), log);
}

#[test]
fn judgments_ignore_case_and_unknown_words() {
    let asked = pipeline(&[stage("1", &[], "manualJudgment", json!({}))]);
    for (word, expect) in [
        ("continue", "SUCCEEDED: 1 SUCCEEDED"),
        ("CONTINUE", "SUCCEEDED: 1 SUCCEEDED"),
        ("Stop", "TERMINAL: 1 TERMINAL"),
        ("maybe", "RUNNING: 1 RUNNING"),
        ("", "RUNNING: 1 RUNNING"),
    ] {
        check(&asked, &[Do::Say("1", word)], expect);
    }
    check(
        &asked,
        &[Do::Say("1", "maybe"), Do::Say("1", "continue")],
        "SUCCEEDED: 1 SUCCEEDED",
    );
}

#[test]
fn later_stages_run_as_the_judge_when_asked_to() {
    for (propagates, user) in [(true, "ana"), (false, "anonymous")] {
        let given = pipeline(&[
            stage(
                "1",
                &[],
                "manualJudgment",
                json!({"propagateAuthenticationContext": propagates}),
            ),
            stage("2", &["1"], "resizeServerGroup", json!({})),
        ]);
        let driver = check(
            &given,
            &[Do::Say("1", "continue")],
            "RUNNING: 1 SUCCEEDED, 2 RUNNING",
        );
        assert_eq!(driver.orders[&order_of(&driver, "2")].user, user);
    }
}

#[test]
fn a_wait_can_be_cut_short() {
    let waits = pipeline(&[stage("1", &[], "wait", json!({"waitTime": 1_000}))]);
    let skip = || Do::Patch("1", json!({"skipRemainingWait": true}));
    check(&waits, &[skip()], "SUCCEEDED: 1 SUCCEEDED");
    check(
        &waits,
        &[Do::Pause, skip(), Do::Resume],
        "SUCCEEDED: 1 SUCCEEDED",
    );
    check(
        &waits,
        &[Do::Patch("1", json!({"waitTime": 1})), Do::Pass(1_000)],
        "SUCCEEDED: 1 SUCCEEDED",
    );
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    let mut driver = Driver::start(&two());
    let one = id_of(&driver, "1");
    let patch = |stage, context: Value| Command::Patch {
        stage,
        context: object(context),
        by: by(),
    };
    let restart = |stage| Command::Restart {
        stage,
        by: by(),
        body: object(json!({})),
        archived: None,
    };
    let unknown = || kork_model::StageId::from("nobody");
    let before = driver.state.clone();
    for (command, code) in [
        (patch(unknown(), json!({})), "ORCA-0003"),
        (patch(one, json!({"manualSkip": true})), "ORCA-0005"),
        (restart(unknown()), "ORCA-0003"),
        (
            Command::Create {
                execution: Box::new(execution(&two())),
            },
            "ORCA-0002",
        ),
    ] {
        let refused = driver.try_give(&command).expect_err(code);
        assert_eq!(refused.problem().code, code, "{refused}");
    }
    assert_eq!(driver.state, before);
    let nothing = orca_engine::State::default();
    for command in [
        Command::Tick,
        Command::Cancel {
            by: by(),
            reason: None,
        },
        restart(unknown()),
    ] {
        let refused = orca_engine::decide(&nothing, &command, driver.now);
        assert!(
            matches!(refused, Err(Rejection::UnknownExecution(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn a_skippable_child_can_be_skipped() {
    let child = |more: Value| {
        let mut context = object(json!({"application": "app", "pipeline": "p2"}));
        context.extend(object(more));
        pipeline(&[
            stage("1", &[], "pipeline", Value::Object(context)),
            stage("2", &["1"], "wait", json!({})),
        ])
    };
    let mut driver = Driver::start(&child(json!({"skippable": true})));
    act(&mut driver, &Do::Good("1"));
    act(&mut driver, &Do::Patch("1", json!({"manualSkip": true})));
    assert_eq!(shown(&driver), "SUCCEEDED: 1 SKIPPED, 2 SUCCEEDED");
    // The child goes on, and who watches it: what they tell at its end is late.
    act(&mut driver, &Do::Good("1"));
    assert_eq!(shown(&driver), "SUCCEEDED: 1 SKIPPED, 2 SUCCEEDED");
    driver.check_end();
    let stage = &driver.state.execution.stages[0];
    assert_eq!(stage.context["canManuallySkip"], json!(true));
    let tasks: Vec<Status> = stage.tasks.iter().map(|t| t.status).collect();
    assert_eq!(tasks, [Status::Succeeded, Status::Skipped]);

    let mut stubborn = Driver::start(&child(json!({})));
    let patch = Command::Patch {
        stage: id_of(&stubborn, "1"),
        context: object(json!({"manualSkip": true})),
        by: by(),
    };
    let refused = stubborn.try_give(&patch).expect_err("it is not skippable");
    assert_eq!(refused.problem().code, "ORCA-0005");
}

#[test]
fn a_child_that_runs_already_is_only_watched() {
    let context = json!({"application": "app", "pipeline": "p2", "executionId": "child"});
    let given = pipeline(&[stage("1", &[], "pipeline", context)]);
    let driver = check(&given, &[Do::Good("1")], "SUCCEEDED: 1 SUCCEEDED");
    let tasks = &driver.state.execution.stages[0].tasks;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].name, "monitorPipeline");
}

#[test]
fn an_execution_that_did_not_succeed_cancels_its_follower() {
    let given = |flags: Value| {
        let mut context = object(json!({"executionType": "pipeline", "executionId": "e"}));
        context.extend(object(flags));
        pipeline(&[
            stage("1", &[], "dependsOnExecution", Value::Object(context)),
            stage("2", &["1"], "noop", json!({})),
        ])
    };
    let answered = |flags: Value, status: Status, context: Value| {
        let mut driver = Driver::start(&given(flags));
        let key = order_of(&driver, "1");
        let order = driver.orders.remove(&key).expect("it is asked for");
        let mut result = WorkResult::succeeded(object(json!({})));
        result.status = status;
        result.context = object(context);
        let report = Box::new(WorkReport::done(&order, result));
        driver.give(&Command::Report { report });
        shown(&driver)
    };
    for (flags, status, context, expect) in [
        (
            json!({}),
            Status::Succeeded,
            json!({}),
            "SUCCEEDED: 1 SUCCEEDED, 2 SKIPPED",
        ),
        (
            json!({}),
            Status::Terminal,
            json!({}),
            "CANCELED: 1 CANCELED, 2 NOT_STARTED",
        ),
        (
            json!({"continuePipeline": true}),
            Status::Terminal,
            json!({}),
            "SUCCEEDED: 1 FAILED_CONTINUE, 2 SKIPPED",
        ),
        (
            json!({}),
            Status::Terminal,
            json!({"error": "not found"}),
            "TERMINAL: 1 TERMINAL, 2 NOT_STARTED",
        ),
    ] {
        assert_eq!(answered(flags, status, context), expect);
    }
}

#[test]
fn of_judgments_of_one_name_the_one_with_an_input_answers() {
    let named = |reference: &str| stage(reference, &[], "manualJudgment", json!({"name": "J"}));
    let seen = stage("3", &["2"], "wait", json!({"seen": "${#judgment('J')}"}));
    let given = pipeline(&[named("1"), named("2"), seen]);
    let judge = |s: &'static str, patch: Value| Do::Patch(s, patch);
    let driver = check(
        &given,
        &[
            judge("1", json!({"judgmentStatus": "continue"})),
            judge(
                "2",
                json!({"judgmentStatus": "continue", "judgmentInput": "red"}),
            ),
        ],
        "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED, 3 SUCCEEDED",
    );
    assert_eq!(
        driver.state.execution.stages[2].context["seen"],
        json!("red")
    );
}

#[test]
fn a_restarted_judgment_keeps_its_input() {
    let given = pipeline(&[stage("1", &[], "manualJudgment", json!({}))]);
    let stop = Do::Patch(
        "1",
        json!({"judgmentStatus": "stop", "judgmentInput": "red"}),
    );
    let driver = check(&given, &[stop, Do::Restart("1")], "RUNNING: 1 RUNNING");
    let context = &driver.state.execution.stages[0].context;
    assert_eq!(context.get("judgmentStatus"), None);
    assert_eq!(context["judgmentInput"], json!("red"));
}

#[test]
fn a_worker_may_only_end_its_work_with_an_end() {
    for status in Status::ALL.into_iter().filter(|s| !s.is_complete()) {
        let mut driver = Driver::start(&two());
        let order = driver.orders[&order_of(&driver, "1")].clone();
        let mut result = kork_model::WorkResult::succeeded(object(json!({})));
        result.status = status;
        let report = Box::new(kork_model::WorkReport::done(&order, result));
        driver.give(&Command::Report { report });
        assert_eq!(
            shown(&driver),
            "TERMINAL: 1 TERMINAL, 2 NOT_STARTED",
            "{status}"
        );
    }
}

#[test]
fn a_cancelled_child_cancels_and_a_skipped_task_goes_on() {
    for (status, expect) in [
        (Status::Canceled, "CANCELED: 1 CANCELED, 2 NOT_STARTED"),
        (Status::Skipped, "RUNNING: 1 SUCCEEDED, 2 RUNNING"),
        (Status::Stopped, "SUCCEEDED: 1 STOPPED, 2 NOT_STARTED"),
        (
            Status::FailedContinue,
            "RUNNING: 1 FAILED_CONTINUE, 2 RUNNING",
        ),
    ] {
        let mut driver = Driver::start(&two());
        let order = driver
            .orders
            .remove(&order_of(&driver, "1"))
            .expect("it is out");
        let mut result = kork_model::WorkResult::succeeded(object(json!({})));
        result.status = status;
        let report = Box::new(kork_model::WorkReport::done(&order, result));
        driver.give(&Command::Report { report });
        assert_eq!(shown(&driver), expect);
    }
}

#[test]
fn progress_is_shown_and_does_not_end_the_work() {
    let mut driver = Driver::start(&two());
    let order = driver.orders[&order_of(&driver, "1")].clone();
    let report = kork_model::WorkReport::progress(&order, object(json!({"logTail": "42 %"})));
    driver
        .try_give(&Command::Report {
            report: Box::new(report),
        })
        .expect("it is heard");
    assert_eq!(driver.state.execution.stages[0].context["logTail"], "42 %");
    assert_eq!(shown(&driver), "RUNNING: 1 RUNNING, 2 NOT_STARTED");
}
