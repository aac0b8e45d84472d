//! orca: the only writer of executions.
//!
//! - [`app`]: the shell around the pure engine: load, decide, append, carry out.
//! - [`bus`]: what other services ask of orca, what workers report, and orca's own worker.
//! - [`webhook`]: outbound calls of webhook stages.
//! - [`Config`], [`run`]: configuration and life of the service.

pub mod app;
mod bus;
mod config;
pub mod webhook;

use std::{sync::Arc, time::Duration};

use kork::{
    ports::Ports,
    service::{Chassis, Part},
};

pub use config::{CatchUp, Config, CronConfig};

/// Why the service could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("orca cannot read its executions")]
    Recovery(#[source] app::Error),
    #[error("orca cannot be reached by other services")]
    Serve(#[from] kork::ports::RpcError),
    #[error("orca's HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// Times that the executions are read at the start, and the pause between. Past it the process ends: it
/// may be its own fault, such as a disk that failed once.
const RECOVERIES_MAX: usize = 30;
const RECOVERY_PAUSE: Duration = Duration::from_secs(1);

/// Runs orca until a stop is requested. Ready once every open execution was read again and its open
/// work was issued again.
pub async fn run(config: Config, ports: Ports, chassis: Chassis) -> Result<(), Error> {
    let ready = chassis.health.part("orca.recovery");
    let caller = webhook::Caller::new(&config.webhook).map_err(Error::Client)?;
    let shell = Arc::new(
        app::Shell::new(config, ports, chassis.shutdown.clone()).measured(&chassis.metrics),
    );
    app::timers::spawn(Arc::clone(&shell));
    let registrations = bus::endpoints::serve_all(&shell).await?;
    app::publisher::spawn(&shell);
    app::behind::spawn(&shell);
    app::inbox::spawn(&shell);
    let _alive = app::peers::spawn(&shell).await?;
    bus::reports::spawn(&shell);
    bus::commands::spawn(&shell);
    bus::worker::spawn(&shell, caller);
    app::triggers::spawn(&shell);
    app::cron::spawn(&shell);
    recover(&shell, &ready).await.map_err(Error::Recovery)?;
    // What goes on comes before what has ended.
    app::archiver::spawn(&shell);
    ready.ready();
    chassis.shutdown.requested().await;
    drop(registrations);
    Ok(())
}

/// Reads all executions; again when a server does not answer just now.
async fn recover(shell: &Arc<app::Shell>, part: &Part) -> Result<(), app::Error> {
    for _ in 1..RECOVERIES_MAX {
        match app::recovery::run(shell).await {
            Err(error) if error.is_passing() && !shell.shutdown.is_requested() => {
                let problem = error.problem();
                tracing::warn!(error = %problem, "the executions are read again");
                part.missing(problem.message());
                tokio::time::sleep(RECOVERY_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
    app::recovery::run(shell).await
}
