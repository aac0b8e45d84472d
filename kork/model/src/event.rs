//! What the suite tells the world: the messages of the event stream.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// Topic subjects. A subscriber asks for a prefix.
pub mod subject {
    /// `events.execution.<application>`: an execution, a stage or a task changed.
    pub const EXECUTION: &str = "events.execution.";
    /// `events.front50.<type>`: a stored object changed.
    pub const FRONT50: &str = "events.front50.";
    /// `events.clouddriver.<account>`: a server group or a load balancer changed.
    pub const CLOUDDRIVER: &str = "events.clouddriver.";
    /// `events.webhook.<source>`: a webhook came in.
    pub const WEBHOOK: &str = "events.webhook.";
    /// Everything.
    pub const ALL: &str = "events.";
}

/// One message of the event stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuiteEvent {
    /// Unique: a message that is published twice has the same id.
    pub id: String,
    /// `orca:pipeline:starting`, `orca:stage:complete`, `front50:pipeline:updated`, ...
    #[serde(rename = "type")]
    pub kind: String,
    pub time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Id of the thing that changed: execution, pipeline, server group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What changed; small, never a whole execution.
    pub data: Value,
}
