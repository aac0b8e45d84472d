//! Configuration of the gateway. Every field has a default; unknown fields are refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the gateway listens and what it allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on: a loopback address or `localhost` as long as `identity` is `none`.
    pub host: String,
    /// For containers only: the address is a container's own, and its port is published on loopback of
    /// the host and nowhere else, so that gate may listen on it although nobody logs in. Danger: gate
    /// cannot see how the port is published. Set where others reach it, everybody who does can deploy;
    /// so can every container on its network.
    pub published_on_loopback: bool,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Threads that serve requests.
    pub workers: usize,
    /// Who is asked who a caller is.
    pub identity: Identity,
    /// Names besides loopback addresses and `localhost` that the `Host` header may carry.
    pub allowed_hosts: Vec<String>,
    /// Origins of pages in browsers that may call this API, such as `http://localhost:9000`.
    pub cors_origins: Vec<String>,
    /// Limits that may be moved.
    pub limits: Limits,
}

/// How callers are identified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Identity {
    /// Nobody logs in; everybody is `anonymous`. Only on loopback, or published there.
    #[default]
    None,
}

/// Limits of the gateway that an operator may move. All are upper bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Largest body of a request, bytes. A message on the bus holds at most 1 MiB. Deliveries from outside have
    /// limits of their own.
    pub body_bytes_max: usize,
    /// Clients of the event stream at the same time.
    pub event_clients_max: usize,
    /// Milliseconds between signs of life on an idle event stream.
    pub event_heartbeat_ms: u64,
    /// Milliseconds that a client of the event stream may take to read what waits for it.
    pub event_stall_ms: u64,
    /// Connections per worker at the same time.
    pub connections_max: usize,
    /// Seconds that running requests may take to end when the gateway stops.
    pub shutdown_grace_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            published_on_loopback: false,
            port: 8084,
            workers: 2,
            identity: Identity::None,
            allowed_hosts: Vec::new(),
            cors_origins: vec![
                "http://localhost:9000".to_owned(),
                "http://127.0.0.1:9000".to_owned(),
            ],
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            event_clients_max: 256,
            event_heartbeat_ms: 15_000,
            event_stall_ms: 10_000,
            connections_max: 4096,
            shutdown_grace_s: 10,
        }
    }
}

impl Config {
    /// Every value that cannot work, as one sentence each; empty when all can.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value, most) in [
            ("workers", self.workers as u64, 256),
            (
                "limits.bodyBytesMax",
                self.limits.body_bytes_max as u64,
                64 * 1024 * 1024,
            ),
            (
                "limits.eventClientsMax",
                self.limits.event_clients_max as u64,
                100_000,
            ),
            (
                "limits.eventHeartbeatMs",
                self.limits.event_heartbeat_ms,
                600_000,
            ),
            ("limits.eventStallMs", self.limits.event_stall_ms, 600_000),
            (
                "limits.connectionsMax",
                self.limits.connections_max as u64,
                1_000_000,
            ),
        ] {
            if value == 0 || value > most {
                found.push(format!(
                    "{name} is {value}, it must be between 1 and {most}"
                ));
            }
        }
        if self.limits.shutdown_grace_s > 600 {
            found.push(format!(
                "limits.shutdownGraceS is {}, it must be between 0 and 600",
                self.limits.shutdown_grace_s
            ));
        }
        for origin in &self.cors_origins {
            let rest = origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"));
            if !rest.is_some_and(|r| !r.is_empty() && !r.contains(['/', '*', ' '])) {
                found.push(format!(
                    "corsOrigins has {origin:?}, an origin is scheme://host[:port] without a path or `*`"
                ));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_and_unknown_fields_do_not() {
        assert!(Config::default().problems().is_empty());
        assert!(serde_json::from_str::<Config>(r#"{"prot": 1}"#).is_err());
        let config: Config = serde_json::from_str(r#"{"port": 0}"#).unwrap();
        assert_eq!(
            config,
            Config {
                port: 0,
                ..Config::default()
            }
        );
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let config = Config {
            workers: 0,
            cors_origins: vec!["*".to_owned(), "http://a/b".to_owned()],
            ..Config::default()
        };
        assert_eq!(config.problems().len(), 3);
    }
}
