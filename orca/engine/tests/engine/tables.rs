//! Tables: what goes in, what must come out.

use kork_model::{Context, Status, Timestamp};
use orca_engine::{
    Command,
    admission::{AdmissionCommand, Admissions, Ticket, decide, evolve},
    build::Built,
    limits,
};
use serde_json::{Value, json};

use super::driver::{Answer, Driver, built, pipeline, stage};

fn failing(flags: &Value) -> Value {
    let check = json!({"type": "expression", "context": {"expression": "false"}});
    let mut more = json!({ "preconditions": [check] });
    for (key, value) in flags.as_object().expect("flags") {
        more[key] = value.clone();
    }
    stage("f", &[], "checkPreconditions", more)
}

#[test]
fn the_four_failure_modes() {
    use Status::{Canceled, FailedContinue, NotStarted, Stopped, Succeeded, Terminal};
    let table = [
        (json!({}), Terminal, NotStarted, Canceled, Terminal),
        (
            json!({"failPipeline": true}),
            Terminal,
            NotStarted,
            Canceled,
            Terminal,
        ),
        (
            json!({"failPipeline": false}),
            Stopped,
            NotStarted,
            Succeeded,
            Succeeded,
        ),
        (
            json!({"failPipeline": false, "completeOtherBranchesThenFail": true}),
            Stopped,
            NotStarted,
            Succeeded,
            Terminal,
        ),
        (
            json!({"continuePipeline": true}),
            FailedContinue,
            Succeeded,
            Succeeded,
            Succeeded,
        ),
        (
            json!({"failPipeline": "false"}),
            Stopped,
            NotStarted,
            Succeeded,
            Succeeded,
        ),
    ];
    for (flags, failed, behind, beside, all) in table {
        let mut driver = Driver::start(&pipeline(&[
            stage("b", &[], "wait", json!({"waitTime": 5})),
            failing(&flags),
            stage("n", &["f"], "wait", json!({"waitTime": 0})),
        ]));
        driver.finish();
        let seen = ["f", "n", "b"].map(|r| driver.status_of(r));
        assert_eq!(seen, [failed, behind, beside], "{flags}");
        assert_eq!(driver.state.execution.status, all, "{flags}");
        driver.check_end();
    }
}

#[test]
fn time_outs_fire_on_time_and_pauses_do_not_count() {
    let mut driver = Driver::start(&pipeline(&[stage(
        "1",
        &[],
        "manualJudgment",
        json!({"stageTimeoutMs": 1_500}),
    )]));
    let start = driver.now;
    driver.now = start.plus_ms(1_000);
    driver.give(&Command::Pause {
        by: "ana".to_owned(),
    });
    assert!(
        driver.state.next_wake().is_none(),
        "nothing is due while it is held"
    );
    driver.now = start.plus_ms(11_000);
    driver.give(&Command::Resume {
        by: "ana".to_owned(),
    });
    assert_eq!(driver.state.next_wake(), Some(start.plus_ms(11_500)));
    driver.now = start.plus_ms(11_499);
    driver.give(&Command::Tick);
    assert_eq!(driver.status_of("1"), Status::Running);
    driver.now = start.plus_ms(11_500);
    driver.give(&Command::Tick);
    assert_eq!(driver.status_of("1"), Status::Terminal);
    driver.check_end();
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
    let stage = driver.state.execution.stages[0].id.clone();
    let (by, body) = ("ana".to_owned(), Context::new());
    driver.give(&Command::Restart {
        stage,
        by,
        body,
        archived: None,
    });
    let log = driver.log.len();
    driver.orders.insert(key.clone(), late);
    driver.answer(&key, Answer::Succeed);
    assert_eq!(driver.log.len(), log, "the late answer changed something");
    driver.finish();
    driver.check_end();
}

#[test]
fn what_cannot_be_read_names_its_fields() {
    let wait = |more: Value| stage("1", &[], "wait", more);
    let many: Vec<Value> = (0..=limits::STAGES_MAX)
        .map(|n| stage(&n.to_string(), &[], "wait", json!({})))
        .collect();
    let large = "x".repeat(limits::CONTEXT_BYTES_MAX);
    let long = "x".repeat(limits::NAME_CHARS_MAX + 1);
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
    let table = [
        (
            pipeline(&[json!({"refId": 1, "type": "wait"})]),
            "/stages/0/refId",
        ),
        (
            pipeline(&[json!({"refId": "1", "type": null})]),
            "/stages/0/type",
        ),
        (pipeline(&[json!({"refId": "1"})]), "/stages/0/type"),
        (pipeline(&[json!(7)]), "/stages/0"),
        (
            pipeline(&[wait(json!({"requisiteStageRefIds": "1"}))]),
            "/stages/0/requisiteStageRefIds",
        ),
        (pipeline(&[wait(json!({ "x": large }))]), "/stages/0"),
        (pipeline(&[wait(json!({ "name": long }))]), "/stages/0/name"),
        (pipeline(&many), "/stages"),
        (pipeline(&heavy), ""),
        (json!({"stages": [], "trigger": 1}), "/trigger"),
        (
            json!({"stages": [], "trigger": {"parameters": []}}),
            "/trigger/parameters",
        ),
        (json!({"stages": "x"}), "/stages"),
    ];
    for (definition, pointer) in table {
        let invalid = built(&definition).expect_err(pointer);
        assert_eq!(invalid.errors[0].pointer, pointer, "{invalid}");
    }
    let refused = built(&json!({"stages": [], "disabled": true})).expect("it is recorded");
    assert!(matches!(refused, Built::Refused { .. }), "{refused:?}");
}

#[test]
fn graphs_that_cannot_run_end_with_the_reason() {
    let wait = |r: &str, after: &[&str]| stage(r, after, "wait", json!({}));
    for (stages, started) in [
        (vec![wait("1", &["2"]), wait("2", &["1"])], false),
        (vec![wait("1", &["9"])], false),
        (vec![], false),
        (
            vec![wait("1", &[]), wait("2", &["3"]), wait("3", &["2"])],
            true,
        ),
    ] {
        let mut driver = Driver::start(&pipeline(&stages));
        let execution = &driver.state.execution;
        assert_eq!(execution.status, Status::Terminal);
        assert_eq!(execution.start_time.is_some(), started);
        assert_eq!(execution.system_notifications.len(), 1);
        driver.check_end();
    }
}

#[test]
fn a_change_that_is_too_large_is_refused() {
    let mut driver = Driver::start(&pipeline(&[stage("1", &[], "manualJudgment", json!({}))]));
    let stage = driver.state.execution.stages[0].id.clone();
    let large = "x".repeat(limits::CONTEXT_BYTES_MAX + 1);
    let context = [("note".to_owned(), json!(large))].into_iter().collect();
    let command = Command::Patch {
        stage,
        context,
        by: "ana".to_owned(),
    };
    driver.try_give(&command).expect_err("too large");
    driver.finish();
}

fn admit(state: &mut Admissions, command: &AdmissionCommand) {
    for event in decide(state, command).expect("there is room") {
        *state = evolve(std::mem::take(state), &event);
    }
    assert!(
        decide(state, command).expect("room").is_empty(),
        "{command:?} twice"
    );
}

fn request(n: u32, limit: u32, keep_waiting: bool) -> AdmissionCommand {
    AdmissionCommand::Request {
        ticket: Ticket::new("e", n),
        limit,
        keep_waiting,
    }
}

#[test]
fn admission_is_exact_and_first_come_first_served() {
    for limit in 1..4 {
        let mut state = Admissions::default();
        (0..20).for_each(|n| admit(&mut state, &request(n, limit, true)));
        let mut order = Vec::new();
        while let Some(ticket) = state.running.first().cloned() {
            assert!(state.running.len() <= limit as usize, "{state:?}");
            order.push(ticket.clone());
            admit(&mut state, &AdmissionCommand::Release { ticket });
        }
        assert_eq!(
            order,
            (0..20).map(|n| Ticket::new("e", n)).collect::<Vec<_>>()
        );
        assert!(state.waiting.is_empty());
    }
}

#[test]
fn the_newest_supersedes_those_that_wait() {
    let mut state = Admissions::default();
    (0..4).for_each(|n| admit(&mut state, &request(n, 1, false)));
    admit(
        &mut state,
        &AdmissionCommand::Release {
            ticket: Ticket::new("e", 0),
        },
    );
    assert_eq!(state.running, [Ticket::new("e", 3)]);
    assert!(state.waiting.is_empty() && state.gone.contains(&Ticket::new("e", 1)));
}

#[test]
fn waiting_executions_have_a_limit() {
    let mut state = Admissions::default();
    let most = limits::WAITING_EXECUTIONS_MAX as u32;
    (0..=most).for_each(|n| admit(&mut state, &request(n, 1, true)));
    decide(&state, &request(most + 1, 1, true)).expect_err("one too many");
}

#[test]
fn ids_follow_from_the_execution() {
    let one = Driver::start(&pipeline(&[stage("1", &[], "wait", json!({}))]));
    let two = Driver::start(&pipeline(&[stage("1", &[], "wait", json!({}))]));
    assert_eq!(one.state, two.state);
    assert_eq!(one.state.execution.stages[0].id.as_str().len(), 26);
    assert!(one.now > Timestamp(0));
}
