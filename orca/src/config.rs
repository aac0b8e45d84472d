//! Configuration of orca.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of orca; all have defaults that work.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// States of executions that are kept in memory; others are read from the log when needed.
    pub states_in_memory_max: usize,
    /// Bytes of log that the states in memory may stand for, all together.
    pub states_in_memory_bytes_max: usize,
    /// Commands that are worked on at the same time.
    pub commands_at_once_max: usize,
    /// Webhook calls that run at the same time.
    pub webhooks_at_once_max: usize,
    pub webhook: WebhookConfig,
    pub cron: CronConfig,
}

/// Pipelines that start by the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct CronConfig {
    /// IANA time zone of triggers that name none.
    pub time_zone: String,
    /// What becomes of fire times that nobody watched.
    pub catch_up: CatchUp,
    /// Fire times older than so many milliseconds are not made up for.
    pub catch_up_window_ms: u64,
}

/// What becomes of fire times while the suite was down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CatchUp {
    /// They are left out.
    #[default]
    None,
    /// Of each trigger the last one starts.
    Latest,
    /// All start.
    All,
}

impl Default for CronConfig {
    fn default() -> Self {
        Self {
            time_zone: "America/Los_Angeles".to_owned(),
            catch_up: CatchUp::None,
            catch_up_window_ms: 10 * 60 * 1000,
        }
    }
}

/// Outbound calls of webhook stages.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct WebhookConfig {
    /// Calls to loopback and private addresses are allowed. On by default while gate itself listens
    /// on loopback only.
    pub allow_private_addresses: bool,
    /// Milliseconds to connect.
    pub connect_timeout_ms: u64,
    /// Milliseconds for a whole call.
    pub call_timeout_ms: u64,
    /// Bytes of an answer that are read.
    pub answer_bytes_max: usize,
    /// Redirects that are followed.
    pub redirects_max: usize,
    /// Milliseconds between tries after 5xx, 429 and unresolvable hosts.
    pub retry_ms: u64,
    /// Milliseconds after which no further try is made.
    pub retry_for_ms: u64,
    /// Milliseconds between looks at a status URL in the first minute.
    pub monitor_ms: u64,
    /// Milliseconds between looks after that.
    pub monitor_slow_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            states_in_memory_max: 1024,
            states_in_memory_bytes_max: 16 * 1024 * 1024,
            commands_at_once_max: 256,
            webhooks_at_once_max: 256,
            webhook: WebhookConfig::default(),
            cron: CronConfig::default(),
        }
    }
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            allow_private_addresses: true,
            connect_timeout_ms: 15_000,
            call_timeout_ms: 20_000,
            answer_bytes_max: 256 * 1024,
            redirects_max: 10,
            retry_ms: 10_000,
            retry_for_ms: 300_000,
            monitor_ms: 1_000,
            monitor_slow_ms: 15_000,
        }
    }
}
