//! Builds of a server of no known kind, that posts what becomes of them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use kork::{rpc, service::Chassis};
use kork_model::{Context, Kind, Status, WorkKey, WorkOrder, api::igor::ListSources};
use serde_json::{Value, json};

use crate::{
    http::serve,
    world::{World, eventually},
};

const KEY: &str = "e/s/1";
/// In the plain way of a source with a secret and no header of its own.
const PROOF: [(&str, &str); 1] = [("authorization", "Bearer token")];

/// What the server was asked, and how it answers.
#[derive(Default)]
struct Builder {
    calls: Mutex<Vec<(String, Value)>>,
    /// The word of its status.
    state: Mutex<String>,
    /// Starts are answered only when this is false again.
    is_slow: AtomicBool,
    /// Starts are taken, and the connection is closed.
    loses_answers: AtomicBool,
}

impl Builder {
    async fn start(self: &Arc<Self>) -> String {
        let builder = Arc::clone(self);
        serve(move |call, body| {
            let builder = Arc::clone(&builder);
            async move { builder.answer(call, body).await }
        })
        .await
    }

    async fn answer(&self, call: String, body: Value) -> Option<Value> {
        self.calls.lock().unwrap().push((call.clone(), body));
        while call == "POST /runs" && self.is_slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if call == "POST /runs" && self.loses_answers.load(Ordering::SeqCst) {
            return None;
        }
        Some(match &*call {
            "POST /runs" => json!({"url": "https://builder.example/queued"}),
            "GET /runs/41" => json!({"status": *self.state.lock().unwrap(), "out": {"A": "1"}}),
            _ => json!({}),
        })
    }

    fn count(&self, call: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(made, _)| made == call).count()
    }

    async fn is_asked(&self, call: &str) {
        eventually(call, async || (self.count(call) > 0).then_some(())).await;
    }
}

struct Ci {
    world: World,
    builder: Arc<Builder>,
}

/// A server that is asked for nothing, unless `status` says where.
async fn ci(status: Option<&str>) -> Ci {
    let builder = Arc::new(Builder::default());
    let url = builder.start().await;
    let world = World::new(&json!({})).await;
    world.write("secret", "token\n");
    world.write("other", "another\n");
    let mut how = json!({
        "start": {"path": "runs", "body": {"key": "{key}", "job": "{job}"}},
        "status": {"properties": "/out", "artifacts": "/files", "log": "/log"},
        "report": {"at": "/build", "number": "/build/id"},
        "stop": {"path": "stop", "body": {"key": "{key}"}},
    });
    if let Some(path) = status {
        how["status"]["path"] = path.into();
    }
    let controller =
        |name: &str| json!({"name": name, "kind": "generic", "address": url, "generic": how});
    let source = |name: &str, secret: &str, controller: &str| json!({"name": name, "controller": controller, "secretFiles": [world.path(secret)]});
    let accounts = json!({
        "controllers": [controller("builder"), controller("second"), controller("third")],
        "sources": [
            source("builds", "secret", "builder"),
            source("others", "other", "second"),
            {"name": "open", "controller": "builder", "allowUnverified": true},
        ],
    });
    world.write("accounts.yaml", &accounts.to_string());
    eventually("the sources are known", async || {
        let sources = rpc::call(&*world.ports.rpc, &ListSources {}).await.unwrap();
        sources.iter().any(|s| s["name"] == "open").then_some(())
    })
    .await;
    Ci { world, builder }
}

fn order(cancel: bool) -> WorkOrder {
    let payload = json!({"master": "builder", "job": "shop", "propertyFile": "any"});
    WorkOrder {
        key: WorkKey(KEY.to_owned()),
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

fn said(build: &Value) -> String {
    json!({"key": KEY, "build": build}).to_string()
}

fn passed() -> Value {
    json!({"id": 41, "status": "success", "url": "https://builder.example/41", "out": {"TAG": "1.4.2"},
           "files": ["out/shop.tar"], "log": "done\n"})
}

impl Ci {
    async fn enqueue(&self, cancel: bool, id: &str) {
        let payload = Bytes::from(serde_json::to_vec(&order(cancel)).unwrap());
        let queue = &self.world.ports.queue;
        queue.enqueue("task.igor", id, payload, None).await.unwrap();
    }

    async fn post(&self, source: &str, build: &Value) -> Result<(), Kind> {
        let path = format!("generic/{source}");
        let sent = self.world.send(&path, &PROOF, &said(build)).await;
        sent.map(drop).map_err(|problem| problem.kind)
    }

    /// The status of the end, and what the stage hands on.
    async fn end(&self) -> (Status, Context) {
        let result = self.world.report(|report| report.result.clone()).await;
        (result.status, result.outputs)
    }
}

/// What a build of Jenkins leaves, from what was posted.
fn is_whole(outputs: &Context) {
    let info = &outputs["buildInfo"];
    assert_eq!(
        (&info["number"], &info["result"]),
        (&json!(41), &json!("SUCCESS"))
    );
    assert_eq!(info["url"], "https://builder.example/41");
    assert_eq!(outputs["propertyFileContents"], json!({"TAG": "1.4.2"}));
    assert_eq!(outputs["TAG"], "1.4.2");
    assert_eq!(outputs["artifacts"][0]["reference"], "out/shop.tar");
}

#[tokio::test]
async fn what_is_posted_is_shown_and_ends_the_stage() {
    let ci = ci(None).await;
    ci.enqueue(false, "a").await;
    ci.builder.is_asked("POST /runs").await;
    // It goes on as long as nothing is proved, whatever is said of it, and by whom.
    assert_eq!(
        ci.post("others", &passed()).await,
        Err(Kind::Unauthenticated)
    );
    ci.post("open", &passed()).await.unwrap();
    assert!(
        ci.world
            .last()
            .await
            .because
            .unwrap()
            .contains("nothing proves")
    );
    let header = [("authorization", "another")];
    let other = ci
        .world
        .send("generic/others", &header, &said(&passed()))
        .await;
    other.unwrap();
    ci.post(
        "builds",
        &json!({"id": 41, "status": "running", "log": "step 1\n"}),
    )
    .await
    .unwrap();
    let shown = ci.world.report(|report| {
        let shown = report.progress.clone()?;
        (shown.get("buildNumber")? == 41 && shown.contains_key("consoleTail")).then_some(shown)
    });
    let shown = shown.await;
    assert_eq!(shown["buildInfo"]["building"], true);
    assert_eq!(shown["consoleTail"], "step 1\n");
    ci.post("builds", &passed()).await.unwrap();
    let (status, outputs) = ci.end().await;
    assert_eq!(status, Status::Succeeded);
    is_whole(&outputs);
    assert_eq!(
        ci.builder.calls.lock().unwrap().len(),
        1,
        "it is asked for nothing"
    );
    // An order that is done takes nothing in.
    ci.post("builds", &passed()).await.unwrap();
    assert!(
        ci.world
            .last()
            .await
            .because
            .unwrap()
            .contains("no stage waits")
    );
}

#[tokio::test]
async fn a_post_that_comes_before_the_start_is_answered_is_not_lost() {
    for loses_answers in [false, true] {
        let ci = ci(None).await;
        ci.builder.is_slow.store(true, Ordering::SeqCst);
        ci.builder
            .loses_answers
            .store(loses_answers, Ordering::SeqCst);
        ci.enqueue(false, "a").await;
        ci.builder.is_asked("POST /runs").await;
        ci.post("builds", &passed()).await.unwrap();
        // What is told later does not change the end.
        ci.post("builds", &json!({"id": 41, "status": "failure"}))
            .await
            .unwrap();
        ci.builder.is_slow.store(false, Ordering::SeqCst);
        let (status, outputs) = ci.end().await;
        assert_eq!(status, Status::Succeeded, "{loses_answers}");
        is_whole(&outputs);
        assert_eq!(ci.builder.count("POST /runs"), 1, "{loses_answers}");
    }
}

#[tokio::test]
async fn a_post_that_comes_while_nobody_follows_is_not_lost() {
    let ci = ci(None).await;
    ci.enqueue(false, "a").await;
    ci.builder.is_asked("POST /runs").await;
    ci.world
        .report(|report| {
            report
                .progress
                .as_ref()?
                .get("ciProgress")
                .filter(|p| p["number"] == 0)
                .cloned()
        })
        .await;
    // The one that follows dies. Another one takes posts, and the order only later: its lease still runs.
    ci.world.chassis.shutdown.abort();
    let config = igor::Config {
        accounts_file: Some(ci.world.path("accounts.yaml")),
        ..igor::Config::default()
    };
    let (chassis, ports) = (Chassis::default(), ci.world.ports.clone());
    let own = chassis.clone();
    tokio::spawn(async move { igor::run(config, ports, own).await.unwrap() });
    eventually("the other one takes posts", async || {
        ci.post("builds", &passed()).await.ok()
    })
    .await;
    ci.enqueue(false, "again").await;
    let (status, outputs) = ci.end().await;
    assert_eq!(status, Status::Succeeded);
    is_whole(&outputs);
    assert_eq!(ci.builder.count("POST /runs"), 1);
    chassis.shutdown.abort();
}

#[tokio::test]
async fn where_the_server_can_be_asked_a_post_only_says_that_it_is_time_to() {
    let ci = ci(Some("runs/{number}")).await;
    "running".clone_into(&mut ci.builder.state.lock().unwrap());
    ci.enqueue(false, "a").await;
    ci.builder.is_asked("POST /runs").await;
    // What nobody proves does not say which build it is.
    ci.post("open", &json!({"id": 99, "status": "success"}))
        .await
        .unwrap();
    ci.post("builds", &passed()).await.unwrap();
    ci.builder.is_asked("GET /runs/41").await;
    assert_eq!(ci.builder.count("GET /runs/99"), 0);
    "failure".clone_into(&mut ci.builder.state.lock().unwrap());
    ci.post("open", &passed()).await.unwrap();
    let (status, outputs) = ci.end().await;
    assert_eq!(status, Status::Terminal, "the post said that it went well");
    assert_eq!(outputs["buildInfo"]["result"], "FAILURE");
}

#[tokio::test]
async fn a_server_whose_posts_nothing_can_prove_is_warned_of() {
    for (status, warned) in [(None, vec!["third"]), (Some("runs/{number}"), vec![])] {
        let ci = ci(status).await;
        let sources = rpc::call(&*ci.world.ports.rpc, &ListSources {})
            .await
            .unwrap();
        let has_warning = sources.iter().filter(|source| {
            let warnings = source.get("warnings").and_then(Value::as_array);
            warnings.is_some_and(|all| json!(all).to_string().contains("never end"))
        });
        let names: Vec<_> = has_warning.map(|source| source["name"].clone()).collect();
        assert_eq!(names, warned);
    }
}

#[tokio::test]
async fn a_withdrawn_build_is_stopped_by_its_key() {
    let ci = ci(None).await;
    ci.enqueue(false, "a").await;
    ci.builder.is_asked("POST /runs").await;
    ci.enqueue(true, "b").await;
    ci.builder.is_asked("POST /stop").await;
    let calls = ci.builder.calls.lock().unwrap().clone();
    assert_eq!(calls[1].1, json!({"key": KEY}));
    drop(calls);
}

/// A sender that is told to come again has lost nothing.
#[tokio::test]
async fn a_post_that_cannot_be_kept_is_not_answered_well() {
    let ci = ci(None).await;
    ci.enqueue(false, "a").await;
    ci.builder.is_asked("POST /runs").await;
    let is_away = &ci.world.faults.records_are_away;
    is_away.store(true, Ordering::SeqCst);
    assert_eq!(ci.post("builds", &passed()).await, Err(Kind::Unavailable));
    is_away.store(false, Ordering::SeqCst);
    ci.post("builds", &passed()).await.unwrap();
    assert_eq!(ci.end().await.0, Status::Succeeded);
}
