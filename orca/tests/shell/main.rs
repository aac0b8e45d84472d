//! The shell on the embedded ports in memory: real orca, virtual time, a small front50.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod burst;
mod cache;
mod chosen;
mod clock;
mod events;
mod front50;
mod journal;
mod lists;
mod objects;
mod templates;
mod trouble;
mod world;

use std::time::Duration;

use kork::{
    model::{
        Context, Kind, Status,
        api::orca::{
            CancelExecution, DeleteExecution, GetExecution, ListExecutions, PatchStage,
            PauseExecution, ReceiveWebhook, RestartStage, ResumeExecution, StartPipeline,
        },
    },
    rpc,
};
use serde_json::{Value, json};
use world::{World, pipeline, wait};

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
