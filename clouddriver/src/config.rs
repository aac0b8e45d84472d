//! The configuration of clouddriver. The default needs nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::restart::Restart;

/// Accounts, places and limits of the local provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Directory of everything that runs: artifacts, logs, the proxy. Keep it short: the proxy's
    /// socket lies in it, and the name of a socket has at most 100 bytes.
    pub data_dir: String,
    pub accounts: Vec<Account>,
    /// How to start this very program. Default: the running executable. `["proxy", "--dir", D]` is
    /// added for the proxy; the word `$GENNAKER` of a command stands for the first entry.
    pub self_exe: Vec<String>,
    /// Address that load balancers listen on.
    pub load_balancer_host: String,
    /// Name by which clients reach that address, as in a container; empty: the address itself.
    pub load_balancer_name: String,
    /// Ports that load balancers are given; none: any free one.
    pub load_balancer_ports: Option<PortRange>,
    /// Ports that are given to instances. Below 32768 they do not collide with outgoing connections.
    pub instance_ports: PortRange,
    /// Variables that instances inherit; all others are not handed on.
    pub inherited_environment: Vec<String>,
    /// How long requests in flight may take when an instance leaves, milliseconds.
    pub drain_ms: u64,
    /// Between SIGTERM and SIGKILL, milliseconds.
    pub stop_grace_ms: u64,
    /// From the start of a deployment until all instances must be ready, milliseconds.
    pub healthy_deadline_ms: u64,
    pub restart: Restart,
    pub logs: Logs,
    pub artifacts: Artifacts,
    pub limits: Limits,
    pub proxy: Proxy,
}

impl Default for Config {
    fn default() -> Self {
        let inherited = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];
        Self {
            data_dir: "data/clouddriver".to_owned(),
            accounts: vec![Account::default()],
            self_exe: Vec::new(),
            load_balancer_host: "127.0.0.1".to_owned(),
            load_balancer_name: String::new(),
            load_balancer_ports: None,
            instance_ports: PortRange::default(),
            inherited_environment: inherited.map(str::to_owned).to_vec(),
            drain_ms: 30_000,
            stop_grace_ms: 10_000,
            healthy_deadline_ms: 300_000,
            restart: Restart::default(),
            logs: Logs::default(),
            artifacts: Artifacts::default(),
            limits: Limits::default(),
            proxy: Proxy::default(),
        }
    }
}

/// One account: a name for this machine.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Account {
    pub name: String,
    /// What people call the place: `dev`, `prod`.
    pub environment: String,
    /// Permission (`READ`, `WRITE`, `EXECUTE`) -> roles. Empty: everybody.
    pub permissions: std::collections::BTreeMap<String, Vec<String>>,
    /// People are asked to type the account's name before something is destroyed in it.
    pub challenge_destructive_actions: bool,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            name: "local".to_owned(),
            environment: "local".to_owned(),
            permissions: std::collections::BTreeMap::new(),
            challenge_destructive_actions: false,
        }
    }
}

/// First and last port.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl Default for PortRange {
    fn default() -> Self {
        Self {
            first: 18_000,
            last: 31_999,
        }
    }
}

/// Output of instances.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Logs {
    /// A file that has grown to this size is set aside.
    pub file_bytes_max: u64,
    /// Runs of an instance whose output is kept, the present one included.
    pub runs_kept: u32,
    /// Output of a destroyed server group is kept for so long, milliseconds.
    pub keep_after_destroy_ms: u64,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            file_bytes_max: 8 * 1024 * 1024,
            runs_kept: 3,
            keep_after_destroy_ms: 24 * 3600 * 1000,
        }
    }
}

/// Where artifacts may come from, and how large they may be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Artifacts {
    /// Directories that artifacts of type `local/file` may be read from. Empty: none.
    pub local_roots: Vec<String>,
    pub bytes_max: u64,
    /// Longest download, milliseconds.
    pub timeout_ms: u64,
}

impl Default for Artifacts {
    fn default() -> Self {
        Self {
            local_roots: Vec::new(),
            bytes_max: 512 * 1024 * 1024,
            timeout_ms: 300_000,
        }
    }
}

/// How much may run here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "limits end in max, all of them")]
pub struct Limits {
    pub instances_per_server_group_max: u32,
    pub server_groups_per_application_max: usize,
    pub instances_max: u32,
    /// Orders that are worked on at the same time.
    pub orders_at_once_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances_per_server_group_max: 50,
            server_groups_per_application_max: 100,
            instances_max: 500,
            orders_at_once_max: 64,
        }
    }
}

/// The proxy process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Proxy {
    /// Longest start of the proxy, milliseconds.
    pub start_timeout_ms: u64,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            start_timeout_ms: 10_000,
        }
    }
}
