//! The bridge to CI servers, source control and registries: inbound events, outbound calls.
//!
//! Today it starts, is healthy and can be discovered; it speaks no protocol yet.

use kork::{ports::Ports, service::Chassis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Runs the service until a stop is requested.
pub async fn run(_config: Config, _ports: Ports, chassis: Chassis) -> Result<(), Error> {
    chassis.health.part("igor").ready();
    chassis.shutdown.requested().await;
    Ok(())
}
