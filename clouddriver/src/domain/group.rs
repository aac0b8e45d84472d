//! What a server group and a load balancer should be: the records that are stored before anything
//! is done.

use std::collections::BTreeMap;

use kork_model::{Context, Timestamp};
use serde::{Deserialize, Serialize};

use super::{health::HealthCheck, names::Moniker, restart::Restart};

/// Everything that is needed to start instances of a server group; never changes after its creation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// The program and its arguments; no shell. Empty: the artifact is the program.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Named ports besides `PORT`; each instance sees them as `PORT_<NAME>`.
    pub ports: Vec<String>,
    pub artifact: Option<Artifact>,
    /// When an instance may take traffic.
    pub health: HealthCheck,
    /// When a running instance is killed and started again; never when absent.
    pub liveness: Option<HealthCheck>,
    pub load_balancers: Vec<String>,
    pub restart: Restart,
    /// How long requests in flight may take when an instance leaves, milliseconds.
    pub drain_ms: u64,
    /// Between SIGTERM and SIGKILL, milliseconds.
    pub stop_grace_ms: u64,
    /// From the start of a deployment until all must be ready, milliseconds.
    pub deadline_ms: u64,
    /// Share of the desired instances that must be ready, per cent.
    pub target_healthy_percentage: u32,
}

/// Types of artifacts that are understood.
pub const ARTIFACT_TYPES: [&str; 3] = ["embedded/base64", "http/file", "local/file"];

/// Spinnaker's artifact, as far as this provider reads it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Artifact {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: Option<String>,
    pub version: Option<String>,
    pub reference: String,
    /// `sha256` is checked before the artifact is used.
    pub metadata: Context,
}

impl Artifact {
    /// The checksum that the artifact must have, in lower-case hex.
    pub fn sha256(&self) -> Option<String> {
        let text = self.metadata.get("sha256")?.as_str()?;
        Some(
            text.trim()
                .trim_start_matches("sha256:")
                .to_ascii_lowercase(),
        )
    }
}

/// Number of instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    pub min: u32,
    pub max: u32,
    pub desired: u32,
}

/// Where a server group is in its life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "phase")]
pub enum Phase {
    /// Its name is taken and its artifact is being fetched; nothing runs.
    #[default]
    Preparing,
    /// Instances run.
    Active,
    /// It never became healthy. Nothing runs; it is kept to be looked at until it is destroyed.
    Failed { reason: String },
    /// It is going away.
    Destroying,
}

/// A server group as it should be. `generation` grows with every change: a plan that was made for
/// an older one is not carried out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerGroup {
    pub name: String,
    pub account: String,
    pub region: String,
    pub moniker: Moniker,
    pub created: Timestamp,
    /// Key of the order that made it: the same order finds it again.
    pub created_by: String,
    pub generation: u64,
    pub life: Phase,
    pub capacity: Capacity,
    /// Takes traffic.
    pub enabled: bool,
    /// Share of the traffic relative to other enabled groups, in steps of 0.1 % (0 to 1000).
    pub weight_permille: u32,
    pub spec: Spec,
}

impl ServerGroup {
    /// Instances that should run now.
    pub fn replicas(&self) -> u32 {
        match self.life {
            Phase::Active => self.capacity.desired,
            Phase::Preparing | Phase::Failed { .. } | Phase::Destroying => 0,
        }
    }

    /// It can be enabled, resized and counted.
    pub fn is_active(&self) -> bool {
        self.life == Phase::Active
    }
}

/// A listener of the proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    pub name: String,
    pub account: String,
    pub application: String,
    /// Chosen once and kept; 0 until the proxy has taken a free one.
    pub port: u16,
    pub created: Timestamp,
}
