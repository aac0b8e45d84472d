//! The user interface's server: pages and their live updates.
//!
//! Today it starts, is healthy and can be discovered; it serves no page yet.

use kork::{ports::Ports, service::Chassis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Port of the pages; Spinnaker's Deck has the same.
    pub port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { port: 9_000 }
    }
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Runs the service until a stop is requested.
pub async fn run(_config: Config, _ports: Ports, chassis: Chassis) -> Result<(), Error> {
    chassis.health.part("deck-api").ready();
    chassis.shutdown.requested().await;
    Ok(())
}
