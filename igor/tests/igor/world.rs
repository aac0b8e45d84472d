//! What the tests run in.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kork::{
    embedded::{Embedded, SeededIds, SystemClock},
    ports::{Clock, Delivery, Ports, Registration},
    rpc,
    service::Chassis,
};
use kork_model::{
    InboundEvent, Kind, Problem, WorkReport,
    api::{
        igor::{DeliveryRecord, DeliveryTaken, ListDeliveries, RawBody, ReceiveDelivery},
        orca::ReceiveEvents,
    },
    work,
};

use crate::faulty::{Faults, faulty};

/// How long a report may be held before it comes again.
const LEASE: Duration = Duration::from_secs(30);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) ports: Ports,
    pub(crate) dir: tempfile::TempDir,
    /// What orca was given.
    pub(crate) stored: Arc<Mutex<Vec<InboundEvent>>>,
    /// Orca refuses.
    pub(crate) is_away: Arc<AtomicBool>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) chassis: Chassis,
    _orca: Box<dyn Registration>,
}

impl World {
    /// An igor with these accounts in its file.
    pub(crate) async fn new(accounts: &impl ToString) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = Arc::new(SeededIds::new(5, Arc::clone(&clock)));
        let (ports, faults) = faulty(Embedded::in_memory(clock, ids).ports());
        let stored: Arc<Mutex<Vec<InboundEvent>>> = Arc::default();
        let is_away = Arc::new(AtomicBool::new(false));
        let (kept, away) = (Arc::clone(&stored), Arc::clone(&is_away));
        let orca = rpc::serve(&*ports.rpc, move |request: ReceiveEvents| {
            let (kept, away) = (Arc::clone(&kept), Arc::clone(&away));
            async move {
                if away.load(Ordering::Relaxed) {
                    return Err(Problem::new("KORK-0008", Kind::Unavailable, "not now"));
                }
                kept.lock().unwrap().extend(request.events);
                Ok(())
            }
        });
        let orca = orca.await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("accounts.yaml");
        std::fs::write(&file, accounts.to_string()).unwrap();
        let chassis = Chassis::default();
        let config = igor::Config {
            accounts_file: Some(file),
            ..igor::Config::default()
        };
        let (own, on) = (chassis.clone(), ports.clone());
        tokio::spawn(async move { igor::run(config, on, own).await.unwrap() });
        let world = Self {
            ports,
            dir,
            stored,
            is_away,
            faults,
            chassis,
            _orca: orca,
        };
        eventually("igor is ready", async || {
            let report = world.chassis.health.report();
            (report.parts.get("igor.events").is_some_and(|p| p == "UP")).then_some(())
        })
        .await;
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Sends a body under a path with headers.
    pub(crate) async fn send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<DeliveryTaken, Problem> {
        let (kind, source) = path.split_once('/').unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let delivery = ReceiveDelivery {
            kind: kind.to_owned(),
            source: source.to_owned(),
            headers: headers.collect::<BTreeMap<_, _>>(),
            body: RawBody::Text(body.to_owned()),
            ..ReceiveDelivery::default()
        };
        rpc::call(&*self.ports.rpc, &delivery).await
    }

    /// What is looked for in the reports that come; they are taken.
    pub(crate) async fn report<T>(&self, find: impl Fn(&WorkReport) -> Option<T>) -> T {
        eventually("it is reported", async || {
            let queue = &self.ports.queue;
            let wait = Duration::from_millis(100);
            let reports = queue.pull(work::REPORTS, 16, LEASE, wait).await.unwrap();
            let mut found = None;
            for Delivery { payload, lease, .. } in reports {
                queue.ack(&lease).await.unwrap();
                let report: WorkReport = serde_json::from_slice(&payload).unwrap();
                found = found.or(find(&report));
            }
            found
        })
        .await
    }

    pub(crate) fn stored(&self) -> Vec<InboundEvent> {
        self.stored.lock().unwrap().clone()
    }

    /// The newest delivery.
    pub(crate) async fn last(&self) -> DeliveryRecord {
        let newest = ListDeliveries {
            source: None,
            limit: 1,
        };
        let newest = rpc::call(&*self.ports.rpc, &newest).await.unwrap();
        newest.into_iter().next().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.chassis.shutdown.abort();
    }
}

/// Asks until there is something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} does not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
