//! The executor against a machine that only counts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::embedded::{Embedded, SeededIds, TokioClock};
use kork_model::Problem;

use super::*;
use crate::{
    app::{
        ports::{ArtifactSource, Found, LogLine, Placed, Processes, Running, Traffic},
        world::Entry,
    },
    config::Config,
    domain::{
        group::{Artifact, Capacity, Phase},
        routing::{Metrics, Table},
    },
};

/// Counts starts; everything else works at once.
#[derive(Default)]
struct Machine {
    starts: AtomicU32,
}

#[async_trait]
impl Processes for Machine {
    async fn start(&self, launch: Launch) -> Result<Running, Problem> {
        let pid = self.starts.fetch_add(1, Ordering::SeqCst);
        Ok(Running {
            id: launch.id,
            pid,
            ports: BTreeMap::new(),
            started: Timestamp(0),
            ready: false,
        })
    }
    async fn take_over(&self, _: &[ServerGroup]) -> Vec<Found> {
        Vec::new()
    }
    async fn stop(&self, _: &RunId, _: Duration) {}
    async fn tail(&self, _: &RunId, _: usize) -> Vec<LogLine> {
        Vec::new()
    }
    async fn forget(&self, _: &str) {}
}

#[async_trait]
impl Traffic for Machine {
    async fn apply(&self, _: &Table) -> Result<BTreeMap<String, u16>, Problem> {
        Ok(BTreeMap::new())
    }
    async fn is_connected(&self) -> bool {
        true
    }
    async fn idle(&self, _: Vec<String>, _: Duration) -> Result<u64, Problem> {
        Ok(0)
    }
    async fn cut(&self, _: Vec<String>) -> Result<u64, Problem> {
        Ok(0)
    }
    async fn metrics(&self) -> BTreeMap<String, Metrics> {
        BTreeMap::new()
    }
}

#[async_trait]
impl ArtifactSource for Machine {
    async fn prepare(&self, group: &str, artifact: Option<&Artifact>) -> Result<Placed, Problem> {
        self.placed(group, artifact)
    }
    fn placed(&self, _: &str, _: Option<&Artifact>) -> Result<Placed, Problem> {
        Ok(Placed {
            dir: "/".into(),
            file: None,
        })
    }
    async fn fetch(&self, _: &Artifact) -> Result<Bytes, Problem> {
        Ok(Bytes::new())
    }
    async fn remove(&self, _: &str) -> Result<(), Problem> {
        Ok(())
    }
}

fn driver(desired: u32) -> (Arc<Driver>, Arc<Machine>) {
    let clock = TokioClock::shared(Timestamp(1_000_000));
    let ids = Arc::new(SeededIds::new(1, Arc::clone(&clock)));
    let ports = Embedded::in_memory(clock, ids).ports();
    let machine = Arc::new(Machine::default());
    let driver = Driver::new(
        Config::default(),
        ports,
        Arc::clone(&machine) as Arc<dyn Processes>,
        Arc::clone(&machine) as Arc<dyn Traffic>,
        Arc::clone(&machine) as Arc<dyn ArtifactSource>,
    );
    let record = ServerGroup {
        name: "shop-v000".to_owned(),
        generation: 3,
        life: Phase::Active,
        capacity: Capacity {
            min: 0,
            max: desired,
            desired,
        },
        ..ServerGroup::default()
    };
    let entry = Entry::new(record, String::new());
    driver.world().groups.insert("shop-v000".to_owned(), entry);
    (Arc::new(driver), machine)
}

#[tokio::test(start_paused = true)]
async fn a_plan_for_an_older_generation_is_not_carried_out() {
    let (driver, machine) = driver(1);
    let step = Step::StartInstance { ordinal: 0 };
    for generation in [2, 4] {
        driver
            .carry_out("shop-v000", generation, step, &mut Vec::new())
            .await;
        assert_eq!(machine.starts.load(Ordering::SeqCst), 0, "{generation}");
    }
    driver
        .carry_out("shop-v000", 3, step, &mut Vec::new())
        .await;
    assert_eq!(machine.starts.load(Ordering::SeqCst), 1);
    let mut leaving = Vec::new();
    let stop = Step::StopInstance { ordinal: 0 };
    driver.carry_out("shop-v000", 2, stop, &mut leaving).await;
    assert!(leaving.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_pass_does_nothing_and_an_end_is_followed_by_a_start_after_its_wait() {
    let (driver, machine) = driver(2);
    driver.pass().await;
    assert_eq!(driver.pass().await, None);
    assert_eq!(machine.starts.load(Ordering::SeqCst), 2);
    let id = RunId {
        group: "shop-v000".to_owned(),
        ordinal: 1,
        run: 1,
    };
    let news = News::Exited {
        exit: Exit::Code { code: 1 },
        because: None,
    };
    driver.observe(Notice { id, news }).await;
    let again = driver.pass().await.expect("a moment of the next start");
    assert_eq!(again, driver.now().plus_ms(500));
    assert_eq!(machine.starts.load(Ordering::SeqCst), 2);
    driver.ports.clock.sleep_until(again).await;
    driver.pass().await;
    assert_eq!(machine.starts.load(Ordering::SeqCst), 3);
}
