//! Pipelines that start by the clock: each fire time once, however many keep the time, and what is made up for.

use std::time::Duration;

use kork::{
    model::{Execution, Timestamp, api::orca::TriggerHistory},
    rpc,
};
use orca::{CatchUp, CronConfig};
use serde_json::{Value, json};

use crate::world::{World, pipeline, wait};

const MINUTE_MS: u64 = 60_000;

/// At second 0 of every minute.
fn every_minute() -> Value {
    let mut timed = pipeline("timed", &[wait("1", &[], 0)]);
    timed["triggers"] = json!([{"type": "cron", "enabled": true, "id": "t",
                                "cronExpression": "0 * * * * ?"}]);
    timed
}

/// The fire times of what has run, oldest first.
fn fires(found: &[Execution]) -> Vec<Timestamp> {
    let fire = |e: &Execution| Timestamp(e.trigger["fireTime"].as_u64().unwrap());
    let mut fires: Vec<Timestamp> = found.iter().map(fire).collect();
    fires.sort_unstable();
    fires
}

fn catching_up(catch_up: CatchUp) -> orca::Config {
    orca::Config {
        cron: CronConfig {
            catch_up,
            ..CronConfig::default()
        },
        ..orca::Config::default()
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_keep_the_time_start_each_fire_time_once() {
    let world = World::new(vec![every_minute()]).await;
    let began = world.ports.clock.now();
    let _orcas = (world.orca().await, world.orca().await);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let found = world.executions().await;
    let fires = fires(&found);
    let passed = world.ports.clock.now().millis() / MINUTE_MS - began.millis() / MINUTE_MS;
    assert_eq!(fires.len() as u64, passed, "{fires:?}");
    assert!(fires.iter().all(|fire| fire.millis() % MINUTE_MS == 0));
    assert!(fires.windows(2).all(|two| two[0] < two[1]), "{fires:?}");
    for execution in &found {
        let late = execution.build_time.unwrap().millis()
            - execution.trigger["fireTime"].as_u64().unwrap();
        assert!(late < 1_000, "{late} ms late");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_made_up_for_as_configured() {
    for (catch_up, made_up) in [(CatchUp::None, 0), (CatchUp::Latest, 1), (CatchUp::All, 5)] {
        let world = World::new(vec![every_minute()]).await;
        let orca = world.orca_with(catching_up(catch_up)).await;
        tokio::time::sleep(Duration::from_mins(2)).await;
        let before = world.executions().await.len();
        orca.crash().await;
        tokio::time::sleep(Duration::from_mins(5)).await;
        let up = world.ports.clock.now();
        let _orca = world.orca_with(catching_up(catch_up)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let found = world.executions().await;
        let missed = fires(&found)[before..]
            .iter()
            .filter(|fire| **fire <= up)
            .count();
        assert_eq!(missed, made_up, "{catch_up:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_history_of_a_trigger_tells_what_started_was_missed_and_made_up_for() {
    let mut follower = pipeline("after", &[wait("1", &[], 0)]);
    follower["triggers"] = json!([{"type": "pipeline", "enabled": true, "application": "app",
                                   "pipeline": "timed", "status": ["failed"]}]);
    let world = World::new(vec![every_minute(), follower]).await;
    // Nobody watches it for five minutes; the last of them is made up for.
    let orca = world.orca_with(catching_up(CatchUp::Latest)).await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    world.until_archived().await;
    orca.crash().await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    let _orca = world.orca_with(catching_up(CatchUp::Latest)).await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    let ask = async |pipeline: &str| {
        let history = TriggerHistory {
            pipeline: pipeline.to_owned(),
        };
        rpc::call(&*world.ports.rpc, &history)
            .await
            .unwrap()
            .remove(0)
    };
    let of_clock = ask("timed").await;
    let outcomes: Vec<&str> = of_clock["starts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|start| start["outcome"].as_str().unwrap())
        .collect();
    let count = |wanted: &str| {
        outcomes
            .iter()
            .filter(|outcome| **outcome == wanted)
            .count()
    };
    assert_eq!((count("madeUp"), count("started")), (1, 3), "{outcomes:?}");
    assert!(count("missed") >= 4, "{outcomes:?}");
    let now = world.ports.clock.now().millis();
    let next = of_clock["next"].as_u64().unwrap();
    assert!((now..now + MINUTE_MS).contains(&next), "{next}");
    assert_eq!(of_clock["starts"][0]["status"], "SUCCEEDED");
    let waiting = ask("after").await;
    assert_eq!(waiting["starts"], json!([]));
    assert_eq!(waiting["lastEnd"]["status"], "SUCCEEDED");
    let because = waiting["lastEnd"]["because"].as_str().unwrap();
    assert_eq!(because, "it ended successful, the trigger wants: failed");
}
