//! The use cases of the local provider.
//!
//! - [`world`]: what should be and what is, in memory. [`store`]: the records behind it.
//! - [`reconcile`]: the one loop that drives processes to the desired state. It takes no orders: it
//!   looks at the records, whoever changed them.
//! - [`deploy`], [`operations`], [`clusters`], [`job`]: orders. They change records and wait.
//! - [`views`], [`dry_run`]: questions. [`ports`]: what the use cases need from the machine.

pub mod clusters;
pub mod deploy;
pub mod dry_run;
pub mod job;
pub mod operations;
pub mod ports;
pub mod reconcile;
pub mod spec;
pub mod store;
pub mod views;
pub mod world;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kork::ports::Ports;
use kork_model::{Context, Kind, Problem, SuiteEvent, Timestamp, event::subject};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::{
    ports::{ArtifactSource, Processes, RunId, Traffic},
    world::World,
};
use crate::{
    config::Config,
    domain::{restart::Exit, routing::Table},
};

/// Applies of the table in one go: ports that the proxy chose make a second one necessary.
const APPLIES_MAX: usize = 4;

/// The local provider.
pub struct Driver {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) processes: Arc<dyn Processes>,
    pub(crate) traffic: Arc<dyn Traffic>,
    pub(crate) artifacts: Arc<dyn ArtifactSource>,
    world: Mutex<World>,
    /// Counts changes of the world.
    changed: watch::Sender<u64>,
    /// Calls the reconciler.
    wake: Notify,
    /// One writer of records at a time.
    writing: tokio::sync::Mutex<()>,
    applied: tokio::sync::Mutex<Applied>,
    jobs: Mutex<HashMap<RunId, watch::Sender<Option<Exit>>>>,
}

#[derive(Default)]
struct Applied {
    table: Option<Table>,
    ports: BTreeMap<String, u16>,
}

/// One order, as the use cases see it.
pub struct Order<'a> {
    /// Key of the order; the same one finds its work again.
    pub key: &'a str,
    pub application: &'a str,
    pub payload: &'a Context,
    pub deadline: Option<Timestamp>,
    /// The order was withdrawn.
    pub stop: CancellationToken,
}

/// Why an order did not succeed.
#[derive(Debug)]
pub struct Failure {
    pub problem: Problem,
    /// For the stage's context, such as `logTail`.
    pub context: Context,
}

impl From<Problem> for Box<Failure> {
    fn from(problem: Problem) -> Self {
        Self::new(Failure {
            problem,
            context: Context::new(),
        })
    }
}

/// Outputs of an order, or why there are none.
pub type Outcome = Result<Context, Box<Failure>>;

/// Why waiting ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unmet {
    Deadline,
    Withdrawn,
}

impl Driver {
    /// A driver with an empty world: [`Self::load`] fills it.
    pub fn new(
        config: Config,
        ports: Ports,
        processes: Arc<dyn Processes>,
        traffic: Arc<dyn Traffic>,
        artifacts: Arc<dyn ArtifactSource>,
    ) -> Self {
        Self {
            config,
            ports,
            processes,
            traffic,
            artifacts,
            world: Mutex::default(),
            changed: watch::Sender::new(0),
            wake: Notify::new(),
            writing: tokio::sync::Mutex::new(()),
            applied: tokio::sync::Mutex::default(),
            jobs: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// The world; never held across a wait.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn jobs(&self) -> MutexGuard<'_, HashMap<RunId, watch::Sender<Option<Exit>>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world has changed: everybody looks again.
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }

    /// Waits until `look` finds something.
    pub(crate) async fn wait<T: Send>(
        &self,
        deadline: Timestamp,
        stop: &CancellationToken,
        mut look: impl FnMut(&World) -> Option<T> + Send,
    ) -> Result<T, Unmet> {
        let mut changes = self.changed.subscribe();
        loop {
            if let Some(found) = look(&self.world()) {
                return Ok(found);
            }
            tokio::select! {
                () = stop.cancelled() => return Err(Unmet::Withdrawn),
                () = self.ports.clock.sleep_until(deadline) => return Err(Unmet::Deadline),
                changed = changes.changed() => {
                    if changed.is_err() {
                        return Err(Unmet::Withdrawn);
                    }
                }
            }
        }
    }

    /// Brings the proxy's table in line with the world. When this has returned, requests go to
    /// what the world says now and to nothing else.
    pub(crate) async fn push_table(&self) -> Result<BTreeMap<String, u16>, Problem> {
        let mut applied = self.applied.lock().await;
        for _ in 0..APPLIES_MAX {
            let table = self.world().table(&self.config.load_balancer_host);
            let all_listen = table
                .listeners
                .keys()
                .all(|name| applied.ports.contains_key(name));
            let same = applied.table.as_ref() == Some(&table) && all_listen;
            if same && (table.is_empty() || self.traffic.is_connected().await) {
                break;
            }
            applied.table = None;
            applied.ports = self.traffic.apply(&table).await?;
            applied.table = Some(table);
            if !self.keep_ports(&applied.ports).await? {
                break;
            }
        }
        Ok(applied.ports.clone())
    }

    /// Stores the ports that the proxy chose; true when there were any.
    async fn keep_ports(&self, ports: &BTreeMap<String, u16>) -> Result<bool, Problem> {
        let chosen: Vec<_> = {
            let world = self.world();
            let open = world.balancers.values().filter(|b| b.record.port == 0);
            open.filter_map(|b| Some((b.record.name.clone(), *ports.get(&b.record.name)?)))
                .collect()
        };
        let any = !chosen.is_empty();
        for (name, port) in chosen {
            self.save_balancer(&name, |balancer| balancer.port = port)
                .await?;
        }
        Ok(any)
    }

    /// Tells the world outside what changed. Losing one message loses no state, so a failure is
    /// only logged.
    pub(crate) async fn publish(
        &self,
        kind: &str,
        account: &str,
        application: &str,
        subject_id: &str,
        data: Value,
    ) {
        let event = SuiteEvent {
            id: self.ports.ids.ulid(),
            kind: format!("clouddriver:{kind}"),
            time: self.now(),
            application: Some(application.to_owned()),
            subject: Some(subject_id.to_owned()),
            data,
        };
        let Ok(payload) = serde_json::to_vec(&event) else {
            return;
        };
        let topic = format!("{}{account}", subject::CLOUDDRIVER);
        if let Err(error) = self
            .ports
            .topic
            .publish(&topic, &event.id, Bytes::from(payload))
            .await
        {
            tracing::warn!(%error, kind, "an event could not be published");
        }
    }

    /// The account with this name; the first one when none is named.
    pub(crate) fn account(&self, name: Option<&str>) -> Result<&crate::config::Account, Problem> {
        let accounts = &self.config.accounts;
        let found = match name.filter(|n| !n.is_empty()) {
            Some(name) => accounts.iter().find(|a| a.name == name),
            None => accounts.first(),
        };
        found.ok_or_else(|| {
            let known: Vec<_> = accounts.iter().map(|a| a.name.as_str()).collect();
            let name = name.unwrap_or("(none)");
            let text = format!(
                "there is no account {name}; there are: {}",
                known.join(", ")
            );
            Problem::new("CLOUDDRIVER-0002", Kind::NotFound, text)
        })
    }

    /// The last lines of all instances of a server group, or of the one that ended last.
    pub(crate) async fn log_tail(&self, group: &str, lines: usize) -> Vec<ports::LogLine> {
        let runs: Vec<RunId> = self.world().last_runs(group);
        let mut all = Vec::new();
        for run in runs {
            all.extend(self.processes.tail(&run, lines).await);
        }
        all.sort_by_key(|line| line.time);
        all.split_off(all.len().saturating_sub(lines))
    }
}

/// A length of time in milliseconds, never more than a day.
pub(crate) fn duration_ms(ms: u64) -> Duration {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    Duration::from_millis(ms.min(DAY_MS))
}
