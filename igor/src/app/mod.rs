//! The use cases of igor.

pub(crate) mod accounts;
pub(crate) mod builds;
pub(crate) mod complete;
pub(crate) mod current;
pub(crate) mod deliveries;
pub(crate) mod google;
pub(crate) mod health;
pub(crate) mod hints;
pub(crate) mod history;
pub(crate) mod orders;
pub(crate) mod polls;
pub(crate) mod records;
pub(crate) mod reports;
pub(crate) mod sources;
pub(crate) mod telling;
pub(crate) mod told;
pub(crate) mod visits;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use kork::{
    ports::Ports,
    service::{Shutdown, config::Secret},
};
use serde::Serialize;

use crate::Config;

/// Shared by everything in the service.
pub(crate) struct Igor {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) shutdown: Shutdown,
    pub(crate) accounts: accounts::Book,
    pub(crate) google: google::Google,
    pub(crate) history: Arc<history::History>,
    pub(crate) telling: Arc<telling::Telling>,
    pub(crate) polls: polls::Polls,
    pub(crate) servers: builds::Servers,
    pub(crate) followed: orders::Followed,
}

/// The same for the same settings. The secrets among them are given as well: they do not show themselves.
pub(crate) fn fingerprint(config: &impl Serialize, secrets: &[&Secret]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let text = serde_json::to_string(config).unwrap_or_default();
    text.hash(&mut hasher);
    for secret in secrets {
        secret.reveal().hash(&mut hasher);
    }
    hasher.finish()
}
