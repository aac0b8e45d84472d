//! The suite in one process: configuration -> ports -> services in order -> ready.
//!
//! Gate's address is bound first, so that a port in use is told before anything starts, and served
//! last, so that whoever reaches it finds all services behind it.

use std::{net::SocketAddr, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use kork::{
    embedded::{Embedded, OpenError},
    ports::Ports,
    service::{Chassis, management, telemetry},
};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};

use crate::{args::SuiteArgs, client::Failure, config, leftovers, signals::StopSignals};

/// Time for a soft stop; what is not done by then is cut off and goes on at the next start.
const STOP_GRACE: Duration = Duration::from_secs(8);
/// The same where server groups were ended before.
const STOP_ALL_GRACE: Duration = Duration::from_secs(5);
/// Time for a start that is not wanted any more to come to its end.
const START_GRACE: Duration = Duration::from_secs(1);
/// Time for all services to become ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause between two looks at the health of the parts.
const READY_LOOK_MS: u64 = 5;
/// Parts that must be ready before gate serves, by the first word of their names.
const SERVICES: [&str; 4] = ["front50.", "clouddriver.", "igor.", "orca."];

/// How a suite is started.
pub(crate) struct Options {
    file: Option<Utf8PathBuf>,
    flags: Value,
    ephemeral: bool,
    /// Lines of the log when nobody says which.
    log_filter: &'static str,
    /// When the usual port of gate is in use and nobody asked for it, a free one does.
    may_move: bool,
}

impl Options {
    /// For `gennaker up`.
    pub(crate) fn for_up(args: &SuiteArgs, health_port: Option<u16>) -> Self {
        Self {
            file: args.config.clone(),
            flags: config::flags(args, health_port),
            ephemeral: args.ephemeral,
            log_filter: "info,actix_server=warn",
            may_move: false,
        }
    }

    /// Sets a value as a flag would: `igor.accountsFile`.
    pub(crate) fn set(&mut self, path: &str, value: Value) {
        let mut place = &mut self.flags;
        for name in path.split('.') {
            place = &mut place[name];
        }
        *place = value;
    }

    /// For the demo, whose story the log must not cut in pieces, and which runs beside others.
    pub(crate) fn for_demo(args: &SuiteArgs) -> Self {
        Self {
            log_filter: "error",
            may_move: true,
            ..Self::for_up(args, None)
        }
    }
}

/// A running suite.
pub(crate) struct Suite {
    chassis: Chassis,
    ports: Ports,
    gate: SocketAddr,
    health: SocketAddr,
    data_dir: Utf8PathBuf,
    /// Directory of clouddriver's processes.
    processes: Utf8PathBuf,
    /// Removes the data when it is dropped.
    temporary: Option<tempfile::TempDir>,
    failures: Mutex<mpsc::Receiver<Failure>>,
    /// Lets go of the data directory when it is dropped.
    embedded: Embedded,
    log: telemetry::Guard,
}

impl Suite {
    /// Starts everything; when this returns, gate answers.
    pub(crate) async fn start(options: Options) -> Result<Self, Failure> {
        let loaded = config::load(options.file.as_deref(), options.flags)?;
        let may_move = options.may_move && !config::is_chosen(&loaded, "gate.port");
        let mut config = loaded.config;
        let log = start_log(&config.log, options.log_filter)?;
        let (data_dir, temporary) = data_dir(&config.data_dir, options.ephemeral)?;
        if config.clouddriver.data_dir == clouddriver::Config::default().data_dir {
            config.clouddriver.data_dir = data_dir.join("clouddriver").into_string();
        }
        let processes = Utf8PathBuf::from(&config.clouddriver.data_dir);
        let embedded = Embedded::open(&data_dir).map_err(|e| not_opened(&e))?;
        let chassis = Chassis::default();
        chassis.metrics.add_process();
        let ports = embedded.ports().measured(&chassis.metrics);
        let (failed, failures) = mpsc::channel(SERVICES.len() + 1);

        let gate = bind(config.gate, may_move, &ports, &chassis).map_err(|e| not_bound(&e))?;
        let address = gate.addr();
        let loopback = SocketAddr::from(([127, 0, 0, 1], config.health_port));
        let health = management::start(loopback, &chassis).map_err(|e| Failure::InUse {
            detail: format!("health and metrics cannot listen on {loopback}: {e}"),
            next: "free the port, or choose another with --health-port".to_owned(),
        })?;
        let service = Service {
            chassis: chassis.clone(),
            failed,
        };
        service.spawn(
            "front50",
            front50::run(config.front50, ports.clone(), chassis.clone()),
        );
        service.spawn(
            "clouddriver",
            clouddriver::run(config.clouddriver, ports.clone(), chassis.clone()),
        );
        service.spawn(
            "igor",
            igor::run(config.igor, ports.clone(), chassis.clone()),
        );
        service.spawn(
            "orca",
            orca::run(config.orca, ports.clone(), chassis.clone()),
        );
        let suite = Self {
            chassis,
            ports,
            gate: address,
            health,
            data_dir,
            processes,
            temporary,
            failures: Mutex::new(failures),
            embedded,
            log,
        };
        let ready = match suite.ready(&SERVICES).await {
            Ok(()) => {
                service.spawn("gate", gate.run());
                suite.ready(&["gate."]).await
            }
            Err(failure) => Err(failure),
        };
        match ready {
            Ok(()) => Ok(suite),
            Err(failure) => {
                suite.finish(STOP_ALL_GRACE, None).await;
                Err(failure)
            }
        }
    }

    /// Starts everything, unless a signal comes before that is done.
    pub(crate) async fn start_unless(
        signals: &mut StopSignals,
        options: Options,
    ) -> Result<Self, Failure> {
        let mut start = std::pin::pin!(Self::start(options));
        tokio::select! {
            suite = &mut start => return suite,
            () = signals.next() => {}
        }
        // A start is not cut off in the middle if it can be helped: nothing would be cleaned up.
        if let Ok(Ok(suite)) = tokio::time::timeout(START_GRACE, start).await {
            suite.stop().await;
        }
        Err(Failure::Interrupted)
    }

    /// Where gate listens.
    pub(crate) const fn gate(&self) -> SocketAddr {
        self.gate
    }

    /// Where health and metrics are.
    pub(crate) const fn health(&self) -> SocketAddr {
        self.health
    }

    /// Where the data are.
    pub(crate) fn data_dir(&self) -> &Utf8Path {
        &self.data_dir
    }

    /// The data and all processes are removed at the end.
    pub(crate) const fn is_ephemeral(&self) -> bool {
        self.temporary.is_some()
    }

    /// Returns when a service ended although nobody asked it to.
    pub(crate) async fn failed(&self) -> Failure {
        match self.failures.lock().await.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Stops; true when all work ended by itself. Server groups and the proxy keep running, unless
    /// the suite is ephemeral.
    pub(crate) async fn stop(self) -> bool {
        if self.is_ephemeral() {
            self.stop_all().await
        } else {
            self.finish(STOP_GRACE, None).await
        }
    }

    /// Stops together with every process that the suite started.
    pub(crate) async fn stop_all(self) -> bool {
        let processes = self.processes.clone();
        leftovers::destroy(&format!("http://{}", self.gate)).await;
        self.finish(STOP_ALL_GRACE, Some(processes)).await
    }

    async fn finish(self, grace: Duration, processes: Option<Utf8PathBuf>) -> bool {
        let clean = self.chassis.shutdown.finish(grace).await;
        if let Some(processes) = processes {
            leftovers::sweep(&processes).await;
        }
        let Self {
            ports,
            embedded,
            temporary,
            log,
            ..
        } = self;
        // Dropping the store waits for its last write.
        let closed = tokio::task::spawn_blocking(move || {
            drop(ports);
            drop(embedded);
            temporary.map_or(Ok(()), tempfile::TempDir::close)
        });
        match closed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the temporary data are not removed"),
            Err(error) => tracing::error!(%error, "the store did not close"),
        }
        drop(log);
        clean
    }

    /// Waits until the parts whose names begin so are there and ready.
    async fn ready(&self, services: &[&str]) -> Result<(), Failure> {
        let wait = async {
            loop {
                let parts = self.chassis.health.report().parts;
                let is_up = |service: &&str| {
                    let mut own = parts
                        .iter()
                        .filter(|(name, _)| name.starts_with(*service))
                        .peekable();
                    own.peek().is_some() && own.all(|(_, state)| state == "UP")
                };
                if services.iter().all(is_up) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(READY_LOOK_MS)).await;
            }
        };
        tokio::select! {
            () = wait => Ok(()),
            failure = self.failed() => Err(failure),
            () = tokio::time::sleep(READY_TIMEOUT) => {
                let parts = self.chassis.health.report().parts.into_iter();
                let missing: Vec<String> = parts
                    .filter(|(_, state)| state != "UP")
                    .map(|(name, state)| format!("{name}: {state}"))
                    .collect();
                Err(Failure::TimedOut {
                    detail: format!("the suite is not ready after {} s", READY_TIMEOUT.as_secs()),
                    next: format!("look at the log for {}", missing.join("; ")),
                })
            }
        }
    }
}

/// Runs services and reports the first that ends too early.
struct Service {
    chassis: Chassis,
    failed: mpsc::Sender<Failure>,
}

impl Service {
    fn spawn<E: std::error::Error + Send + 'static>(
        &self,
        name: &'static str,
        run: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let (shutdown, failed) = (self.chassis.shutdown.clone(), self.failed.clone());
        self.chassis.shutdown.spawn(async move {
            let ended = run.await;
            let cause = match ended {
                Ok(()) if shutdown.is_requested() => return,
                Ok(()) => "it ended without a reason".to_owned(),
                Err(error) => chain(&error),
            };
            tracing::error!(service = name, cause, "a service ended");
            let failure = Failure::Internal {
                detail: format!("{name} does not run"),
                cause,
            };
            // A full channel holds an earlier failure, which is the one to tell.
            failed.try_send(failure).ok();
        });
    }
}

fn bind(
    config: gate::Config,
    may_move: bool,
    ports: &Ports,
    chassis: &Chassis,
) -> Result<gate::Server, gate::Error> {
    let bound = gate::bind(config.clone(), ports.clone(), chassis.clone());
    match bound {
        Err(gate::Error::Bind { .. }) if may_move => {
            let free = gate::Config { port: 0, ..config };
            gate::bind(free, ports.clone(), chassis.clone())
        }
        bound => bound,
    }
}

fn start_log(log: &config::Log, otherwise: &str) -> Result<telemetry::Guard, Failure> {
    let asked = std::env::var("GENNAKER_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let configured = Some(log.filter.clone()).filter(|filter| !filter.is_empty());
    let filter = asked.or(configured).unwrap_or_else(|| otherwise.to_owned());
    telemetry::init(log.format, &filter).map_err(|error| Failure::Config {
        detail: "the log cannot be started".to_owned(),
        fields: vec![("/log/filter".to_owned(), chain(&error))],
    })
}

fn data_dir(
    configured: &str,
    ephemeral: bool,
) -> Result<(Utf8PathBuf, Option<tempfile::TempDir>), Failure> {
    if !ephemeral {
        let chosen = Some(configured)
            .filter(|dir| !dir.is_empty())
            .map(Utf8PathBuf::from);
        let dir = chosen.map_or_else(config::default_data_dir, Ok)?;
        let absolute = camino::absolute_utf8(&dir).map_err(|e| not_usable(&dir, &e))?;
        return Ok((absolute, None));
    }
    let place = Utf8PathBuf::from("a temporary directory");
    let made = tempfile::Builder::new().prefix("gennaker-").tempdir();
    let made = made.map_err(|e| not_usable(&place, &e))?;
    let dir = Utf8PathBuf::from_path_buf(made.path().to_owned());
    let dir =
        dir.map_err(|path| not_usable(&place, &std::io::Error::other(path.display().to_string())))?;
    Ok((dir, Some(made)))
}

fn not_usable(dir: &Utf8Path, error: &std::io::Error) -> Failure {
    Failure::InUse {
        detail: format!("{dir} cannot hold the data: {error}"),
        next: "choose another directory with --data-dir".to_owned(),
    }
}

fn not_opened(error: &OpenError) -> Failure {
    let text = chain(error);
    match error {
        OpenError::InUse { .. } => Failure::InUse {
            detail: text,
            next: "one suite per directory: talk to the running one, or use --data-dir".to_owned(),
        },
        OpenError::Unavailable { .. } => Failure::InUse {
            detail: text,
            next: "check the rights and the space there, or use --data-dir".to_owned(),
        },
        OpenError::Damaged { .. } => Failure::Internal {
            detail: "the data cannot be opened".to_owned(),
            cause: text,
        },
    }
}

fn not_bound(error: &gate::Error) -> Failure {
    let text = chain(error);
    match error {
        gate::Error::Bind { .. } => Failure::InUse {
            detail: text,
            next: "stop what listens there, or choose another port: --gate-port 0 takes a free one"
                .to_owned(),
        },
        gate::Error::OpenToOthers { .. } | gate::Error::Config { .. } => Failure::Config {
            detail: text,
            fields: Vec::new(),
        },
        gate::Error::Ended(_) => Failure::Internal {
            detail: "gate does not run".to_owned(),
            cause: text,
        },
    }
}

/// The error with all its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
