//! More ends than the archive takes at once, and an orca that dies behind them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use kork::ports::ObjectStore;

use crate::{
    events::{follower, hooked, push},
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
