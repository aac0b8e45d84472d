//! Lists, and the index that they come from.

use std::sync::{Arc, atomic::Ordering};

use kork::{
    model::{
        Execution, Kind, Status,
        api::orca::{
            CancelExecution, DeleteExecution, ExecutionFilter, GetExecution, ListExecutions,
            RestartStage,
        },
    },
    ports::ObjectStore,
    rpc,
};
use serde_json::json;

use crate::{objects::Archive, world::World};

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

#[tokio::test(start_paused = true)]
async fn an_emptied_cache_is_filled_without_reading_every_execution() {
    const ENDED: usize = 1_100;
    let mut world = World::new(Vec::new()).await;
    let counting = Archive::of(Arc::clone(&world.ports.objects));
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
    // Without a status the index passes over what was shown before.
    let mut found = Vec::new();
    while found.len() < ENDED {
        let list = ListExecutions {
            offset: found.len() as u32,
            limit: Some(100),
            ..ListExecutions::default()
        };
        let page = rpc::call(&*world.ports.rpc, &list).await.unwrap();
        if page.is_empty() {
            break;
        }
        let read = |shown: &kork_model::Shown| shown.read::<Execution>().unwrap().id.to_string();
        found.extend(page.iter().map(read));
    }
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
