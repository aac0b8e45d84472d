//! A cache that refuses, answers late or is emptied, at any of its calls: nothing but speed may change.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::{
    model::{Execution, Kind, Problem, Status, api::orca::ListExecutions},
    ports::{Cache, CacheError, Writes},
    rpc,
};
use serde_json::{Value, json};

use crate::world::World;

/// What happens at one call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Strike {
    /// It is refused, and nothing is done.
    Refused,
    /// It is done, and refused all the same.
    Unanswered,
    /// The cache is empty before it.
    Emptied,
}

struct Unsteady {
    inner: Arc<dyn Cache>,
    away: AtomicBool,
    asked: AtomicUsize,
    strike: Mutex<Option<(usize, Strike)>>,
}

impl Unsteady {
    /// The world gets a cache that can be struck.
    fn of(world: &mut World) -> Arc<Self> {
        let unsteady = Arc::new(Self {
            inner: Arc::clone(&world.ports.cache),
            away: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            strike: Mutex::new(None),
        });
        world.ports.cache = Arc::clone(&unsteady) as Arc<dyn Cache>;
        unsteady
    }

    /// Strikes after as many further calls.
    fn strike_after(&self, calls: usize, strike: Strike) {
        let at = self.asked.load(Ordering::Relaxed) + calls;
        *self.strike.lock().unwrap() = Some((at, strike));
    }

    /// It has not struck yet, and does not any more.
    fn was_spared(&self) -> bool {
        self.strike.lock().unwrap().take().is_some()
    }

    fn be_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    async fn before(&self) -> Result<Option<Strike>, CacheError> {
        let call = self.asked.fetch_add(1, Ordering::Relaxed);
        let due = self.strike.lock().unwrap().take_if(|(at, _)| *at == call);
        let strike = due.map(|(_, strike)| strike);
        if self.away.load(Ordering::Relaxed) || strike == Some(Strike::Refused) {
            return Err(refused());
        }
        if strike == Some(Strike::Emptied) {
            self.inner.flush().await?;
        }
        Ok(strike)
    }

    async fn around<T>(
        &self,
        call: impl Future<Output = Result<T, CacheError>>,
    ) -> Result<T, CacheError> {
        let strike = self.before().await?;
        let answer = call.await?;
        if strike == Some(Strike::Unanswered) {
            return Err(refused());
        }
        Ok(answer)
    }
}

fn refused() -> CacheError {
    CacheError::Unavailable {
        reason: "the test struck".to_owned(),
    }
}

#[async_trait]
impl Cache for Unsteady {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.around(self.inner.get(key)).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, CacheError> {
        self.around(self.inner.get_many(keys)).await
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), CacheError> {
        self.around(self.inner.put(key, value, ttl)).await
    }

    async fn delete(&self, key: &str) -> Result<(), CacheError> {
        self.around(self.inner.delete(key)).await
    }

    async fn index_put(&self, index: &str, member: &str, score: u64) -> Result<(), CacheError> {
        self.around(self.inner.index_put(index, member, score))
            .await
    }

    async fn index_remove(&self, index: &str, member: &str) -> Result<(), CacheError> {
        self.around(self.inner.index_remove(index, member)).await
    }

    async fn write(&self, writes: Writes) -> Result<(), CacheError> {
        // Struck in the middle, a part of it is done.
        for (index, members) in &writes.puts {
            for (member, score) in members {
                self.index_put(index, member, *score).await?;
            }
        }
        for (index, members) in &writes.removes {
            for member in members {
                self.index_remove(index, member).await?;
            }
        }
        for (key, value) in writes.values {
            self.put(&key, value, None).await?;
        }
        Ok(())
    }

    async fn index_newest(
        &self,
        index: &str,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, CacheError> {
        self.around(self.inner.index_newest(index, offset, limit))
            .await
    }

    async fn index_len(&self, index: &str) -> Result<usize, CacheError> {
        self.around(self.inner.index_len(index)).await
    }

    async fn flush(&self) -> Result<(), CacheError> {
        self.inner.flush().await
    }
}

fn waits(seconds: u64) -> Value {
    json!({"application": "app", "name": "p", "stages": [
        {"refId": "1", "type": "wait", "waitTime": seconds}]})
}

/// Ids and statuses, newest first.
async fn listed(world: &World, statuses: &[&str]) -> Result<Vec<(String, Status)>, Problem> {
    let mut list = ListExecutions::default();
    list.filter.application = Some("app".to_owned());
    list.filter.statuses = statuses.iter().map(|s| (*s).to_owned()).collect();
    let found = rpc::call(&*world.ports.rpc, &list).await?;
    let executions = found.iter().map(|e| e.read::<Execution>().unwrap());
    Ok(executions.map(|e| (e.id.to_string(), e.status)).collect())
}

/// Both the list of all and the one of what runs are whole.
async fn all_are_listed(world: &World, expected: &[(String, Status)]) {
    assert_eq!(listed(world, &[]).await.unwrap(), expected);
    let running = expected.iter().filter(|(_, status)| !status.is_complete());
    let running: Vec<_> = running.cloned().collect();
    assert_eq!(listed(world, &["RUNNING"]).await.unwrap(), running);
}

#[tokio::test(start_paused = true)]
async fn what_a_cache_missed_while_it_was_away_is_listed_when_it_is_back() {
    for crashes in [false, true] {
        let mut world = World::new(Vec::new()).await;
        let cache = Unsteady::of(&mut world);
        let mut orca = world.orca().await;
        let before = world.start(waits(3_600)).await;
        world.until(&before, Status::Running).await;
        all_are_listed(&world, &[(before.clone(), Status::Running)]).await;
        cache.be_away(true);
        let ends = world.start(waits(0)).await;
        let runs = world.start(waits(3_600)).await;
        world.until(&ends, Status::Succeeded).await;
        world.until(&runs, Status::Running).await;
        let refused = listed(&world, &[]).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unavailable, "{refused}");
        assert!(refused.to_string().contains("the test struck"), "{refused}");
        if crashes {
            orca.crash().await;
            orca = world.orca().await;
        }
        cache.be_away(false);
        let expected = [
            (runs, Status::Running),
            (ends.clone(), Status::Succeeded),
            (before, Status::Running),
        ];
        all_are_listed(&world, &expected).await;
        let log = format!("execution.{ends}");
        world.until_has_no_log(&log).await;
        all_are_listed(&world, &expected).await;
        orca.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_whole_or_refused_wherever_the_cache_is_struck() {
    let mut world = World::new(Vec::new()).await;
    let cache = Unsteady::of(&mut world);
    let _orca = world.orca().await;
    let mut expected = Vec::new();
    for n in 0..6 {
        let (seconds, status) = match n % 3 {
            0 => (3_600_000, Status::Running),
            _ => (0, Status::Succeeded),
        };
        let id = world.start(waits(seconds)).await;
        world.until(&id, status).await;
        expected.insert(0, (id, status));
    }
    for strike in [Strike::Refused, Strike::Unanswered, Strike::Emptied] {
        let mut struck = 0;
        loop {
            world.ports.cache.flush().await.unwrap();
            cache.strike_after(struck, strike);
            match listed(&world, &[]).await {
                Ok(found) => assert_eq!(found, expected, "{strike:?} after {struck}"),
                Err(refused) => assert_eq!(refused.kind, Kind::Unavailable, "{refused}"),
            }
            let is_over = cache.was_spared();
            all_are_listed(&world, &expected).await;
            if is_over {
                break;
            }
            struck += 1;
        }
        assert!(struck > 40, "the index is built with {struck} calls only");
    }
}

#[tokio::test(start_paused = true)]
async fn an_execution_is_listed_wherever_the_cache_was_struck_while_it_ran() {
    let mut world = World::new(Vec::new()).await;
    let cache = Unsteady::of(&mut world);
    let _orca = world.orca().await;
    let mut expected = Vec::new();
    for strike in [Strike::Refused, Strike::Unanswered, Strike::Emptied] {
        let mut struck = 0;
        loop {
            cache.strike_after(struck, strike);
            let id = world.start(waits(0)).await;
            world.until(&id, Status::Succeeded).await;
            world.until_archived().await;
            expected.insert(0, (id, Status::Succeeded));
            let is_over = cache.was_spared();
            all_are_listed(&world, &expected).await;
            if is_over {
                break;
            }
            struck += 1;
        }
        assert!(struck > 5, "an execution is put with {struck} calls only");
    }
}
