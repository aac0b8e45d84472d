//! Builds: what is told of them is looked up, orders start one each, and a withdrawn order leaves none.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jenkins_double::{Jenkins, Job, Options, Script};
use kork::{
    ports::{Condition, Delivery},
    rpc,
};
use kork_model::{
    InboundEvent, Status, WorkKey, WorkOrder, WorkReport,
    api::igor::{CompleteEvent, GetBuild, ListJobs},
    inbound::{EventKind, Verified},
    work,
};
use serde_json::{Value, json};

use crate::world::{World, eventually};

/// How often the double's clock is moved.
const TICK: Duration = Duration::from_millis(20);
const LEASE: Duration = Duration::from_secs(30);

struct Ci {
    world: World,
    jenkins: Arc<Jenkins>,
}

async fn ci(duration_ms: u64) -> Ci {
    ci_after(0, duration_ms).await
}

/// Its builds wait for `quiet_ms` in the queue.
async fn ci_after(quiet_ms: u64, duration_ms: u64) -> Ci {
    let jenkins = Arc::new(Jenkins::start(Options::default()).await.unwrap());
    let mut job = Job::pipeline().with_script(Script {
        duration_ms,
        result: "FAILURE".to_owned(),
        artifacts: [("out/a.properties".to_owned(), b"COLOUR=red\n".to_vec())].into(),
        ..Script::default()
    });
    job.quiet_ms = quiet_ms;
    jenkins.add_job("shop/feature%2Fx", job);
    let ticking = Arc::downgrade(&jenkins);
    tokio::spawn(async move {
        while let Some(jenkins) = ticking.upgrade() {
            jenkins.advance(TICK.as_millis() as u64);
            drop(jenkins);
            tokio::time::sleep(TICK).await;
        }
    });
    let accounts = json!({"controllers": [{"name": "ci", "address": jenkins.url(),
                                           "username": "igor", "password": "11aa22bb"}]});
    let world = World::new(&accounts).await;
    eventually("the jobs are known", async || {
        let jobs = ListJobs {
            master: "ci".to_owned(),
        };
        rpc::call(&*world.ports.rpc, &jobs).await.ok()
    })
    .await;
    Ci { world, jenkins }
}

fn order(key: &str, cancel: bool) -> WorkOrder {
    let payload =
        json!({"master": "ci", "job": "shop/feature%2Fx", "propertyFile": "a.properties"});
    WorkOrder {
        key: WorkKey(key.to_owned()),
        execution: "e".into(),
        stage: "s".into(),
        task: "1".to_owned(),
        application: "shop".to_owned(),
        user: "ana".to_owned(),
        service: "igor".to_owned(),
        kind: "runBuild".to_owned(),
        payload: payload.as_object().unwrap().clone(),
        deadline: None,
        cancel,
        traceparent: None,
    }
}

impl Ci {
    async fn enqueue(&self, order: &WorkOrder, id: &str) {
        let payload = Bytes::from(serde_json::to_vec(order).unwrap());
        let queue = &self.world.ports.queue;
        queue.enqueue("task.igor", id, payload, None).await.unwrap();
    }

    /// The report of the end.
    async fn done(&self) -> WorkReport {
        eventually("the build is reported", async || {
            let queue = &self.world.ports.queue;
            let wait = Duration::from_millis(100);
            let reports = queue.pull(work::REPORTS, 16, LEASE, wait).await.unwrap();
            let mut done = None;
            for Delivery { payload, lease, .. } in reports {
                queue.ack(&lease).await.unwrap();
                let report: WorkReport = serde_json::from_slice(&payload).unwrap();
                if report.result.is_some() {
                    done = Some(report);
                }
            }
            done
        })
        .await
    }
}

#[tokio::test]
async fn an_order_starts_one_build_and_ends_as_it_does() {
    let ci = ci(300).await;
    let order = order("e/s/1", false);
    ci.enqueue(&order, "a").await;
    let result = ci.done().await.result.unwrap();
    assert_eq!(result.status, Status::Terminal);
    assert_eq!(result.context["buildInfo"]["result"], "FAILURE");
    assert_eq!(
        result.outputs["COLOUR"], "red",
        "properties are handed on all the same"
    );
    assert!(result.error.unwrap().detail.contains("FAILURE"));
    assert_eq!(ci.jenkins.builds("shop/feature%2Fx").len(), 1);
    let shown = GetBuild {
        master: "ci".to_owned(),
        job: "shop/feature%2Fx".to_owned(),
        number: 1,
    };
    let shown = rpc::call(&*ci.world.ports.rpc, &shown).await.unwrap();
    assert_eq!(shown["result"], "FAILURE");
    let kept = ci.world.ports.objects.list("igor/builds/").await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test]
async fn a_withdrawn_order_leaves_no_build() {
    let ci = ci(3_600_000).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    eventually("the build runs", async || {
        let builds = ci.jenkins.builds("shop/feature%2Fx");
        (builds.len() == 1).then_some(())
    })
    .await;
    ci.enqueue(&order("e/s/1", true), "a/cancel").await;
    eventually("the build is stopped", async || {
        let builds = ci.jenkins.builds("shop/feature%2Fx");
        builds[0].end_ms.is_some().then_some(())
    })
    .await;
    assert_eq!(ci.jenkins.builds("shop/feature%2Fx").len(), 1);
}

#[tokio::test]
async fn another_igor_that_follows_the_same_build_does_not_end_it() {
    const QUIET_MS: u64 = 3_600_000;
    let ci = ci_after(QUIET_MS, 100).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    let objects = &ci.world.ports.objects;
    let (key, mut record) = eventually("the item in the queue is kept", async || {
        let kept = objects.list("igor/builds/").await.unwrap().pop()?;
        let object = objects.get(&kept.key).await.unwrap()?;
        let record: Value = serde_json::from_slice(&object.body).unwrap();
        record["progress"]["item"]
            .is_u64()
            .then_some((kept.key, record))
    })
    .await;
    // As one writes that took the order over while this one stood still.
    record["progress"]["described"] = json!(true);
    let body = Bytes::from(record.to_string());
    objects.put(&key, body, Condition::Always).await.unwrap();
    ci.jenkins.advance(QUIET_MS);
    let result = ci.done().await.result.unwrap();
    assert_eq!(result.context["buildInfo"]["result"], "FAILURE");
    let builds = ci.jenkins.builds("shop/feature%2Fx");
    assert_eq!(builds.len(), 1);
    assert!(!builds[0].aborted, "the build was stopped");
}

#[tokio::test]
async fn an_order_that_was_withdrawn_before_it_began_builds_nothing() {
    let ci = ci(100).await;
    ci.enqueue(&order("e/s/1", true), "a/cancel").await;
    eventually("the withdrawal is taken", async || {
        let depth = ci.world.ports.queue.depth("task.igor").await.unwrap();
        (depth == 0).then_some(())
    })
    .await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    eventually("the order is taken", async || {
        let depth = ci.world.ports.queue.depth("task.igor").await.unwrap();
        (depth == 0).then_some(())
    })
    .await;
    assert!(ci.jenkins.builds("shop/feature%2Fx").is_empty());
}

#[tokio::test]
async fn a_build_is_what_its_controller_says() {
    let ci = ci(100).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    ci.done().await;
    let told = |number: u64| {
        json!({"name": "x", "url": "job/shop/job/feature%252Fx/", "build": {
            "full_url": format!("{}job/shop/job/feature%252Fx/{number}/", ci.jenkins.url()),
            "number": number, "phase": "FINALIZED", "status": "SUCCESS"}})
        .to_string()
    };
    // Both say that it went well: the first build failed, and there is no second one.
    for number in [1, 2] {
        let taken = ci
            .world
            .send("jenkins/ci", &[], &told(number))
            .await
            .unwrap();
        assert_eq!(
            taken.event_id,
            format!("jenkins:ci:shop/feature%2Fx:{number}")
        );
    }
    let [failed, invented]: [InboundEvent; 2] = ci.world.stored().try_into().unwrap();
    assert!(failed.incomplete && invented.incomplete);
    assert_eq!(
        (failed.kind, failed.verified),
        (EventKind::Build, Verified::No)
    );
    let complete = async |event: InboundEvent| {
        let request = CompleteEvent {
            event,
            property_files: vec!["a.properties".to_owned(), "none.json".to_owned()],
        };
        rpc::call(&*ci.world.ports.rpc, &request).await.unwrap()
    };
    assert_eq!(complete(invented).await, None);
    let event = complete(failed.clone()).await.unwrap();
    assert_eq!(event.result.as_deref(), Some("FAILURE"));
    assert_eq!(event.verified, Verified::Fetched);
    assert_eq!(event.id, failed.id);
    let files = &event.trigger["propertyFiles"];
    assert_eq!(files["a.properties"]["COLOUR"], "red");
    assert_eq!(files["none.json"], json!({}));
}
