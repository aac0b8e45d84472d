//! Processes of this machine: started in groups of their own, watched, found again after a restart.
//!
//! - [`spawn`]: from a launch to a process. [`ports`]: free ports, held until the start.
//! - [`watch`]: probes and the end of a run. [`probe`]: one probe.
//! - [`identity`]: which process a pid means. [`sweep`]: ending all that is left of a run.
//! - [`logs`]: output in files. [`record`]: what is remembered of a run. [`unrecorded`]: what runs and
//!   is in no record.

mod identity;
mod logs;
mod ports;
mod probe;
mod record;
mod spawn;
mod sweep;
mod unrecorded;
mod watch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use kork::ports::{Clock, Ids};
use kork_model::Problem;
use tokio::sync::{mpsc, watch as cell};

use self::{logs::LogDir, ports::PortPool, probe::Prober, record::Record, watch::Watched};
use crate::{
    app::ports::{Found, Launch, LogLine, Notice, Processes, RunId, Running},
    config::Config,
    domain::{group::ServerGroup, restart::Exit},
};

/// Notices that wait for the reconciler.
pub(crate) const NOTICES_MAX: usize = 4096;
/// Pause between looks at a process that is no child of this one.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The machine's processes, with their records under one directory.
pub(crate) struct LocalProcesses {
    shared: Arc<Shared>,
}

/// What every watcher needs.
struct Shared {
    dir: Utf8PathBuf,
    config: Config,
    clock: Arc<dyn Clock>,
    logs: LogDir,
    ports: PortPool,
    prober: Prober,
    notices: mpsc::Sender<Notice>,
    runs: Mutex<HashMap<RunId, Handle>>,
}

/// A run that is being watched.
#[derive(Clone)]
struct Handle {
    pid: u32,
    ended: cell::Receiver<Option<Exit>>,
}

impl LocalProcesses {
    /// Watches processes under `config.data_dir`; tells `notices` what happens to them.
    pub(crate) fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        notices: mpsc::Sender<Notice>,
    ) -> Result<Self, std::io::Error> {
        std::fs::create_dir_all(&config.data_dir)?;
        let dir = Utf8Path::new(&config.data_dir).canonicalize_utf8()?;
        std::fs::create_dir_all(dir.join(record::DIR))?;
        let logs = LogDir::new(dir.join("logs"), config.logs.clone())?;
        let shared = Shared {
            ports: PortPool::new(config.instance_ports, ids),
            prober: Prober::default(),
            config: config.clone(),
            dir,
            clock,
            logs,
            notices,
            runs: Mutex::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }
}

impl Shared {
    fn runs(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Handle>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a run under watch; from here on its end is noticed.
    fn watch(self: &Arc<Self>, watched: Watched) {
        let (ended, receiver) = cell::channel(None);
        let handle = Handle {
            pid: watched.record.pid,
            ended: receiver,
        };
        self.runs().insert(watched.record.id.clone(), handle);
        tokio::spawn(watch::watch(Arc::clone(self), watched, ended));
    }
}

#[async_trait]
impl Processes for LocalProcesses {
    async fn start(&self, launch: Launch) -> Result<Running, Problem> {
        let shared = &self.shared;
        let (child, record) = spawn::spawn(shared, &launch)?;
        let running = record.running();
        shared.watch(Watched {
            record,
            child: Some(child),
            dir: launch.dir,
            env: launch.env,
            health: launch.health,
            liveness: launch.liveness,
        });
        Ok(running)
    }

    async fn take_over(&self, groups: &[ServerGroup]) -> Vec<Found> {
        let shared = &self.shared;
        let (dir, known, now) = (shared.dir.clone(), groups.to_vec(), shared.clock.now());
        let written =
            tokio::task::spawn_blocking(move || unrecorded::write_down(&dir, &known, now)).await;
        if let Err(error) = written {
            tracing::error!(%error, "what runs could not be written down");
        }
        let mut found = Vec::new();
        let mut live = Vec::new();
        for record in Record::all(&shared.dir) {
            let Some(group) = groups.iter().find(|g| g.name == record.id.group) else {
                record.remove(&shared.dir);
                continue;
            };
            if !record.is_alive() {
                found.push(Found::Ended(record.id));
                continue;
            }
            live.push(record.id.clone());
            found.push(Found::Live(record.running()));
            shared.ports.keep(record.ports.values().copied());
            shared.watch(Watched {
                dir: spawn::dir_of(record.pid).unwrap_or_else(|| shared.dir.clone()),
                record,
                child: None,
                env: group.spec.env.clone(),
                health: group.spec.health.clone(),
                liveness: group.spec.liveness.clone(),
            });
        }
        let (dir, grace) = (shared.dir.clone(), shared.config.stop_grace_ms);
        tokio::spawn(async move {
            sweep::strangers(&dir, &live, Duration::from_millis(grace)).await;
        });
        found
    }

    async fn stop(&self, id: &RunId, grace: Duration) {
        let handle = self.shared.runs().get(id).cloned();
        if let Some(mut handle) = handle {
            sweep::terminate_group(handle.pid);
            let ended = handle.ended.wait_for(Option::is_some);
            if tokio::time::timeout(grace, ended).await.is_err() {
                tracing::info!(run = %id, grace_ms = grace.as_millis() as u64, "does not stop by itself, killed");
            }
            sweep::kill_all(&self.shared.dir, id, handle.pid).await;
            // A process that was killed ends; its watcher says so.
            if handle.ended.wait_for(Option::is_some).await.is_err() {
                tracing::debug!(run = %id, "its watcher ended first");
            }
        }
        self.shared.runs().remove(id);
    }

    async fn tail(&self, id: &RunId, lines: usize) -> Vec<LogLine> {
        let (shared, id) = (Arc::clone(&self.shared), id.clone());
        let tail = tokio::task::spawn_blocking(move || shared.logs.tail(&id, lines)).await;
        tail.unwrap_or_default()
    }

    async fn forget(&self, group: &str) {
        for record in Record::all(&self.shared.dir) {
            if record.id.group == group {
                record.remove(&self.shared.dir);
            }
        }
        let now = self.shared.clock.now();
        self.shared.logs.retire(group, now);
    }
}
