//! More ends than the archive takes at once, and an orca that dies behind them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use kork::ports::{Journal, ObjectStore};
use serde_json::{Value, json};

use crate::{
    events::{follower, hooked, push},
    journal::{Appends, Handled},
    objects::Archive,
    world::World,
};

#[tokio::test(start_paused = true)]
async fn what_a_dead_orca_ended_long_ago_is_archived_and_followed_by_another_one() {
    const EVENTS: usize = 16;
    let world = World::new(vec![hooked("a", 0), follower("b", "a", "successful")]).await;
    let full = Archive::of(Arc::clone(&world.ports.objects));
    full.is_full.store(true, Ordering::Relaxed);
    let mut ports = world.ports.clone();
    ports.objects = Arc::clone(&full) as Arc<dyn ObjectStore>;
    let dies = world.orca_on(ports).await;
    let _stays = world.orca().await;
    for n in 0..EVENTS {
        world.send(&[push(&format!("e{n}"), "main")]).await;
    }
    // Long enough that what has ended counts as archived.
    tokio::time::sleep(Duration::from_mins(2)).await;
    let left = world.ports.journal.subjects("execution.").await.unwrap();
    assert!(left.len() >= EVENTS / 4, "{} wait", left.len());
    dies.crash().await;
    world.until_archived().await;
    world.until_there_are(2 * EVENTS).await;
}

/// A server that is not in this process: it answers later.
struct Remote(Arc<dyn Journal>);

#[async_trait]
impl Appends for Remote {
    fn inner(&self) -> &Arc<dyn Journal> {
        &self.0
    }

    async fn before_read(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Ids that a sum of the kind `31 * sum + byte` does not tell apart.
fn alike(count: usize) -> Vec<String> {
    let word = |n: usize| (0..8).map(move |bit| if n >> bit & 1 == 0 { "Aa" } else { "BB" });
    (0..count).map(|n| word(n).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn executions_that_share_a_lock_and_are_not_in_the_index_keep_no_orca_from_being_ready() {
    let world = World::new(vec![]).await;
    let first = world.orca().await;
    let ids = alike(200);
    for id in &ids {
        let waits: Value = json!({
            "application": "app", "name": "waits", "trigger": {"type": "manual", "executionId": id},
            "stages": [{"refId": "1", "type": "wait", "waitTime": 86_400}],
        });
        assert_eq!(world.start(waits).await, *id);
    }
    first.crash().await;
    // As after an end between the append and the index.
    for id in &ids {
        let row = format!("orca.row.{id}");
        world.ports.cache.delete(&row).await.unwrap();
    }
    let mut ports = world.ports.clone();
    ports.journal = Arc::new(Handled(Arc::new(Remote(Arc::clone(&world.ports.journal)))));
    let ready = tokio::time::timeout(Duration::from_mins(10), world.orca_on(ports));
    let _second = ready.await.expect("it is ready");
    assert_eq!(world.executions().await.len(), ids.len());
}
