//! The shell on the embedded ports in memory: real orca, virtual time, a small front50.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::{
    embedded::{Embedded, SeededIds, TokioClock},
    model::{
        Context, Execution, Kind, Problem, Status, Timestamp,
        api::{
            front50::{GetObject, GetPipeline, ListPipelines},
            orca::{
                CancelExecution, DeleteExecution, ExecutionFilter, GetExecution, ListExecutions,
                PatchStage, PauseExecution, ReceiveWebhook, RestartStage, ResumeExecution,
                StartPipeline,
            },
        },
    },
    ports::{
        Condition, Object, ObjectInfo, ObjectStore, ObjectStoreError, Ports, Registration, Stored,
    },
    rpc,
    service::Chassis,
};
use serde_json::{Value, json};

/// One orca on shared ports; dropping it is a crash.
struct Orca {
    chassis: Chassis,
}

struct World {
    ports: Ports,
    _front50: Vec<Box<dyn Registration>>,
}

impl World {
    async fn new(pipelines: Vec<Value>) -> Self {
        let clock = Arc::new(TokioClock::new(Timestamp(1_790_000_000_000)));
        let ids = Arc::new(SeededIds::new(7, clock.clone()));
        let ports = Embedded::in_memory(clock, ids).ports();
        let stored: Arc<Vec<Context>> = Arc::new(
            pipelines
                .iter()
                .map(|p| p.as_object().unwrap().clone())
                .collect(),
        );
        let all = Arc::clone(&stored);
        let get = rpc::serve(&*ports.rpc, move |request: GetPipeline| {
            let all = Arc::clone(&all);
            async move {
                let found = all.iter().find(|p| p["id"] == json!(request.id)).cloned();
                found
                    .ok_or_else(|| Problem::new("FRONT50-0001", Kind::NotFound, "no such pipeline"))
            }
        });
        let list = rpc::serve(&*ports.rpc, move |_: ListPipelines| {
            let all = Arc::clone(&stored);
            async move { Ok((*all).clone()) }
        });
        let object = rpc::serve(&*ports.rpc, |request: GetObject| async move {
            if request.id == "waits" {
                return Ok(template());
            }
            Err(Problem::new(
                "FRONT50-0001",
                Kind::NotFound,
                "no such object",
            ))
        });
        let front50 = vec![
            get.await.unwrap(),
            list.await.unwrap(),
            object.await.unwrap(),
        ];
        Self {
            ports,
            _front50: front50,
        }
    }

    async fn orca(&self) -> Orca {
        let chassis = Chassis::default();
        let (ports, own) = (self.ports.clone(), chassis.clone());
        tokio::spawn(async move {
            orca::run(orca::Config::default(), ports, own)
                .await
                .unwrap();
        });
        while chassis
            .health
            .report()
            .parts
            .get("orca.recovery")
            .is_none_or(|p| p != "UP")
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Orca { chassis }
    }

    async fn start(&self, pipeline: Value) -> String {
        let request = StartPipeline {
            pipeline: pipeline.as_object().unwrap().clone(),
            user: "anonymous".to_owned(),
            ..StartPipeline::default()
        };
        let answer = rpc::call(&*self.ports.rpc, &request).await.unwrap();
        answer["ref"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    }

    async fn get(&self, id: &str) -> Execution {
        rpc::call(&*self.ports.rpc, &GetExecution { id: id.to_owned() })
            .await
            .unwrap()
    }

    /// Waits until no execution has a log.
    async fn until_archived(&self) {
        for _ in 0..100_000 {
            let logs = self.ports.journal.subjects("execution.").await.unwrap();
            if logs.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("an execution keeps its log");
    }

    async fn until(&self, id: &str, status: Status) -> Execution {
        for _ in 0..10_000 {
            let execution = self.get(id).await;
            if execution.status == status {
                return execution;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} is {:?}, not {status}", self.get(id).await);
    }
}

fn wait(reference: &str, after: &[&str], seconds: u64) -> Value {
    json!({"refId": reference, "type": "wait", "name": format!("wait {reference}"),
           "requisiteStageRefIds": after, "waitTime": seconds})
}

fn pipeline(id: &str, stages: &[Value]) -> Value {
    json!({"application": "app", "name": id, "id": id, "stages": stages})
}

#[tokio::test(start_paused = true)]
async fn a_chain_runs_and_is_archived() {
    let world = World::new(Vec::new()).await;
    let _orca = world.orca().await;
    let id = world
        .start(pipeline("p", &[wait("1", &[], 0), wait("2", &["1"], 5)]))
        .await;
    let done = world.until(&id, Status::Succeeded).await;
    assert!(done.end_time.unwrap().ms_since(done.start_time.unwrap()) >= 5_000);
    world.until_archived().await;
    assert!(
        world
            .ports
            .journal
            .subjects("execution.")
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(world.get(&id).await.status, Status::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_neither_waits_nor_judgments() {
    let world = World::new(Vec::new()).await;
    let orca = world.orca().await;
    let judgment =
        json!({"refId": "j", "type": "manualJudgment", "name": "J", "requisiteStageRefIds": []});
    let waiting = world.start(pipeline("w", &[wait("1", &[], 60)])).await;
    let judged = world
        .start(pipeline("j", &[judgment, wait("2", &["j"], 1)]))
        .await;
    orca.chassis.shutdown.abort();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let _orca = world.orca().await;
    let stage = world.get(&judged).await.stages[0].id.to_string();
    let context = json!({"judgmentStatus": "continue"})
        .as_object()
        .unwrap()
        .clone();
    let patch = PatchStage {
        id: judged.clone(),
        stage,
        context,
        user: "ana".to_owned(),
    };
    rpc::call(&*world.ports.rpc, &patch).await.unwrap();
    world.until(&judged, Status::Succeeded).await;
    let done = world.until(&waiting, Status::Succeeded).await;
    let length = done.end_time.unwrap().ms_since(done.start_time.unwrap());
    assert!((60_000..61_000).contains(&length), "{length} ms");
}

#[tokio::test(start_paused = true)]
async fn limits_are_exact_and_the_waiting_ones_follow() {
    let world = World::new(Vec::new()).await;
    let _orca = world.orca().await;
    let mut limited = pipeline("limited", &[wait("1", &[], 3)]);
    limited["limitConcurrent"] = json!(true);
    limited["keepWaitingPipelines"] = json!(true);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.start(limited.clone()).await);
    }
    let mut spans = Vec::new();
    for id in &ids {
        let done = world.until(id, Status::Succeeded).await;
        spans.push((done.start_time.unwrap(), done.end_time.unwrap()));
    }
    spans.sort();
    for pair in spans.windows(2) {
        assert!(
            pair[1].0 >= pair[0].1,
            "two ran at the same time: {spans:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_gives_its_outputs_and_is_cancelled_with_its_parent() {
    let outputs = json!({"refId": "1", "type": "evaluateVariables", "name": "v",
        "requisiteStageRefIds": [], "variables": [{"key": "out", "value": "v1"}]});
    let world = World::new(vec![
        pipeline("quick", &[outputs]),
        pipeline("slow", &[wait("1", &[], 600)]),
    ])
    .await;
    let _orca = world.orca().await;
    let child = |id: &str| {
        json!({"refId": "1", "type": "pipeline", "name": "C",
        "requisiteStageRefIds": [], "application": "app", "pipeline": id})
    };
    let parent = world.start(pipeline("parent", &[child("quick")])).await;
    let done = world.until(&parent, Status::Succeeded).await;
    assert_eq!(done.stages[0].outputs["out"], json!("v1"));

    let parent = world.start(pipeline("parent", &[child("slow")])).await;
    let mut child_id = None;
    for _ in 0..1_000 {
        let execution = world.get(&parent).await;
        child_id = execution.stages[0].context.get("executionId").cloned();
        if child_id.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let child_id = child_id
        .expect("the child starts")
        .as_str()
        .unwrap()
        .to_owned();
    let cancel = CancelExecution {
        id: parent.clone(),
        reason: None,
        user: "ana".to_owned(),
    };
    rpc::call(&*world.ports.rpc, &cancel).await.unwrap();
    world.until(&parent, Status::Canceled).await;
    let child = world.until(&child_id, Status::Canceled).await;
    assert_eq!(child.canceled_by.as_deref(), Some("parent pipeline"));
}

#[tokio::test(start_paused = true)]
async fn control_calls_do_what_they_say() {
    let world = World::new(Vec::new()).await;
    let _orca = world.orca().await;
    let id = world
        .start(pipeline("p", &[wait("1", &[], 2), wait("2", &["1"], 0)]))
        .await;
    let user = || "ana".to_owned();
    rpc::call(
        &*world.ports.rpc,
        &PauseExecution {
            id: id.clone(),
            user: user(),
        },
    )
    .await
    .unwrap();
    assert_eq!(world.get(&id).await.status, Status::Paused);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.get(&id).await.status, Status::Paused);
    let early = DeleteExecution {
        id: id.clone(),
        user: user(),
    };
    assert_eq!(
        rpc::call(&*world.ports.rpc, &early).await.unwrap_err().kind,
        Kind::Conflict
    );
    rpc::call(
        &*world.ports.rpc,
        &ResumeExecution {
            id: id.clone(),
            user: user(),
        },
    )
    .await
    .unwrap();
    let done = world.until(&id, Status::Succeeded).await;
    let stage = done.stages[0].id.to_string();
    // Wait until it lies in the archive: a restart brings it back.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again = RestartStage {
        id: id.clone(),
        stage,
        body: Context::new(),
        user: user(),
    };
    // The answer is the execution as it was; the restart is under way.
    let before = rpc::call(&*world.ports.rpc, &again).await.unwrap();
    assert_eq!(before.status, Status::Succeeded);
    assert_eq!(world.get(&id).await.status, Status::Running);
    let done = world.until(&id, Status::Succeeded).await;
    assert_eq!(
        done.stages[0].context["restartDetails"]["restartedBy"],
        json!("ana")
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    rpc::call(
        &*world.ports.rpc,
        &DeleteExecution {
            id: id.clone(),
            user: user(),
        },
    )
    .await
    .unwrap();
    let gone = rpc::call(&*world.ports.rpc, &GetExecution { id })
        .await
        .unwrap_err();
    assert_eq!(gone.kind, Kind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_delivered_twice_starts_once_and_a_flushed_cache_changes_nothing() {
    let mut hooked = pipeline("hooked", &[wait("1", &[], 0)]);
    hooked["triggers"] = json!([{"type": "webhook", "enabled": true, "source": "ci",
                                 "payloadConstraints": {"branch": "^main$"}}]);
    let world = World::new(vec![hooked]).await;
    let _orca = world.orca().await;
    for (branch, event) in [
        ("main", "e1"),
        ("main", "e1"),
        ("dev", "e2"),
        ("main", "e3"),
    ] {
        let hook = ReceiveWebhook {
            kind: "webhook".to_owned(),
            source: "ci".to_owned(),
            payload: json!({"branch": branch}).as_object().unwrap().clone(),
            event_id: Some(event.to_owned()),
            ..ReceiveWebhook::default()
        };
        assert!(
            rpc::call(&*world.ports.rpc, &hook)
                .await
                .unwrap()
                .event_processed
        );
    }
    let list = ListExecutions::default();
    assert_eq!(rpc::call(&*world.ports.rpc, &list).await.unwrap().len(), 2);
    world.ports.cache.flush().await.unwrap();
    assert_eq!(rpc::call(&*world.ports.rpc, &list).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn lists_by_status_find_the_newest_whatever_else_there_is() {
    let world = World::new(Vec::new()).await;
    let _orca = world.orca().await;
    let waits = |seconds: u64| {
        json!({"application": "app", "name": "p", "stages": [
            {"refId": "1", "type": "wait", "waitTime": seconds}]})
    };
    let (mut open, mut ended) = (Vec::new(), Vec::new());
    for n in 0..40 {
        if n % 16 == 0 {
            open.push(world.start(waits(3_600)).await);
        }
        let id = world.start(waits(0)).await;
        world.until(&id, Status::Succeeded).await;
        ended.push(id);
    }
    open.reverse();
    ended.reverse();
    let listed = async |status: &str, offset: u32, limit: u32| {
        let list = ListExecutions {
            filter: ExecutionFilter {
                application: Some("app".to_owned()),
                statuses: vec![status.to_owned()],
                ..ExecutionFilter::default()
            },
            offset,
            limit: Some(limit),
            ..ListExecutions::default()
        };
        let found = rpc::call(&*world.ports.rpc, &list).await.unwrap();
        let read = |e: &kork_model::Shown| e.read::<Execution>().unwrap().id.to_string();
        found.iter().map(read).collect::<Vec<_>>()
    };
    for flushed in [false, true] {
        if flushed {
            world.ports.cache.flush().await.unwrap();
        }
        assert_eq!(listed("RUNNING", 0, 50).await, open);
        assert_eq!(listed("RUNNING", 1, 1).await, open[1..2]);
        assert_eq!(listed("SUCCEEDED", 0, 50).await, ended);
        assert_eq!(listed("SUCCEEDED", 30, 5).await, ended[30..35]);
    }
    let cancel = CancelExecution {
        id: open.remove(1),
        ..CancelExecution::default()
    };
    rpc::call(&*world.ports.rpc, &cancel).await.unwrap();
    world.until(&cancel.id, Status::Canceled).await;
    assert_eq!(listed("RUNNING", 0, 50).await, open);
    assert_eq!(listed("CANCELED", 0, 50).await, [cancel.id]);
}

/// A template whose only stage waits as long as its variable says.
fn template() -> Context {
    let template = json!({
        "schema": "v2", "id": "waits", "variables": [{"name": "seconds", "type": "int"}],
        "pipeline": {"stages": [{
            "refId": "1", "type": "wait", "waitTime": "${ templateVariables.seconds }",
        }]},
    });
    template.as_object().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_made_from_a_template_runs_as_what_it_is() {
    let world = World::new(Vec::new()).await;
    let _orca = world.orca().await;
    let config = |reference: &str, variables: Value| {
        json!({
            "application": "app", "name": "templated", "type": "templatedPipeline", "schema": "v2",
            "template": {"reference": reference}, "variables": variables,
        })
    };
    let id = world
        .start(config("spinnaker://waits", json!({"seconds": 3})))
        .await;
    let done = world.until(&id, Status::Succeeded).await;
    assert_eq!(done.stages.len(), 1);
    let waited = done.end_time.unwrap().ms_since(done.start_time.unwrap());
    assert!((3_000..4_000).contains(&waited), "{waited} ms");
    for (reference, variables, pointer) in [
        ("spinnaker://nowhere", json!({}), "/template/reference"),
        ("https://elsewhere", json!({}), "/template/reference"),
        ("spinnaker://waits", json!({}), "/variables"),
    ] {
        let start = StartPipeline {
            pipeline: config(reference, variables).as_object().unwrap().clone(),
            user: "ana".to_owned(),
            ..StartPipeline::default()
        };
        let refused = rpc::call(&*world.ports.rpc, &start).await.unwrap_err();
        assert_eq!(refused.errors[0].pointer, pointer, "{refused}");
    }
}

/// An object store that counts what is read of archived executions.
struct Counting {
    inner: Arc<dyn ObjectStore>,
    read: AtomicUsize,
}

#[async_trait]
impl ObjectStore for Counting {
    async fn get(&self, key: &str) -> Result<Option<Object>, ObjectStoreError> {
        let counts = key.starts_with("orca/executions/");
        self.read.fetch_add(usize::from(counts), Ordering::Relaxed);
        self.inner.get(key).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<Stored, ObjectStoreError> {
        self.inner.put(key, body, condition).await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<(), ObjectStoreError> {
        self.inner.delete(key, condition).await
    }

    async fn erase(&self, key: &str) -> Result<(), ObjectStoreError> {
        self.inner.erase(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        self.inner.list(prefix).await
    }

    async fn versions(&self, key: &str) -> Result<Vec<ObjectInfo>, ObjectStoreError> {
        self.inner.versions(key).await
    }

    async fn get_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Object>, ObjectStoreError> {
        self.inner.get_version(key, version).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_emptied_cache_is_filled_without_reading_every_execution() {
    const ENDED: usize = 1_100;
    let mut world = World::new(Vec::new()).await;
    let counting = Arc::new(Counting {
        inner: Arc::clone(&world.ports.objects),
        read: AtomicUsize::new(0),
    });
    world.ports.objects = Arc::clone(&counting) as Arc<dyn ObjectStore>;
    let _orca = world.orca().await;
    let ends = json!({"application": "app", "name": "p", "stages": [
        {"refId": "1", "type": "wait", "waitTime": 0}]});
    let mut ids = Vec::new();
    for _ in 0..ENDED {
        ids.push(world.start(ends.clone()).await);
    }
    world.until_archived().await;
    // One is archived again, one is gone: what the pages say of them does not count.
    let restart = RestartStage {
        id: ids[0].clone(),
        stage: world.get(&ids[0]).await.stages[0].id.to_string(),
        ..RestartStage::default()
    };
    rpc::call(&*world.ports.rpc, &restart).await.unwrap();
    world.until(&ids[0], Status::Succeeded).await;
    let delete = DeleteExecution {
        id: ids[1].clone(),
        ..DeleteExecution::default()
    };
    rpc::call(&*world.ports.rpc, &delete).await.unwrap();
    world.until_archived().await;
    world.ports.cache.flush().await.unwrap();
    let before = counting.read.load(Ordering::Relaxed);
    let mut found = Vec::new();
    while found.len() < ENDED - 1 {
        let list = ListExecutions {
            filter: ExecutionFilter {
                application: Some("app".to_owned()),
                statuses: vec!["SUCCEEDED".to_owned()],
                ..ExecutionFilter::default()
            },
            offset: found.len() as u32,
            limit: Some(100),
            ..ListExecutions::default()
        };
        let page = rpc::call(&*world.ports.rpc, &list).await.unwrap();
        if found.is_empty() {
            // Two pages were written; the rest, and what changed since, is read. So are the 100 shown,
            // as far as they are not in memory.
            let read = counting.read.load(Ordering::Relaxed) - before;
            assert!(read < ENDED - 2 * 512 + 150, "{read}");
        }
        assert!(!page.is_empty(), "only {} are listed", found.len());
        let read = |shown: &kork_model::Shown| shown.read::<Execution>().unwrap().id.to_string();
        found.extend(page.iter().map(read));
    }
    ids.remove(1);
    ids.reverse();
    assert_eq!(found, ids);
}

#[tokio::test(start_paused = true)]
async fn what_one_orca_deletes_no_other_one_has() {
    let world = World::new(Vec::new()).await;
    let _orcas = (world.orca().await, world.orca().await);
    let ends = json!({"application": "app", "name": "p", "stages": [
        {"refId": "1", "type": "wait", "waitTime": 0}]});
    let id = world.start(ends).await;
    world.until_archived().await;
    let named = ListExecutions {
        filter: ExecutionFilter {
            execution_ids: vec![id.clone()],
            ..ExecutionFilter::default()
        },
        ..ListExecutions::default()
    };
    // Both have it in memory then.
    for _ in 0..8 {
        world.get(&id).await;
        assert_eq!(rpc::call(&*world.ports.rpc, &named).await.unwrap().len(), 1);
    }
    let delete = DeleteExecution {
        id: id.clone(),
        ..DeleteExecution::default()
    };
    rpc::call(&*world.ports.rpc, &delete).await.unwrap();
    for _ in 0..8 {
        let get = GetExecution { id: id.clone() };
        let gone = rpc::call(&*world.ports.rpc, &get).await.unwrap_err();
        assert_eq!(gone.kind, Kind::NotFound);
        assert!(
            rpc::call(&*world.ports.rpc, &named)
                .await
                .unwrap()
                .is_empty()
        );
    }
}
