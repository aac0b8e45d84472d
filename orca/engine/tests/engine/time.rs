//! Moments: waits, time-outs, retries. Everything happens exactly when it is due.

use kork_model::{Kind, Problem, Status, WorkReport, WorkResult};
use orca_engine::Command;
use serde_json::{Value, json};

use super::{
    check::{Do, act, check, order_of, shown},
    driver::{Driver, pipeline, stage},
};

fn one(kind: &str, more: Value) -> Value {
    pipeline(&[stage("1", &[], kind, more)])
}

/// What is due one millisecond before and exactly at a moment.
fn due_exactly(given: &Value, after_ms: u64, then: &str) {
    let start = Driver::start(given).now;
    let driver = check(given, &[Do::Pass(after_ms - 1)], "RUNNING: 1 RUNNING");
    assert_eq!(
        driver.state.next_wake(),
        Some(start.plus_ms(after_ms)),
        "{given}"
    );
    check(given, &[Do::Pass(after_ms)], then);
}

#[test]
fn waits_end_on_time() {
    for (more, seconds) in [
        (json!({"waitTime": 30}), 30),
        (json!({"waitTime": "30"}), 30),
        (json!({"waitTime": 1.9}), 1),
        (json!({"waitTime": "${ 2 + 3 }"}), 5),
    ] {
        due_exactly(
            &one("wait", more),
            seconds * 1_000,
            "SUCCEEDED: 1 SUCCEEDED",
        );
    }
    for none in [
        json!({"waitTime": 0}),
        json!({"waitTime": -1}),
        json!({"waitTime": null}),
        json!({"waitTime": ""}),
        json!({}),
    ] {
        check(&one("wait", none), &[], "SUCCEEDED: 1 SUCCEEDED");
    }
    for wrong in [json!("banana"), json!("1.5"), json!([1]), json!(true)] {
        check(
            &one("wait", json!({ "waitTime": wrong })),
            &[],
            "TERMINAL: 1 TERMINAL",
        );
    }
    let until = json!({"epochMillis": 1_790_000_000_000_u64 + 77});
    due_exactly(&one("waitUntil", until), 77, "SUCCEEDED: 1 SUCCEEDED");
}

#[test]
fn a_time_out_comes_on_time_and_obeys_the_flags() {
    let timed = |more: Value| {
        let mut all = json!({"stageTimeoutMs": 1_500});
        for (key, value) in more.as_object().expect("an object") {
            all[key] = value.clone();
        }
        all
    };
    for (more, then) in [
        (json!({}), "TERMINAL: 1 TERMINAL"),
        (json!({"failPipeline": false}), "SUCCEEDED: 1 STOPPED"),
        (
            json!({"continuePipeline": true}),
            "SUCCEEDED: 1 FAILED_CONTINUE",
        ),
        (
            json!({"markSuccessfulOnTimeout": true}),
            "SUCCEEDED: 1 SUCCEEDED",
        ),
    ] {
        for kind in [
            "manualJudgment",
            "resizeServerGroup",
            "webhook",
            "custom.mine",
        ] {
            due_exactly(&one(kind, timed(more.clone())), 1_500, then);
        }
    }
    due_exactly(
        &one("wait", json!({"waitTime": 20, "stageTimeoutMs": 1_000})),
        1_000,
        "TERMINAL: 1 TERMINAL",
    );
    due_exactly(
        &one("wait", json!({"waitTime": 20, "stageTimeoutMs": "1000"})),
        1_000,
        "TERMINAL: 1 TERMINAL",
    );
    due_exactly(
        &one("wait", json!({"waitTime": 1, "stageTimeoutMs": 0})),
        1_000,
        "SUCCEEDED: 1 SUCCEEDED",
    );
}

#[test]
fn every_kind_of_work_has_a_time_out_of_its_own() {
    const HOUR: u64 = 3_600_000;
    for (kind, more, ms) in [
        ("manualJudgment", json!({}), 72 * HOUR),
        ("resizeServerGroup", json!({}), HOUR),
        ("runJob", json!({}), HOUR),
        ("webhook", json!({"url": "http://x/"}), 6 * 60_000),
        (
            "pipeline",
            json!({"application": "app", "pipeline": "c"}),
            12 * HOUR,
        ),
        ("custom.mine", json!({}), 24 * HOUR),
        ("savePipeline", json!({}), 60_000),
    ] {
        due_exactly(&one(kind, more), ms, "TERMINAL: 1 TERMINAL");
    }
}

#[test]
fn a_time_out_of_the_parent_counts_for_its_children() {
    let mut deploy = super::driver::cluster("prod", "none");
    deploy["stageTimeoutMs"] = json!(5_000);
    let given = one("deploy", deploy);
    check(
        &given,
        &[Do::Pass(4_999)],
        "RUNNING: 1<1 RUNNING, 1 RUNNING",
    );
    check(
        &given,
        &[Do::Pass(5_000)],
        "TERMINAL: 1<1 TERMINAL, 1 TERMINAL",
    );
}

#[test]
fn pauses_do_not_count() {
    let mut driver = Driver::start(&one("manualJudgment", json!({"stageTimeoutMs": 1_500})));
    let start = driver.now;
    act(&mut driver, &Do::Pass(1_000));
    for (pause, late) in [(10_000, 11_500), (5_000, 16_500)] {
        act(&mut driver, &Do::Pause);
        assert!(
            driver.state.next_wake().is_none(),
            "nothing is due while it is held"
        );
        act(&mut driver, &Do::Pass(pause));
        act(&mut driver, &Do::Resume);
        assert_eq!(driver.state.next_wake(), Some(start.plus_ms(late)));
    }
    act(&mut driver, &Do::Pass(499));
    assert_eq!(driver.status_of("1"), Status::Running);
    act(&mut driver, &Do::Pass(1));
    assert_eq!(driver.status_of("1"), Status::Terminal);
    driver.check_end();
}

#[test]
fn windows_do_not_count() {
    let more = json!({"stageTimeoutMs": 1_000, "restrictExecutionDuringTimeWindow": true,
        "restrictedExecutionWindow": {"whitelist": [{"startHour": 20, "startMin": 0, "endHour": 22, "endMin": 0}]}});
    let mut driver = Driver::start(&one("manualJudgment", more));
    assert!(driver.wait(), "the window opens");
    assert_eq!(shown(&driver), "RUNNING: 1<1 SUCCEEDED, 1 RUNNING");
    assert_eq!(driver.state.next_wake(), Some(driver.now.plus_ms(1_000)));
    act(&mut driver, &Do::Pass(1_000));
    assert_eq!(shown(&driver), "TERMINAL: 1<1 SUCCEEDED, 1 TERMINAL");
}

#[test]
fn the_earliest_of_all_moments_is_next() {
    let given = pipeline(&[
        stage("1", &[], "wait", json!({"waitTime": 9})),
        stage("2", &[], "wait", json!({"waitTime": 3})),
        stage(
            "3",
            &[],
            "manualJudgment",
            json!({"stageTimeoutMs": 6_000, "continuePipeline": true}),
        ),
    ]);
    let mut driver = Driver::start(&given);
    let mut moments = Vec::new();
    let start = driver.now;
    while driver.wait() {
        moments.push(driver.now.ms_since(start));
    }
    assert_eq!(moments, [3_000, 6_000, 9_000]);
    driver.check_end();
}

fn fail(driver: &mut Driver, kind: Kind, after_s: Option<u64>) {
    let key = order_of(driver, "1");
    let order = driver.orders.remove(&key).expect("it is out");
    let mut problem = Problem::new("T-0001", kind, "it does not work");
    problem.retry_after_s = after_s;
    let report = Box::new(WorkReport::done(&order, WorkResult::failed(problem)));
    driver.give(&Command::Report { report });
}

#[test]
fn passing_failures_are_tried_again_later_each_time() {
    for kind in [Kind::Unavailable, Kind::TooMany] {
        let mut driver = Driver::start(&one("resizeServerGroup", json!({})));
        let mut keys = vec![order_of(&driver, "1")];
        for pause in [500, 1_000, 2_000, 4_000] {
            fail(&mut driver, kind, None);
            assert!(driver.orders.is_empty(), "not at once");
            assert_eq!(driver.state.next_wake(), Some(driver.now.plus_ms(pause)));
            act(&mut driver, &Do::Pass(pause - 1));
            assert!(driver.orders.is_empty(), "not too early");
            act(&mut driver, &Do::Pass(1));
            keys.push(order_of(&driver, "1"));
        }
        fail(&mut driver, kind, None);
        assert_eq!(shown(&driver), "TERMINAL: 1 TERMINAL", "five tries are all");
        keys.dedup();
        assert_eq!(keys.len(), 5, "each try has a key of its own: {keys:?}");
        driver.check_end();
    }
}

#[test]
fn a_pause_that_is_asked_for_is_kept_within_bounds() {
    for (asked_s, pause_ms) in [(0, 500), (7, 7_000), (3_600, 30_000)] {
        let mut driver = Driver::start(&one("resizeServerGroup", json!({})));
        fail(&mut driver, Kind::Unavailable, Some(asked_s));
        assert_eq!(driver.state.next_wake(), Some(driver.now.plus_ms(pause_ms)));
    }
}

#[test]
fn other_failures_are_final() {
    for kind in [
        Kind::Invalid,
        Kind::NotFound,
        Kind::Conflict,
        Kind::Denied,
        Kind::Timeout,
        Kind::Bug,
    ] {
        let mut driver = Driver::start(&one("resizeServerGroup", json!({})));
        fail(&mut driver, kind, Some(1));
        assert_eq!(shown(&driver), "TERMINAL: 1 TERMINAL", "{kind:?}");
    }
    let mut webhook = Driver::start(&one("webhook", json!({"url": "http://x/"})));
    fail(&mut webhook, Kind::Unavailable, None);
    assert_eq!(
        shown(&webhook),
        "TERMINAL: 1 TERMINAL",
        "its worker retries by its own rules"
    );
}

#[test]
fn a_time_out_also_ends_what_is_tried_again() {
    let given = one("resizeServerGroup", json!({"stageTimeoutMs": 1_200}));
    let when = [Do::Later("1"), Do::Pass(500), Do::Later("1"), Do::Pass(700)];
    check(&given, &when, "TERMINAL: 1 TERMINAL");
}
