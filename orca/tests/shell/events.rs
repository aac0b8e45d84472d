//! Events from outside, and pipelines that wait for others: each starts once, whoever dies.

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
    model::{
        Execution, InboundEvent, Status,
        api::{igor::CompleteEvent, orca::ReceiveEvents},
        inbound::EventKind,
    },
    ports::{Journal, JournalError, Revision},
    rpc,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    journal::{Appends, Handled},
    world::{Orca, World, pipeline, wait},
};

pub(crate) fn push(id: &str, branch: &str) -> InboundEvent {
    InboundEvent {
        id: id.to_owned(),
        kind: EventKind::Webhook,
        sender: "webhook".to_owned(),
        source: "ci".to_owned(),
        branch: Some(branch.to_owned()),
        payload: json!({"branch": branch}).as_object().unwrap().clone(),
        ..InboundEvent::default()
    }
}

pub(crate) fn hooked(id: &str, seconds: u64) -> Value {
    let mut hooked = pipeline(id, &[wait("1", &[], seconds)]);
    hooked["triggers"] = json!([{"type": "webhook", "enabled": true, "source": "ci",
                                 "payloadConstraints": {"branch": "^main$"}}]);
    hooked
}

/// A pipeline that follows another one when it ends as named.
pub(crate) fn follower(id: &str, of: &str, status: &str) -> Value {
    let mut follower = pipeline(id, &[wait("1", &[], 0)]);
    follower["triggers"] = json!([{"type": "pipeline", "enabled": true, "application": "app",
                                   "pipeline": of, "status": [status]}]);
    follower
}

impl World {
    pub(crate) async fn send(&self, events: &[InboundEvent]) {
        let events = events.to_vec();
        rpc::call(&*self.ports.rpc, &ReceiveEvents { events })
            .await
            .unwrap();
    }

    pub(crate) async fn until_there_are(&self, count: usize) -> Vec<Execution> {
        for _ in 0..10_000 {
            let found = self.executions().await;
            if found.len() == count && found.iter().all(|e| e.status.is_complete()) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} executions, not {count}", self.executions().await.len());
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_starts_its_pipelines_once_however_often_it_is_sent() {
    let world = World::new(vec![hooked("a", 0), hooked("b", 0)]).await;
    let _orcas = (world.orca().await, world.orca().await);
    for _ in 0..4 {
        world
            .send(&[push("e1", "main"), push("e2", "dev"), push("e3", "main")])
            .await;
    }
    let found = world.until_there_are(4).await;
    world.until_archived().await;
    // What is archived is known all the same.
    world.send(&[push("e1", "main")]).await;
    world.until_has_no_log("inbox.").await;
    assert_eq!(world.executions().await.len(), 4);
    let mut started: Vec<_> = found
        .iter()
        .map(|e| (e.name.clone().unwrap(), e.trigger["eventId"].clone()))
        .collect();
    started.sort_by_key(|(name, event)| format!("{name}{event}"));
    let expected = [("a", "e1"), ("a", "e3"), ("b", "e1"), ("b", "e3")];
    assert_eq!(
        started,
        expected.map(|(name, event)| (name.to_owned(), json!(event)))
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_starts_although_the_taker_dies_before_it_starts_anything() {
    for others in [false, true] {
        let world = World::new(vec![hooked("a", 0)]).await;
        let taker = world.orca().await;
        let mut alive = Vec::new();
        if others {
            alive.push(world.orca().await);
        }
        // Nobody is there to complete them, so they wait.
        for n in 0..20 {
            let mut event = push(&format!("e{n}"), "main");
            event.incomplete = true;
            event.received = world.ports.clock.now();
            world.send(&[event]).await;
        }
        let taken = world.ports.journal.subjects("inbox.").await.unwrap();
        assert_eq!(taken.len(), 1 + usize::from(others), "{taken:?}");
        assert!(world.executions().await.is_empty());
        taker.crash().await;
        if !others {
            alive.push(world.orca().await);
        }
        let completes = rpc::serve(&*world.ports.rpc, |request: CompleteEvent| async move {
            let mut event = request.event;
            event.incomplete = false;
            Ok(Some(event))
        });
        let _igor = completes.await.unwrap();
        world.until_there_are(20).await;
        world.until_has_no_log("inbox.").await;
        assert_eq!(world.executions().await.len(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_start_at_once_is_kept_and_starts_when_it_can() {
    let world = World::new(vec![hooked("a", 0)]).await;
    let halting = Halting::of(&world);
    let mut ports = world.ports.clone();
    ports.journal = Arc::new(Handled(Arc::clone(&halting)));
    let _orca = world.orca_on(ports).await;
    world.send(&[push("e1", "main")]).await;
    let kept = world.ports.journal.subjects("inbox.").await.unwrap();
    assert_eq!(
        kept.len(),
        1,
        "it was answered, and neither started nor kept"
    );
    halting.go_on();
    world.until_there_are(1).await;
    world.until_has_no_log("inbox.").await;
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_pipeline_starts_those_that_wait_for_it() {
    let failing = json!({"refId": "1", "type": "checkPreconditions", "preconditions": [
        {"type": "expression", "context": {"expression": "false"}}]});
    let world = World::new(vec![
        follower("ok", "first", "successful"),
        follower("bad", "first", "failed"),
        follower("chain", "ok", "successful"),
    ])
    .await;
    let orca = world.orca().await;
    let id = world.start(pipeline("first", &[wait("1", &[], 0)])).await;
    let found = world.until_there_are(3).await;
    let ok = found
        .iter()
        .find(|e| e.name.as_deref() == Some("ok"))
        .unwrap();
    assert_eq!(ok.trigger["type"], "pipeline");
    assert_eq!(ok.trigger["parentExecution"]["id"], json!(id));
    world.start(pipeline("first", &[failing])).await;
    let found = world.until_there_are(5).await;
    assert!(found.iter().any(|e| e.name.as_deref() == Some("bad")));
    world.until_archived().await;
    // A new process finds nothing more to start.
    orca.crash().await;
    let _orca = world.orca().await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(world.executions().await.len(), 5);
}

/// A journal whose appends to executions wait, as in a process that is halted between two steps.
pub(crate) struct Halting {
    inner: Arc<dyn Journal>,
    halts: AtomicBool,
    is_halted: AtomicBool,
    goes_on: Notify,
    /// What is appended then is the last that the process does.
    dies: AtomicBool,
}

impl Halting {
    pub(crate) fn of(world: &World) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(&world.ports.journal),
            halts: AtomicBool::new(true),
            is_halted: AtomicBool::new(false),
            goes_on: Notify::new(),
            dies: AtomicBool::new(false),
        })
    }

    fn go_on(&self) {
        self.halts.store(false, Ordering::Relaxed);
        self.goes_on.notify_waiters();
    }
}

#[async_trait]
impl Appends for Halting {
    fn inner(&self) -> &Arc<dyn Journal> {
        &self.inner
    }

    async fn append(
        &self,
        subject: &str,
        expected: Revision,
        payload: Bytes,
    ) -> Result<Revision, JournalError> {
        if self.halts.load(Ordering::Relaxed) {
            self.is_halted.store(true, Ordering::Relaxed);
            self.goes_on.notified().await;
        }
        let appended = self.inner.append(subject, expected, payload).await;
        if self.dies.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        appended
    }
}

/// An orca that was halted between looking and writing, and what another one made meanwhile and archived.
async fn halted_and_outrun(world: &World) -> (Arc<Halting>, Orca, Execution) {
    let halting = Halting::of(world);
    let mut ports = world.ports.clone();
    ports.journal = Arc::new(Handled(Arc::clone(&halting)));
    let halted = world.orca_on(ports).await;
    while !halting.is_halted.load(Ordering::Relaxed) {
        world.send(&[push("e1", "main")]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let other = world.orca().await;
    while world.executions().await.is_empty() {
        world.send(&[push("e1", "main")]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let first = world.until_there_are(1).await.remove(0);
    world.until_archived().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    other.crash().await;
    (halting, halted, first)
}

#[tokio::test(start_paused = true)]
async fn one_that_was_halted_does_not_start_again_what_ended_meanwhile() {
    let world = World::new(vec![hooked("a", 0)]).await;
    let (halting, _halted, first) = halted_and_outrun(&world).await;
    halting.go_on();
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.until_archived().await;
    let now = world.until_there_are(1).await.remove(0);
    assert_eq!(now.status, Status::Succeeded);
    assert_eq!(now.start_time, first.start_time, "it ran again");
}

#[tokio::test(start_paused = true)]
async fn what_one_wrote_that_died_before_it_could_ask_the_archive_does_not_run() {
    let world = World::new(vec![hooked("a", 0)]).await;
    let (halting, halted, first) = halted_and_outrun(&world).await;
    halting.dies.store(true, Ordering::Relaxed);
    halting.go_on();
    while world
        .ports
        .journal
        .subjects("execution.")
        .await
        .unwrap()
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    halted.crash().await;
    let _next = world.orca().await;
    world.until_archived().await;
    let now = world.until_there_are(1).await.remove(0);
    assert_eq!(now.status, Status::Succeeded);
    assert_eq!(now.start_time, first.start_time, "it ran again");
}

#[tokio::test(start_paused = true)]
async fn an_event_starts_the_definition_that_was_told_of_last_also_while_front50_is_away() {
    let named = |name: &str| {
        let mut definition = hooked("a", 0);
        definition["stages"][0]["name"] = json!(name);
        definition
    };
    let world = World::new(vec![named("version 0")]).await;
    let _orcas = (world.orca().await, world.orca().await);
    let mut sent = 0;
    for version in 1..=5_u32 {
        let name = format!("version {version}");
        world
            .front50
            .change(&world.ports, named(&name), version)
            .await;
        // Whichever of the two takes an event, it hears of the change in a moment.
        let mut in_a_row = 0;
        while in_a_row < 4 {
            sent += 1;
            world.send(&[push(&format!("e{sent}"), "main")]).await;
            let newest = world.until_there_are(sent).await;
            let event = json!(format!("e{sent}"));
            let newest = newest.iter().find(|e| e.trigger["eventId"] == event);
            let is_new = newest.unwrap().stages[0].name == name;
            in_a_row = if is_new { in_a_row + 1 } else { 0 };
            assert!(sent < 100, "{name} is never started");
        }
    }
    world.front50.is_away(true);
    for _ in 0..4 {
        sent += 1;
        world.send(&[push(&format!("e{sent}"), "main")]).await;
    }
    let all = world.until_there_are(sent).await;
    let of_newest = all.iter().filter(|e| e.stages[0].name == "version 5");
    assert!(of_newest.count() >= 8);
}
