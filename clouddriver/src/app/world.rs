//! What should be and what is, in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use kork_model::{Kind, Problem, Timestamp};

use super::ports::{Found, RunId, Running};
use crate::config::PortRange;
use crate::domain::{
    group::{LoadBalancer, ServerGroup},
    plan::{Observed, State},
    restart::{Exit, History},
    routing::{Listener, Pool, Table, Target},
    target::Candidate,
};

/// Everything.
#[derive(Default)]
pub struct World {
    pub groups: BTreeMap<String, Entry>,
    pub balancers: BTreeMap<String, Balancer>,
}

/// A server group: its record with the etag of the stored one, and its instances.
pub struct Entry {
    pub record: ServerGroup,
    pub etag: String,
    pub instances: BTreeMap<u32, Instance>,
    /// Last run of each ordinal, also of those that are gone.
    pub runs: BTreeMap<u32, u32>,
}

/// A load balancer: its record with the etag of the stored one.
pub struct Balancer {
    pub record: LoadBalancer,
    pub etag: String,
}

/// One instance.
#[derive(Debug, Clone)]
pub struct Instance {
    pub id: RunId,
    pub state: Life,
    pub pid: u32,
    pub ports: BTreeMap<String, u16>,
    pub started: Timestamp,
    /// What the last probe said.
    pub message: String,
    pub last_end: Option<End>,
    pub history: History,
}

/// State of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Live { ready: bool },
    Stopping,
    Ended { again_at: Option<Timestamp> },
}

/// How the last run of an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub exit: Exit,
    pub at: Timestamp,
    pub because: Option<String>,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.because {
            Some(because) => write!(f, "{} ({because})", self.exit),
            None => self.exit.fmt(f),
        }
    }
}

impl Entry {
    /// A record without instances.
    pub fn new(record: ServerGroup, etag: String) -> Self {
        Self {
            record,
            etag,
            instances: BTreeMap::new(),
            runs: BTreeMap::new(),
        }
    }

    /// What the planner sees.
    pub fn observed(&self) -> Vec<Observed> {
        let state = |life: Life| match life {
            Life::Live { .. } => State::Live,
            Life::Stopping => State::Stopping,
            Life::Ended { again_at } => State::Ended { again_at },
        };
        self.instances
            .iter()
            .map(|(ordinal, i)| Observed {
                ordinal: *ordinal,
                state: state(i.state),
            })
            .collect()
    }

    /// Instances that may take traffic.
    pub fn ready(&self) -> impl Iterator<Item = &Instance> {
        self.instances
            .values()
            .filter(|i| i.state == Life::Live { ready: true })
    }

    /// Names of the targets of the proxy that belong to this group.
    pub fn targets(&self) -> Vec<String> {
        self.instances.values().map(|i| i.id.to_string()).collect()
    }

    /// An instance that ends again and again, or stays down.
    pub fn broken(&self, now: Timestamp) -> Option<&Instance> {
        let restart = &self.record.spec.restart;
        self.instances.values().find(|i| {
            i.history.is_crash_loop(now, restart)
                || matches!(i.state, Life::Ended { again_at: None })
        })
    }
}

impl Instance {
    fn taken_over(running: Running) -> Self {
        Self {
            id: running.id,
            state: Life::Live {
                ready: running.ready,
            },
            pid: running.pid,
            ports: running.ports,
            started: running.started,
            message: "taken over".to_owned(),
            last_end: None,
            history: History::default(),
        }
    }
}

impl World {
    /// The proxy's table.
    pub fn table(&self, host: &str) -> Table {
        let host: IpAddr = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let listeners = self.balancers.iter().map(|(name, balancer)| {
            let takes_traffic = |e: &&Entry| {
                e.record.enabled
                    && e.record.is_active()
                    && e.record.spec.load_balancers.contains(name)
            };
            let pools = self
                .groups
                .values()
                .filter(takes_traffic)
                .map(|entry| Pool {
                    server_group: entry.record.name.clone(),
                    weight_permille: entry.record.weight_permille,
                    targets: entry.ready().filter_map(target).collect(),
                });
            let address = SocketAddr::new(host, balancer.record.port);
            (
                name.clone(),
                Listener {
                    address,
                    pools: pools.collect(),
                },
            )
        });
        Table {
            listeners: listeners.collect(),
        }
    }

    /// The server groups of a cluster, as the choice of targets sees them. Those that are going away
    /// or not there yet do not count.
    pub fn candidates(&self, account: &str, region: Option<&str>, cluster: &str) -> Vec<Candidate> {
        use crate::domain::group::Phase;
        let meant = |r: &&ServerGroup| {
            r.moniker.cluster == cluster
                && r.account == account
                && region.is_none_or(|region| r.region == region)
                && !matches!(r.life, Phase::Destroying | Phase::Preparing)
        };
        let groups = self.groups.values().map(|e| &e.record).filter(meant);
        groups
            .map(|r| Candidate {
                name: r.name.clone(),
                created: r.created,
                size: r.replicas(),
                enabled: r.enabled,
            })
            .collect()
    }

    /// The first port of the range that no load balancer has.
    pub fn free_port(&self, range: PortRange) -> Result<u16, Problem> {
        let given: BTreeSet<u16> = self.balancers.values().map(|b| b.record.port).collect();
        let mut ports = range.first..=range.last;
        ports.find(|port| !given.contains(port)).ok_or_else(|| {
            let text = format!(
                "load balancers have all ports from {} to {}; delete one, or widen \
                 clouddriver.loadBalancerPorts",
                range.first, range.last
            );
            Problem::new("CLOUDDRIVER-0011", Kind::Conflict, text)
        })
    }

    /// Takes in what was found of an earlier life.
    pub fn take_over(&mut self, found: Found) {
        let (id, running) = match found {
            Found::Ended(id) => (id, None),
            Found::Live(running) => (running.id.clone(), Some(running)),
        };
        let Some(entry) = self.groups.get_mut(&id.group) else {
            return;
        };
        entry.runs.insert(id.ordinal, id.run);
        if let Some(running) = running {
            entry
                .instances
                .insert(id.ordinal, Instance::taken_over(running));
        }
    }

    /// The last run of every instance of a group, also of those that ended.
    pub fn last_runs(&self, group: &str) -> Vec<RunId> {
        let Some(entry) = self.groups.get(group) else {
            return Vec::new();
        };
        let run = |(ordinal, run): (&u32, &u32)| RunId {
            group: group.to_owned(),
            ordinal: *ordinal,
            run: *run,
        };
        entry.runs.iter().map(run).collect()
    }
}

fn target(instance: &Instance) -> Option<Target> {
    let port = instance.ports.get("PORT")?;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), *port);
    Some(Target {
        id: instance.id.to_string(),
        address,
    })
}
