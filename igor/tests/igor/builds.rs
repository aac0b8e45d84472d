//! Builds: what is told of them is looked up, and orders start one each.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use jenkins_double::{Fault, Jenkins, Job, Options, Rule, Script};
use kork::{ports::Condition, rpc, service::Look};
use kork_model::{
    InboundEvent, Kind, Problem, Status, Timestamp, WorkKey, WorkOrder, WorkReport,
    api::igor::{CompleteEvent, GetBuild, ListJobs, ListSources},
    inbound::{EventKind, Verified},
};
use serde_json::{Value, json};

use crate::world::{World, eventually};

/// How often the double's clock is moved.
const TICK: Duration = Duration::from_millis(20);

pub(crate) struct Ci {
    pub(crate) world: World,
    pub(crate) jenkins: Arc<Jenkins>,
}

/// The job of all builds.
pub(crate) const JOB: &str = "shop/feature%2Fx";

/// Its builds take so long, wait for `quiet_ms` in the queue before, and fail.
pub(crate) fn job(quiet_ms: u64, duration_ms: u64) -> Job {
    let mut job = Job::pipeline().with_script(Script {
        duration_ms,
        result: "FAILURE".to_owned(),
        artifacts: [("out/a.properties".to_owned(), b"COLOUR=red\n".to_vec())].into(),
        ..Script::default()
    });
    job.quiet_ms = quiet_ms;
    job
}

async fn ci(duration_ms: u64) -> Ci {
    ci_with(job(0, duration_ms)).await
}

pub(crate) async fn ci_with(job: Job) -> Ci {
    let jenkins = Arc::new(Jenkins::start(Options::default()).await.unwrap());
    jenkins.add_job(JOB, job);
    let ticking = Arc::downgrade(&jenkins);
    tokio::spawn(async move {
        while let Some(jenkins) = ticking.upgrade() {
            jenkins.advance(TICK.as_millis() as u64);
            drop(jenkins);
            tokio::time::sleep(TICK).await;
        }
    });
    let world = World::new(&accounts(&jenkins, "11aa22bb")).await;
    eventually("the jobs are known", async || {
        let jobs = ListJobs {
            master: "ci".to_owned(),
        };
        rpc::call(&*world.ports.rpc, &jobs).await.ok()
    })
    .await;
    Ci { world, jenkins }
}

fn accounts(jenkins: &Jenkins, password: &str) -> Value {
    json!({"controllers": [{"name": "ci", "address": jenkins.url(), "username": "igor", "password": password}]})
}

pub(crate) fn order(key: &str, cancel: bool) -> WorkOrder {
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
    fn accounts(&self) -> Value {
        accounts(&self.jenkins, "11aa22bb")
    }

    async fn complete(&self, event: InboundEvent) -> Result<Option<InboundEvent>, Problem> {
        let request = CompleteEvent {
            event,
            property_files: vec!["a.properties".to_owned(), "none.json".to_owned()],
        };
        rpc::call(&*self.world.ports.rpc, &request).await
    }

    async fn completed(&self, event: InboundEvent) -> Option<InboundEvent> {
        self.complete(event).await.unwrap()
    }

    pub(crate) async fn enqueue(&self, order: &WorkOrder, id: &str) {
        let payload = Bytes::from(serde_json::to_vec(order).unwrap());
        let queue = &self.world.ports.queue;
        queue.enqueue("task.igor", id, payload, None).await.unwrap();
    }

    /// The report of the end.
    pub(crate) async fn done(&self) -> WorkReport {
        self.world
            .report(|report| report.result.is_some().then(|| report.clone()))
            .await
    }

    /// Every order was taken and acknowledged.
    pub(crate) async fn all_taken(&self) {
        eventually("the orders are taken", async || {
            let depth = self.world.ports.queue.depth("task.igor").await.unwrap();
            (depth == 0).then_some(())
        })
        .await;
    }

    /// What is kept of an order, when it is as it should be.
    pub(crate) async fn kept(&self, key: &str, is_so: impl Fn(&Value) -> bool) -> (String, Value) {
        let object = format!("igor/builds/{}.json", key.replace('/', "_"));
        eventually("it is kept", async || {
            let body = self.world.ports.objects.get(&object).await.unwrap()?.body;
            let record: Value = serde_json::from_slice(&body).unwrap();
            is_so(&record).then_some((object.clone(), record))
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
    assert_eq!(ci.jenkins.builds(JOB).len(), 1);
    let shown = GetBuild {
        master: "ci".to_owned(),
        job: "shop/feature%2Fx".to_owned(),
        number: 1,
    };
    let shown = rpc::call(&*ci.world.ports.rpc, &shown).await.unwrap();
    assert_eq!(shown["result"], "FAILURE");
}

#[tokio::test]
async fn an_order_that_comes_again_gets_the_first_result() {
    let ci = ci(300).await;
    let order = order("e/s/1", false);
    ci.enqueue(&order, "a").await;
    let first = ci.done().await;
    // Its message is gone by now, and whoever waits for the report has lost it; so is the build.
    ci.all_taken().await;
    ci.jenkins.with(|state| state.builds.clear());
    ci.enqueue(&order, "a").await;
    assert_eq!(ci.done().await, first);
    assert!(ci.jenkins.builds(JOB).is_empty());
}

#[tokio::test]
async fn nothing_is_built_while_it_cannot_be_kept() {
    let ci = ci(100).await;
    let is_away = &ci.world.faults.records_are_away;
    is_away.store(true, Ordering::SeqCst);
    ci.enqueue(&order("e/s/1", false), "a").await;
    let told = ci
        .world
        .report(|report| report.progress.as_ref()?.get("ciError").cloned());
    assert!(told.await.as_str().unwrap().contains("on purpose"));
    assert!(ci.jenkins.builds(JOB).is_empty());
    is_away.store(false, Ordering::SeqCst);
    ci.done().await;
    assert_eq!(ci.jenkins.builds(JOB).len(), 1);
}

#[tokio::test]
async fn a_result_that_no_message_holds_ends_the_order_with_the_reason() {
    let ci = ci(100).await;
    let max = &ci.world.faults.message_bytes_max;
    max.store(1_200, Ordering::SeqCst);
    ci.enqueue(&order("e/s/1", false), "a").await;
    let error = ci.done().await.result.unwrap().error.unwrap();
    assert!(error.detail.contains("too large"), "{error:?}");
    ci.all_taken().await;
}

#[tokio::test]
async fn a_password_that_changes_in_the_accounts_is_used_by_who_follows() {
    const LONG_MS: u64 = 3_600_000;
    let ci = ci_with(job(0, LONG_MS)).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    ci.kept("e/s/1", |record| record["progress"]["number"].is_u64())
        .await;
    ci.jenkins.set_secrets("igor", "secret", "another-token");
    ci.world.write(
        "accounts.yaml",
        &accounts(&ci.jenkins, "another-token").to_string(),
    );
    ci.jenkins.advance(LONG_MS);
    let result = ci.done().await.result.unwrap();
    assert_eq!(result.context["buildInfo"]["result"], "FAILURE");
}

#[tokio::test]
async fn a_controller_that_does_not_answer_is_named_and_igor_stays_ready() {
    let ci = ci(100).await;
    let health = &ci.world.chassis.health;
    let state = |wanted: Look| {
        eventually("health shows it", async move || {
            let seen = health.servers().remove("controller ci")?;
            (seen.state == wanted).then_some(seen.detail)
        })
    };
    state(Look::Ok).await;
    let always = Rule {
        matching: String::new(),
        times: u32::MAX,
        fault: Fault::Status { status: 503 },
    };
    ci.jenkins.set_faults(vec![always]);
    ci.enqueue(&order("e/s/1", false), "a").await;
    let list = ListJobs {
        master: "ci".to_owned(),
    };
    // Enough of them open its circuit.
    for _ in 0..6 {
        assert!(rpc::call(&*ci.world.ports.rpc, &list).await.is_err());
    }
    assert!(state(Look::Missing).await.contains("did not answer"));
    assert!(health.is_ready());
    let sources = ListSources::default();
    let sources = rpc::call(&*ci.world.ports.rpc, &sources).await.unwrap();
    let sources = json!(sources).to_string();
    assert!(sources.contains("did not answer"), "{sources}");
}

#[tokio::test]
async fn another_igor_that_follows_the_same_build_does_not_end_it() {
    const QUIET_MS: u64 = 3_600_000;
    let ci = ci_with(job(QUIET_MS, 100)).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    let is_queued = |record: &Value| record["progress"]["item"].is_u64();
    let (key, mut record) = ci.kept("e/s/1", is_queued).await;
    // As one writes that took the order over while this one stood still.
    record["progress"]["sinceMs"] = json!(record["progress"]["sinceMs"].as_u64().unwrap() + 1);
    let body = Bytes::from(record.to_string());
    let objects = &ci.world.ports.objects;
    objects.put(&key, body, Condition::Always).await.unwrap();
    ci.jenkins.advance(QUIET_MS);
    let result = ci.done().await.result.unwrap();
    assert_eq!(result.context["buildInfo"]["result"], "FAILURE");
    let builds = ci.jenkins.builds(JOB);
    assert_eq!(builds.len(), 1);
    assert!(!builds[0].aborted, "the build was stopped");
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
    assert_eq!(ci.completed(invented).await, None);
    let event = ci.completed(failed.clone()).await.unwrap();
    assert_eq!(event.result.as_deref(), Some("FAILURE"));
    assert_eq!(event.verified, Verified::Fetched);
    assert_eq!(event.id, failed.id);
    let files = &event.trigger["propertyFiles"];
    assert_eq!(files["a.properties"]["COLOUR"], "red");
    assert_eq!(files["none.json"], json!({}));
}

/// Whatever the path, a controller that can be asked is asked, and the build has one name.
#[tokio::test]
async fn nobody_invents_a_build_of_a_controller_by_another_path() {
    let ci = ci(100).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    ci.done().await;
    let told = |number: u64| {
        json!({"master": "ci", "parameters": {"a": "b"}, "artifacts": [{"type": "evil"}],
               "project": {"name": "shop/job/feature%2Fx", "lastBuild": {
                   "number": number, "building": false, "result": "SUCCESS"}}})
        .to_string()
    };
    for number in [1, 2] {
        let sent = ci.world.send("build/zzz", &[], &told(number)).await;
        let id = format!("jenkins:ci:shop/feature%2Fx:{number}");
        assert_eq!(sent.unwrap().event_id, id);
    }
    let [real, invented]: [InboundEvent; 2] = ci.world.stored().try_into().unwrap();
    for event in [&real, &invented] {
        assert!(event.incomplete && event.verified == Verified::No);
        assert!(event.parameters.is_empty() && event.artifacts.is_empty());
        assert!(!event.payload.contains_key("parameters"));
        assert!(!event.payload.contains_key("artifacts"));
    }
    assert_eq!(ci.completed(invented).await, None);
    let event = ci.completed(real).await.unwrap();
    assert_eq!(event.result.as_deref(), Some("FAILURE"));
}

#[tokio::test]
async fn the_url_of_a_build_is_enough() {
    let ci = ci(100).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    ci.done().await;
    let url = format!("{}job/shop/job/feature%252Fx/1/", ci.jenkins.url());
    for told in [json!({"url": url}), json!({"url": url, "result": "GREAT"})] {
        ci.world
            .send("jenkins/ci", &[], &told.to_string())
            .await
            .unwrap();
    }
    for event in ci.world.stored() {
        let event = ci.completed(event).await.unwrap();
        assert_eq!(event.result.as_deref(), Some("FAILURE"));
    }
}

/// What a proved sender brings along comes into the pipeline, beside what the controller says.
#[tokio::test]
async fn a_source_tells_of_the_builds_of_its_controller() {
    let ci = ci(100).await;
    ci.world.write("secret", "token");
    let mut accounts = ci.accounts();
    accounts["sources"] = json!([{"name": "ours", "sender": "jenkins", "controller": "ci",
                                  "secretFiles": [ci.world.path("secret")]}]);
    ci.world.write("accounts.yaml", &accounts.to_string());
    eventually("the source is known", async || {
        let sources = rpc::call(&*ci.world.ports.rpc, &ListSources {}).await;
        let sources = sources.unwrap();
        sources.iter().any(|s| s["name"] == "ours").then_some(())
    })
    .await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    ci.done().await;
    let url = format!("{}job/shop/job/feature%252Fx/1/", ci.jenkins.url());
    let told = json!({"url": url, "parameters": {"a": "b"}, "artifacts": [{"type": "x/y"}]});
    let headers = [("authorization", "Bearer token")];
    let sent = ci
        .world
        .send("jenkins/ours", &headers, &told.to_string())
        .await;
    assert_eq!(sent.unwrap().event_id, "jenkins:ci:shop/feature%2Fx:1");
    let event = ci.world.stored().remove(0);
    let event = ci.completed(event).await.unwrap();
    assert_eq!(event.result.as_deref(), Some("FAILURE"));
    assert_eq!(event.parameters["a"], "b");
    let kinds: Vec<&Value> = event.artifacts.iter().map(|a| &a["type"]).collect();
    assert_eq!(kinds, ["jenkins/file", "x/y"]);
}

#[tokio::test]
async fn a_build_that_does_not_end_is_not_asked_for_for_ever() {
    let ci = ci(600_000).await;
    ci.enqueue(&order("e/s/1", false), "a").await;
    eventually("the build runs", async || {
        (!ci.jenkins.builds("shop/feature%2Fx").is_empty()).then_some(())
    })
    .await;
    let url = format!("{}job/shop/job/feature%252Fx/1/", ci.jenkins.url());
    let told = json!({"url": url, "phase": "FINALIZED"}).to_string();
    ci.world.send("jenkins/ci", &[], &told).await.unwrap();
    let mut event = ci.world.stored().remove(0);
    let again = ci.complete(event.clone()).await.unwrap_err();
    assert_eq!(again.kind, Kind::Unavailable);
    event.received = Timestamp(event.received.0 - 11 * 60_000);
    assert_eq!(ci.completed(event).await, None);
}
