//! What one pipeline, one store or one moment has to do with the others when something goes wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::{
    model::{Execution, InboundEvent, Status, api::igor::CompleteEvent},
    ports::{Journal, JournalError, Revision},
    rpc,
};
use orca::{CatchUp, CronConfig};
use serde_json::{Value, json};

use crate::{
    events::{Halting, follower, hooked, push},
    front50::BROKEN,
    journal::{Appends, Handled},
    world::{World, pipeline, wait},
};

/// A journal that refuses the first append of an execution, and is slow to say that it has done the others.
struct RefusesFirst {
    inner: Arc<dyn Journal>,
    has_refused: AtomicBool,
}

#[async_trait]
impl Appends for RefusesFirst {
    fn inner(&self) -> &Arc<dyn Journal> {
        &self.inner
    }

    async fn append(
        &self,
        subject: &str,
        expected: Revision,
        payload: Bytes,
    ) -> Result<Revision, JournalError> {
        if !self.has_refused.swap(true, Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let reason = "the test refuses".to_owned();
            return Err(JournalError::Unavailable { reason });
        }
        let appended = self.inner.append(subject, expected, payload).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        appended
    }
}

/// The execution of this name that another one started.
fn started<'a>(found: &'a [Execution], parent: &str, name: &str) -> &'a Execution {
    let is = |e: &&Execution| {
        e.name.as_deref() == Some(name) && e.trigger["parentExecution"]["id"] == parent
    };
    found.iter().find(is).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_leaves_no_other_one_in_the_middle() {
    let world = World::new(["a", "b", "c"].map(|id| hooked(id, 0)).to_vec()).await;
    let mut ports = world.ports.clone();
    ports.journal = Arc::new(Handled(Arc::new(RefusesFirst {
        inner: Arc::clone(&world.ports.journal),
        has_refused: AtomicBool::new(false),
    })));
    let _orca = world.orca_on(ports).await;
    world.send(&[push("e1", "main")]).await;
    let found = world.until_there_are(3).await;
    assert!(found.iter().all(|e| e.status == Status::Succeeded));
    world.until_has_no_log("inbox.").await;
    assert_eq!(world.executions().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_dry_run_starts_is_one_too_and_has_what_its_parent_had() {
    let child = pipeline("child", &[wait("1", &[], 0)]);
    let told = json!({"refId": "2", "type": "evaluateVariables", "name": "told", "variables": [
        {"key": "colour", "value": "${trigger.parentExecution.trigger.parameters.colour}"},
        {"key": "build", "value": "${buildInfo.number}"},
        {"key": "tag", "value":
            "${trigger.parentExecution.stages.^[name == 'made'].outputs.tag}"}]});
    let world = World::new(vec![child, {
        let mut follower = follower("follower", "first", "successful");
        follower["stages"].as_array_mut().unwrap().push(told);
        follower
    }])
    .await;
    let _orca = world.orca().await;
    for dry in [true, false] {
        let mut first = pipeline(
            "first",
            &[
                json!({"refId": "1", "type": "pipeline", "application": "app", "pipeline": "child",
                       "requisiteStageRefIds": ["0"]}),
                json!({"refId": "0", "type": "evaluateVariables", "name": "made",
                       "variables": [{"key": "tag", "value": "v1"}]}),
            ],
        );
        first["trigger"] = json!({"type": "manual", "dryRun": dry, "parameters": {"colour": "red"},
            "buildInfo": {"name": "b", "number": 7},
            "artifacts": [{"type": "docker/image", "name": "shop"}]});
        let before = world.executions().await.len();
        let id = world.start(first).await;
        let found = world.until_there_are(before + 3).await;
        for name in ["child", "follower"] {
            let started = started(&found, &id, name);
            assert_eq!(started.trigger["dryRun"], json!(dry), "{name}");
            assert_eq!(started.trigger["artifacts"][0]["name"], "shop", "{name}");
        }
        let told = &started(&found, &id, "follower").stages[1];
        assert_eq!(told.name, "told");
        if !dry {
            assert_eq!(told.outputs["colour"], "red");
            assert_eq!(told.outputs["build"], 7);
            assert_eq!(told.outputs["tag"], "v1");
            let above = &started(&found, &id, "child").trigger["parentExecution"];
            let made = above["stages"].as_array().unwrap();
            let made = made.iter().find(|stage| stage["name"] == "made").unwrap();
            assert_eq!(made["outputs"]["tag"], "v1", "{above:#}");
            assert_eq!(made["status"], "SUCCEEDED", "{above:#}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_cannot_be_read_keeps_no_other_one_from_starting() {
    let world = World::new(vec![hooked("a", 0), hooked("b", 0)]).await;
    let _orca = world.orca().await;
    world.send(&[push("e1", "main")]).await;
    world.until_there_are(2).await;
    let mut broken = hooked("a", 0);
    broken[BROKEN] = json!(true);
    world.front50.change(&world.ports, broken, 1).await;
    let late = hooked("c", 0);
    world.front50.change(&world.ports, late, 2).await;
    let mut sent = 1;
    // The change is told behind the caller's back.
    while !world
        .executions()
        .await
        .iter()
        .any(|e| e.name.as_deref() == Some("c"))
    {
        sent += 1;
        assert!(sent < 1_000, "the pipeline that came later never starts");
        world.send(&[push(&format!("e{sent}"), "main")]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.until_has_no_log("inbox.").await;
    // The template that it names is not there.
    let mut lacking = hooked("d", 0);
    lacking["template"] = json!({"artifactAccount": "front50ArtifactCredentials", "type": "front50/pipelineTemplate",
                                 "reference": "spinnaker://gone"});
    lacking["schema"] = json!("v2");
    lacking["type"] = json!("templatedPipeline");
    world.front50.change(&world.ports, lacking, 3).await;
    let refused = loop {
        sent += 1;
        assert!(sent < 1_000, "nothing says why the pipeline did not start");
        world.send(&[push(&format!("e{sent}"), "main")]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let found = world.executions().await;
        if let Some(refused) = found.into_iter().find(|e| e.name.as_deref() == Some("d")) {
            break refused;
        }
    };
    assert_eq!(refused.status, Status::Terminal);
    let shown = serde_json::to_string(&refused).unwrap();
    assert!(
        shown.contains("there is no pipeline template gone"),
        "{shown}"
    );
    world.until_has_no_log("inbox.").await;
    let found = world.executions().await;
    let of = |name: &str| {
        let is = |e: &&Execution| e.name.as_deref() == Some(name) && e.status == Status::Succeeded;
        found.iter().filter(is).count()
    };
    assert_eq!((of("a"), of("b")), (1, sent));
}

#[tokio::test(start_paused = true)]
async fn a_child_waits_for_front50_however_long_it_is_away() {
    let world = World::new(vec![pipeline("child", &[wait("1", &[], 0)])]).await;
    let _orca = world.orca().await;
    let parent = pipeline(
        "parent",
        &[
            wait("0", &[], 5),
            json!({"refId": "1", "type": "pipeline", "application": "app", "pipeline": "child",
                   "requisiteStageRefIds": ["0"]}),
        ],
    );
    let id = world.start(parent).await;
    world.front50.is_away(true);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(world.get(&id).await.status, Status::Running);
    world.front50.is_away(false);
    world.until(&id, Status::Succeeded).await;
    assert_eq!(world.executions().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fire_time_is_not_over_before_its_execution_is_stored() {
    let mut timed = pipeline("timed", &[wait("1", &[], 0)]);
    timed["triggers"] = json!([{"type": "cron", "enabled": true, "id": "t",
                                "cronExpression": "0 * * * * ?"}]);
    let world = World::new(vec![timed]).await;
    let config = orca::Config {
        cron: CronConfig {
            catch_up: CatchUp::All,
            ..CronConfig::default()
        },
        ..orca::Config::default()
    };
    let halting = Halting::of(&world);
    let mut ports = world.ports.clone();
    ports.journal = Arc::new(Handled(Arc::clone(&halting)));
    let began = world.ports.clock.now();
    // Twice: what was to be made up for after the first time is not lost by the second.
    for _ in 0..2 {
        let orca = world.orca_with_on(config.clone(), ports.clone()).await;
        tokio::time::sleep(Duration::from_mins(3)).await;
        orca.crash().await;
    }
    let _orca = world.orca_with(config).await;
    let minutes = (world.ports.clock.now().millis() - began.millis()) / 60_000;
    let found = world
        .until_there_are(usize::try_from(minutes).unwrap())
        .await;
    assert!(found.iter().all(|e| e.trigger["madeUp"] == true));
}

#[tokio::test(start_paused = true)]
async fn events_that_are_larger_together_than_a_record_are_kept() {
    let world = World::new(vec![hooked("a", 0)]).await;
    let _orca = world.orca().await;
    let padding = "x".repeat(2_000);
    let events = (0..450).map(|n| {
        let mut event = push(&format!("e{n}"), "main");
        event.incomplete = true;
        event.payload.insert("padding".to_owned(), json!(padding));
        event
    });
    let events: Vec<InboundEvent> = events.collect();
    world.send(&events).await;
    let igor = rpc::serve(&*world.ports.rpc, |request: CompleteEvent| async move {
        let mut event = request.event;
        event.incomplete = false;
        Ok(Some(event))
    });
    let _igor = igor.await.unwrap();
    world.until_there_are(events.len()).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_lay_for_days_starts_all_the_same() {
    let world = World::new(vec![hooked("a", 0)]).await;
    let orca = world.orca().await;
    let mut event = push("e1", "main");
    event.incomplete = true;
    event.received = world.ports.clock.now();
    world.send(&[event]).await;
    orca.crash().await;
    tokio::time::sleep(Duration::from_hours(72)).await;
    let _orca = world.orca().await;
    // Nobody can complete it for some more minutes.
    tokio::time::sleep(Duration::from_mins(5)).await;
    let igor = rpc::serve(&*world.ports.rpc, |request: CompleteEvent| async move {
        let mut event = request.event;
        event.incomplete = false;
        Ok(Some(event))
    });
    let _igor = igor.await.unwrap();
    world.until_there_are(1).await;
    let one: Value = json!(world.executions().await[0].trigger["payload"]["branch"]);
    assert_eq!(one, "main");
}

#[tokio::test(start_paused = true)]
async fn a_correlation_id_is_one_execution_until_that_ends_and_then_nothing_is_left_of_it() {
    let world = World::new(Vec::new()).await;
    let _orcas = (world.orca().await, world.orca().await);
    let mut correlated = pipeline("p", &[wait("1", &[], 60)]);
    correlated["trigger"] = json!({"type": "manual", "correlationId": "deploy of 1.2.3"});
    for ran in 1..=2 {
        let starts = (0..8).map(|_| world.start(correlated.clone()));
        let ids = futures_util::future::join_all(starts).await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        world.until_there_are(ran).await;
        world.until_archived().await;
        world.until_has_no_log("correlation.").await;
    }
}
