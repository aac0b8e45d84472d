//! Fail every node: each piece of work of the sample pipelines is failed, answered twice, and followed
//! by a crash.

use kork_model::Status;
use serde_json::{Value, json};

use super::driver::{Answer, Driver, cluster, pipeline, stage};

fn samples() -> Vec<Value> {
    let checked = json!({"url": "http://x/", "method": "GET"});
    let child = json!({"application": "app", "pipeline": "c"});
    vec![
        pipeline(&[
            stage("1", &[], "deploy", cluster("test", "highlander")),
            stage("2", &["1"], "wait", json!({"waitTime": 1})),
            stage("3", &["2"], "webhook", checked.clone()),
            stage("4", &["3"], "manualJudgment", json!({})),
            stage("5", &["4"], "deploy", cluster("prod", "redblack")),
        ]),
        pipeline(&[
            stage("1", &[], "webhook", checked.clone()),
            stage("2", &[], "webhook", checked.clone()),
            stage("3", &["1", "2"], "pipeline", child.clone()),
        ]),
        pipeline(&[
            stage(
                "1",
                &[],
                "webhook",
                json!({"url": "http://x/", "waitForCompletion": true,
                                              "waitBeforeMonitor": 1}),
            ),
            stage(
                "2",
                &["1"],
                "resizeServerGroup",
                json!({"serverGroupName": "app-v000"}),
            ),
        ]),
        pipeline(&[
            stage(
                "1",
                &[],
                "webhook",
                json!({"url": "http://x/", "continuePipeline": true}),
            ),
            stage("2", &["1"], "deploy", cluster("prod", "none")),
        ]),
        pipeline(&[
            stage(
                "1",
                &[],
                "webhook",
                json!({"url": "http://x/", "failPipeline": false,
                                              "completeOtherBranchesThenFail": true}),
            ),
            stage("2", &[], "pipeline", child),
            stage("3", &["2"], "webhook", checked),
        ]),
    ]
}

/// Runs a sample; at the n-th order something else happens than success.
fn run(sample: &Value, at: usize, mut special: impl FnMut(&mut Driver, &str)) -> Driver {
    let mut driver = Driver::start(sample);
    let mut answered = 0;
    for _ in 0..1_000 {
        if driver.state.execution.status.is_complete() {
            break;
        }
        if let Some(key) = driver.orders.keys().next().cloned() {
            if answered == at {
                special(&mut driver, &key);
            } else {
                driver.answer(&key, Answer::Succeed);
            }
            answered += 1;
        } else if let Some(stage) = driver.judgments().pop() {
            driver.judge(stage, "continue");
        } else {
            driver.wait();
        }
    }
    driver
}

#[test]
fn each_failure_ends_the_execution_as_the_flags_say() {
    for sample in samples() {
        let orders = run(&sample, usize::MAX, |_, _| {}).sent.len();
        assert!(orders > 0, "a sample without work proves nothing");
        for at in 0..orders {
            let mut failed = None;
            let mut driver = run(&sample, at, |driver, key| {
                failed = Some(driver.orders[key].stage.clone());
                driver.answer(key, Answer::Fail);
            });
            driver.check_end();
            let stage = failed.and_then(|id| driver.state.stage(&id).cloned());
            let stage = stage.expect("the failed stage is still there");
            assert!(
                stage.status.is_failure(),
                "{} is {}",
                stage.name,
                stage.status
            );
            let goes_on = stage.status == Status::FailedContinue;
            let succeeded = driver.state.execution.status == Status::Succeeded;
            assert_eq!(goes_on, succeeded, "{:#?}", driver.statuses());
        }
    }
}

#[test]
fn a_second_answer_and_a_crash_change_nothing() {
    for sample in samples() {
        let calm = run(&sample, usize::MAX, |_, _| {});
        for at in 0..calm.sent.len() {
            let mut twice = run(&sample, at, |driver, key| {
                let order = driver.orders[key].clone();
                driver.answer(key, Answer::Succeed);
                driver.orders.insert(key.to_owned(), order);
                driver.answer(key, Answer::Succeed);
            });
            let mut crashed = run(&sample, at, |driver, key| {
                driver.crash();
                driver.answer(key, Answer::Succeed);
                driver.crash();
            });
            for driver in [&mut twice, &mut crashed] {
                driver.check_end();
                assert_eq!(driver.statuses(), calm.statuses());
            }
        }
    }
}

#[test]
fn work_that_is_not_available_is_tried_again_and_then_fails() {
    let sample = pipeline(&[stage("1", &[], "resizeServerGroup", json!({}))]);
    let mut driver = Driver::start(&sample);
    let mut pauses = Vec::new();
    while !driver.state.execution.status.is_complete() {
        if let Some(key) = driver.orders.keys().next().cloned() {
            driver.answer(&key, Answer::Unavailable);
        } else {
            let before = driver.now;
            assert!(driver.wait(), "it waits for its next try");
            pauses.push(driver.now.ms_since(before));
        }
    }
    assert_eq!(pauses, [500, 1_000, 2_000, 4_000]);
    assert_eq!(driver.state.execution.status, Status::Terminal);
    driver.check_end();
}
