//! Running a stage and what follows it again.

use kork_model::{Context, Status};
use orca_engine::{Command, Effect, effects, open_effects};
use serde_json::{Value, json};

use super::{
    check::{Do, act, by, check, id_of, order_of, shown},
    driver::{Answer, Driver, cluster, pipeline, stage},
};

fn op(reference: &str, after: &[&str]) -> Value {
    stage(reference, after, "resizeServerGroup", json!({}))
}

/// `1` -> `2` -> `3`, and `b` beside them.
fn branched() -> Value {
    pipeline(&[op("1", &[]), op("2", &["1"]), op("3", &["2"]), op("b", &[])])
}

#[test]
fn the_stage_and_what_follows_run_again_and_the_others_keep_what_they_have() {
    use Do::{Finish, Restart};
    let again = [Finish, Restart("2")];
    let driver = check(
        &branched(),
        &again,
        "RUNNING: 1 SUCCEEDED, 2 RUNNING, 3 NOT_STARTED, b SUCCEEDED",
    );
    assert_eq!(driver.state.generation, 1);
    let stage = &driver.state.execution.stages[1];
    assert_eq!(stage.context["restartDetails"]["restartedBy"], "ana");
    assert!(
        order_of(&driver, "2").contains("/1/1"),
        "the key names the run: {:?}",
        driver.sent
    );
    check(
        &branched(),
        &[Finish, Restart("2"), Finish],
        "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED, 3 SUCCEEDED, b SUCCEEDED",
    );
}

#[test]
fn a_failed_stage_runs_again_though_a_branch_beside_it_was_cancelled() {
    use Do::{Bad, Good, Restart};
    let failed = [Good("1"), Bad("2")];
    check(
        &branched(),
        &failed,
        "TERMINAL: 1 SUCCEEDED, 2 TERMINAL, 3 NOT_STARTED, b CANCELED",
    );
    let again = [Good("1"), Bad("2"), Restart("2")];
    check(
        &branched(),
        &again,
        "RUNNING: 1 SUCCEEDED, 2 RUNNING, 3 NOT_STARTED, b CANCELED",
    );
    let to_its_end = [Good("1"), Bad("2"), Restart("2"), Good("2"), Good("3")];
    check(
        &branched(),
        &to_its_end,
        "CANCELED: 1 SUCCEEDED, 2 SUCCEEDED, 3 SUCCEEDED, b CANCELED",
    );
    let both = [
        Good("1"),
        Bad("2"),
        Restart("2"),
        Restart("b"),
        Good("2"),
        Good("b"),
        Good("3"),
    ];
    check(
        &branched(),
        &both,
        "SUCCEEDED: 1 SUCCEEDED, 2 SUCCEEDED, 3 SUCCEEDED, b SUCCEEDED",
    );
    let fails_again = [Good("1"), Bad("2"), Restart("2"), Bad("2")];
    check(
        &branched(),
        &fails_again,
        "TERMINAL: 1 SUCCEEDED, 2 TERMINAL, 3 NOT_STARTED, b CANCELED",
    );
}

#[test]
fn a_stage_behind_a_failed_one_cannot_run() {
    let when = [Do::Bad("1"), Do::Restart("3")];
    check(
        &branched(),
        &when,
        "TERMINAL: 1 TERMINAL, 2 NOT_STARTED, 3 NOT_STARTED, b CANCELED",
    );
}

#[test]
fn a_cancelled_execution_goes_on_and_keeps_the_reason() {
    let mut driver = Driver::start(&branched());
    driver.give(&Command::Cancel {
        by: by(),
        reason: Some("lunch".to_owned()),
    });
    act(&mut driver, &Do::Restart("1"));
    let execution = &driver.state.execution;
    assert!(!execution.canceled && execution.canceled_by.is_none() && execution.end_time.is_none());
    assert_eq!(execution.cancellation_reason.as_deref(), Some("lunch"));
    act(&mut driver, &Do::Restart("b"));
    driver.finish();
    assert_eq!(driver.state.execution.status, Status::Succeeded);
    driver.check_end();
}

#[test]
fn a_running_stage_is_left_alone_and_a_running_follower_is_in_the_way() {
    let mut driver = Driver::start(&branched());
    let log = driver.log.len();
    act(&mut driver, &Do::Restart("1"));
    assert_eq!(driver.log.len(), log, "it runs already");
    act(&mut driver, &Do::Good("1"));
    let (stage, body) = (id_of(&driver, "1"), Context::new());
    let refused = driver.try_give(&Command::Restart {
        stage,
        by: by(),
        body,
        archived: None,
    });
    assert_eq!(refused.expect_err("2 runs").problem().code, "ORCA-0004");
}

#[test]
fn a_synthetic_stage_stands_for_the_stage_that_made_it() {
    let given = pipeline(&[stage("1", &[], "deploy", cluster("prod", "redblack"))]);
    let when = [Do::Good("1<1"), Do::Good("1<1>1"), Do::Restart("1<1>1")];
    let driver = check(&given, &when, "RUNNING: 1<1 RUNNING, 1 RUNNING");
    let fresh = driver
        .state
        .stage(&id_of(&driver, "1<1"))
        .expect("it was made anew");
    assert!(fresh.outputs.is_empty(), "{:?}", fresh.outputs);
}

#[test]
fn what_an_earlier_run_left_is_cleared() {
    let asked = pipeline(&[stage("1", &[], "manualJudgment", json!({}))]);
    let when = [Do::Say("1", "stop"), Do::Restart("1")];
    let driver = check(&asked, &when, "RUNNING: 1 RUNNING");
    let context = &driver.state.execution.stages[0].context;
    assert!(
        !context.contains_key("judgmentStatus") && !context.contains_key("lastModifiedBy"),
        "{context:?}"
    );
    let waits = pipeline(&[stage("1", &[], "wait", json!({"waitTime": 9}))]);
    let skip = Do::Patch("1", json!({"skipRemainingWait": true}));
    check(&waits, &[skip, Do::Restart("1")], "RUNNING: 1 RUNNING");
}

#[test]
fn a_restart_may_bring_new_preconditions() {
    let with =
        |e: &str| json!({"preconditions": [{"type": "expression", "context": {"expression": e}}]});
    let given = pipeline(&[stage("1", &[], "checkPreconditions", with("false"))]);
    let mut driver = check(&given, &[], "TERMINAL: 1<1 TERMINAL, 1 TERMINAL");
    let body = super::driver::object(with("true"));
    let stage = id_of(&driver, "1");
    driver.give(&Command::Restart {
        stage,
        by: by(),
        body,
        archived: None,
    });
    assert_eq!(shown(&driver), "SUCCEEDED: 1<1 SUCCEEDED, 1 SUCCEEDED");
}

#[test]
fn a_late_answer_of_an_earlier_run_is_ignored() {
    let mut driver = Driver::start(&pipeline(&[stage(
        "1",
        &[],
        "webhook",
        json!({"url": "http://x/"}),
    )]));
    let key = driver.sent[0].clone();
    let late = driver.orders[&key].clone();
    driver.answer(&key, Answer::Fail);
    act(&mut driver, &Do::Restart("1"));
    let log = driver.log.len();
    driver.orders.insert(key.clone(), late);
    driver.answer(&key, Answer::Succeed);
    assert_eq!(driver.log.len(), log, "the late answer changed something");
    driver.finish();
    driver.check_end();
}

/// `b` ended, `1` is still out.
fn beside() -> Value {
    pipeline(&[op("1", &[]), op("b", &[])])
}

#[test]
fn a_restart_of_a_held_execution_lets_it_go() {
    let when = [Do::Good("b"), Do::Pause, Do::Restart("b")];
    check(&beside(), &when, "RUNNING: 1 RUNNING, b RUNNING");
    let when = [Do::Good("b"), Do::Pause, Do::Restart("b"), Do::Finish];
    check(&beside(), &when, "SUCCEEDED: 1 SUCCEEDED, b SUCCEEDED");
}

fn ticket_of(effects: &[Effect]) -> Option<String> {
    effects.iter().find_map(|effect| match effect {
        Effect::RequestAdmission { ticket, .. } | Effect::ReleaseAdmission { ticket, .. } => {
            Some(ticket.0.clone())
        }
        _ => None,
    })
}

/// Its place is the one that it has: a restart beside a running branch neither asks for another one
/// nor forgets to give back the first.
#[test]
fn a_restart_while_it_runs_keeps_its_place() {
    let mut given = beside();
    given["limitConcurrent"] = json!(true);
    let mut driver = Driver::start(&given);
    let asked = ticket_of(&open_effects(&driver.state)).expect("it asks for a place");
    driver.give(&Command::Admit { generation: 0 });
    act(&mut driver, &Do::Good("b"));
    act(&mut driver, &Do::Restart("b"));
    assert_eq!(shown(&driver), "RUNNING: 1 RUNNING, b RUNNING");
    assert_eq!(
        ticket_of(&open_effects(&driver.state)),
        None,
        "it has its place"
    );
    driver.finish();
    let finished = orca_engine::Event::Finished {
        at: driver.now,
        status: Status::Succeeded,
        explanation: None,
    };
    assert_eq!(
        ticket_of(&effects(&driver.state, &finished)),
        Some(asked.clone())
    );
    // After its end it waits for a place again, and only the new one counts.
    act(&mut driver, &Do::Restart("b"));
    assert_eq!(driver.state.execution.status, Status::NotStarted);
    let again = ticket_of(&open_effects(&driver.state)).expect("it asks for a place");
    assert_ne!(again, asked);
    driver.give(&Command::Admit { generation: 0 });
    assert_eq!(
        driver.state.execution.status,
        Status::NotStarted,
        "a late answer to the first request"
    );
    let generation = orca_engine::admission::Ticket(again).generation();
    driver.give(&Command::Admit { generation });
    assert_eq!(shown(&driver), "RUNNING: 1 SUCCEEDED, b RUNNING");
    driver.finish();
    driver.check_end();
}
