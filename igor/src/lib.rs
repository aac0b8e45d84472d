//! The bridge to CI servers, source control and registries: what comes in from outside is verified, brought
//! into one shape and handed to orca; builds are started and followed.
//!
//! - [`igor_inbound`]: who may send, and what they say. Pure.
//! - [`igor_ci`]: CI servers. [`igor_watch`]: registries and repositories that are asked for news.
//! - `app`: the use cases. `bus`: requests, and orders for builds.
//!
//! igor starts no execution: it says what happened, and orca knows which pipelines wait for it.

mod app;
mod bus;

use std::{path::PathBuf, sync::Arc};

use kork::{
    ports::{Ports, RpcError},
    service::Chassis,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use app::accounts::Accounts;
use app::{
    Igor, accounts::Book, builds::Servers, google::Google, health, history, orders::Followed,
    polls, records, reports, telling,
};

/// Settings of the service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// A file with more of `accounts`, in YAML or JSON, that is read again when it changes: nothing has to be
    /// started anew.
    pub accounts_file: Option<PathBuf>,
    /// Senders, CI servers, registries and repositories.
    pub accounts: Accounts,
    /// What comes in under a name that no source has may start pipelines, as in Spinnaker, as long as no source is
    /// configured for what its sender tells of; plain webhooks always. A source that is configured says so for
    /// itself.
    pub allow_unverified: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            accounts_file: None,
            accounts: Accounts::default(),
            allow_unverified: true,
        }
    }
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the endpoints of igor cannot be served")]
    Serve(#[from] RpcError),
    #[error("the HTTP client cannot be made")]
    Client(#[from] reqwest::Error),
}

/// Runs the service until a stop is requested.
pub async fn run(config: Config, ports: Ports, chassis: Chassis) -> Result<(), Error> {
    let ready = chassis.health.part("igor.events");
    let http = igor_watch::client()?;
    let igor = Arc::new(Igor {
        google: Google::new(http.clone()),
        accounts: Book::new(config.accounts.clone(), config.accounts_file.clone()),
        history: Arc::new(history::History::new(Arc::clone(&ports.objects))),
        telling: Arc::default(),
        polls: polls::Polls::new(http),
        servers: Servers::default(),
        followed: Followed::default(),
        shutdown: chassis.shutdown.clone(),
        config,
        ports,
    });
    history::spawn(&igor.history, &chassis.shutdown);
    telling::spawn(
        &igor.telling,
        Arc::clone(&igor.ports.topic),
        &chassis.shutdown,
    );
    polls::spawn(&igor);
    let forgetting = records::forget(igor.ports.clone());
    chassis.shutdown.spawn_until_requested(forgetting);
    let watching = reports::watch(Arc::clone(&igor));
    chassis.shutdown.spawn_until_requested(watching);
    let showing = health::show(Arc::clone(&igor), chassis.health.clone());
    chassis.shutdown.spawn_until_requested(showing);
    let working = bus::work::work(Arc::clone(&igor));
    chassis.shutdown.spawn_until_requested(working);
    let registrations = bus::endpoints::all(&igor).await?;
    ready.ready();
    chassis.shutdown.requested().await;
    drop(registrations);
    Ok(())
}
