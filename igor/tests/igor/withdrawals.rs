//! A withdrawn order leaves no build, whatever was known of it, and takes none away from others.

use bytes::Bytes;
use jenkins_double::{Fault, Job, Parameter, Rule};
use kork::ports::Condition;
use serde_json::{Value, json};

use crate::{
    builds::{JOB, ci_with, job, order},
    world::eventually,
};

/// Longer than any test.
const LONG_MS: u64 = 3_600_000;

#[tokio::test]
async fn a_withdrawn_order_leaves_no_build() {
    let ci = ci_with(job(0, LONG_MS)).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    eventually("the build runs", async || {
        let builds = ci.jenkins.builds(JOB);
        (builds.len() == 1).then_some(())
    })
    .await;
    ci.enqueue(&order("e/s/1", true), "a/cancel").await;
    eventually("the build is stopped", async || {
        let builds = ci.jenkins.builds(JOB);
        builds[0].end_ms.is_some().then_some(())
    })
    .await;
    assert_eq!(ci.jenkins.builds(JOB).len(), 1);
}

#[tokio::test]
async fn an_order_that_was_withdrawn_before_it_began_builds_nothing() {
    let ci = ci_with(job(0, 100)).await;
    ci.enqueue(&order("e/s/1", true), "a/cancel").await;
    ci.all_taken().await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    ci.all_taken().await;
    assert!(ci.jenkins.builds(JOB).is_empty());
}

/// Two orders wait for one build, for the controller folded the requests for it into one.
#[tokio::test]
async fn a_build_that_two_wait_for_goes_on_for_the_other() {
    for (withdrawn, other) in [("e/a/1", "e/b/1"), ("e/b/1", "e/a/1")] {
        let ci = ci_with(job(LONG_MS, 100)).await;
        let is_queued = |record: &Value| record["progress"]["item"].is_u64();
        for key in ["e/a/1", "e/b/1"] {
            ci.enqueue(&order(key, false), key).await;
            ci.kept(key, is_queued).await;
        }
        eventually("it is told that it is shared", async || {
            let marks = ci.world.ports.objects.list("igor/shared/").await.unwrap();
            (!marks.is_empty()).then_some(())
        })
        .await;
        ci.enqueue(&order(withdrawn, true), "cancel").await;
        eventually("the withdrawal is taken", async || {
            // The order of the other one stays.
            let depth = ci.world.ports.queue.depth("task.igor").await.unwrap();
            (depth <= 2).then_some(())
        })
        .await;
        ci.jenkins.advance(LONG_MS);
        let report = ci.done().await;
        assert_eq!(report.key.0, other);
        let builds = ci.jenkins.builds(JOB);
        assert_eq!((builds.len(), builds[0].aborted), (1, false));
    }
}

fn unique() -> Job {
    job(LONG_MS, LONG_MS).with_parameters(&[Parameter::text("SPINNAKER_EXECUTION_ID", "")])
}

/// The request went out, and the igor that sent it was killed before the answer came.
#[tokio::test]
async fn what_an_igor_that_is_gone_has_asked_for_is_found_and_stopped() {
    for comes_again in [false, true] {
        let ci = ci_with(unique()).await;
        let record = json!({"withdrawn": comes_again, "progress": {"prepared": {
            "firstNumber": 1, "isUnique": true, "hasParameters": true, "atMs": 1,
            "parameters": {"SPINNAKER_EXECUTION_ID": "e/s/1"}}, "sinceMs": 1}});
        let body = Bytes::from(record.to_string());
        let objects = &ci.world.ports.objects;
        let key = "igor/builds/e_s_1.json";
        objects.put(key, body, Condition::Always).await.unwrap();
        let path: Vec<String> = JOB.split('/').map(str::to_owned).collect();
        let given = [("SPINNAKER_EXECUTION_ID".to_owned(), "e/s/1".to_owned())].into();
        let asked = ci.jenkins.with(|s| s.trigger(&path, Some(&given), None));
        asked.unwrap();
        ci.enqueue(&order("e/s/1", !comes_again), "x").await;
        ci.all_taken().await;
        assert!(
            ci.jenkins
                .with(|s| s.items.values().all(|i| !i.is_queued()))
        );
        assert!(ci.jenkins.builds(JOB).is_empty());
    }
}

#[tokio::test]
async fn a_withdrawal_is_not_lost_when_the_controller_refuses_at_first() {
    let ci = ci_with(job(0, LONG_MS)).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    let runs = |record: &Value| record["progress"]["number"].is_u64();
    ci.kept("e/s/1", runs).await;
    ci.jenkins.set_faults(vec![Rule {
        matching: "/stop".to_owned(),
        times: 3,
        fault: Fault::Status { status: 403 },
    }]);
    ci.enqueue(&order("e/s/1", true), "a/cancel").await;
    eventually("the build is stopped", async || {
        ci.jenkins.builds(JOB)[0].aborted.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_build_that_is_called_back_while_the_controller_is_away_is_not_started() {
    let ci = ci_with(job(0, 100)).await;
    ci.jenkins.set_faults(vec![Rule {
        matching: "/build".to_owned(),
        times: 1,
        fault: Fault::Status { status: 503 },
    }]);
    ci.enqueue(&order("e/s/1", false), "a").await;
    let told = ci
        .world
        .report(|report| report.progress.as_ref()?.get("ciError").cloned());
    told.await;
    ci.enqueue(&order("e/s/1", true), "a/cancel").await;
    ci.all_taken().await;
    assert!(ci.jenkins.builds(JOB).is_empty());
}

#[tokio::test]
async fn a_build_that_nobody_waits_for_is_stopped_when_it_was_called_back_at_its_start() {
    let ci = ci_with(job(0, LONG_MS)).await;
    // It takes effect at once, and is answered later.
    ci.jenkins.set_faults(vec![Rule {
        matching: "/build".to_owned(),
        times: 1,
        fault: Fault::Slow { ms: 2_000 },
    }]);
    let mut start = order("e/s/1", false);
    start
        .payload
        .insert("waitForCompletion".to_owned(), json!(false));
    ci.enqueue(&start, "a").await;
    eventually("the build runs", async || {
        (ci.jenkins.builds(JOB).len() == 1).then_some(())
    })
    .await;
    ci.enqueue(&order("e/s/1", true), "a/cancel").await;
    ci.all_taken().await;
    assert!(ci.jenkins.builds(JOB)[0].aborted);
}
