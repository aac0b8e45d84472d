//! What others see, in the shapes of Spinnaker's views.

use base64::Engine as _;
use kork_model::{Context, Kind, Problem};
use serde_json::{Value, json};

use super::{
    Driver,
    ports::RunId,
    store::no_group,
    world::{Entry, Instance, Life, World},
};
use crate::{
    config::Account,
    domain::{
        group::{Artifact, Phase, ServerGroup},
        names,
        routing::Metrics,
    },
};

/// Lines of output that one question gets at most.
const LINES_MAX: u32 = 5000;
/// Bytes of an artifact that fit into one answer, as base64.
const FETCH_BYTES_MAX: usize = 700 * 1024;

fn object(value: Value) -> Context {
    match value {
        Value::Object(map) => map,
        _ => Context::new(),
    }
}

impl Driver {
    /// All accounts.
    pub fn accounts(&self) -> Vec<Context> {
        self.config.accounts.iter().map(account).collect()
    }

    /// One account.
    pub fn account_view(&self, name: &str) -> Result<Context, Problem> {
        self.account(Some(name)).map(account)
    }

    /// `{account: [cluster, ...]}` of an application.
    pub async fn clusters(&self, application: &str) -> Context {
        let metrics = self.traffic.metrics().await;
        let world = self.world();
        let mut accounts = Context::new();
        for account in &self.config.accounts {
            let mut clusters: Vec<&str> = Vec::new();
            let of_account = |e: &&Entry| {
                e.record.account == account.name && e.record.moniker.app == application
            };
            for entry in world.groups.values().filter(of_account) {
                if !clusters.contains(&entry.record.moniker.cluster.as_str()) {
                    clusters.push(&entry.record.moniker.cluster);
                }
            }
            if clusters.is_empty() {
                continue;
            }
            let views = clusters
                .into_iter()
                .filter_map(|c| self.cluster_of_world(&world, &account.name, c, &metrics));
            accounts.insert(account.name.clone(), views.map(Value::Object).collect());
        }
        accounts
    }

    /// One cluster with its server groups.
    pub async fn cluster(
        &self,
        application: &str,
        account: &str,
        cluster: &str,
    ) -> Result<Context, Problem> {
        let metrics = self.traffic.metrics().await;
        let found = self.cluster_of_world(&self.world(), account, cluster, &metrics);
        found
            .filter(|c| c["application"] == application)
            .ok_or_else(|| {
                let text = format!(
                    "application {application} has no cluster {cluster} in account {account}"
                );
                Problem::new("CLOUDDRIVER-0020", Kind::NotFound, text)
            })
    }

    fn cluster_of_world(
        &self,
        world: &World,
        account: &str,
        cluster: &str,
        metrics: &std::collections::BTreeMap<String, Metrics>,
    ) -> Option<Context> {
        let meant = |e: &&Entry| e.record.account == account && e.record.moniker.cluster == cluster;
        let entries: Vec<_> = world.groups.values().filter(meant).collect();
        let moniker = names::Moniker {
            sequence: None,
            ..entries.first()?.record.moniker.clone()
        };
        let mut balancers: Vec<&String> = entries
            .iter()
            .flat_map(|e| &e.record.spec.load_balancers)
            .collect();
        balancers.sort();
        balancers.dedup();
        let groups: Vec<_> = entries
            .iter()
            .map(|e| self.group_view(e, metrics))
            .collect();
        Some(object(json!({
            "name": cluster, "type": "local", "accountName": account, "application": moniker.app,
            "moniker": moniker, "serverGroups": groups, "loadBalancers": balancers,
        })))
    }

    /// Server groups of an application, of all when it is empty.
    pub async fn server_groups(&self, application: &str) -> Vec<Context> {
        let metrics = self.traffic.metrics().await;
        let world = self.world();
        let meant = |e: &&Entry| application.is_empty() || e.record.moniker.app == application;
        world
            .groups
            .values()
            .filter(meant)
            .map(|e| self.group_view(e, &metrics))
            .collect()
    }

    /// One server group.
    pub async fn server_group(
        &self,
        application: &str,
        account: &str,
        region: &str,
        name: &str,
    ) -> Result<Context, Problem> {
        let metrics = self.traffic.metrics().await;
        let world = self.world();
        let entry = find(&world, application, account, region, name)?;
        Ok(self.group_view(entry, &metrics))
    }

    fn group_view(
        &self,
        entry: &Entry,
        metrics: &std::collections::BTreeMap<String, Metrics>,
    ) -> Context {
        let record = &entry.record;
        let spec = &record.spec;
        let now = self.now();
        let instances: Vec<_> = entry
            .instances
            .values()
            .map(|i| instance_view(record, i))
            .collect();
        let count = |state: &str| {
            instances
                .iter()
                .filter(|i| i["healthState"] == state)
                .count()
        };
        let (status, reason) = match &record.life {
            Phase::Preparing => ("preparing", None),
            Phase::Active if entry.broken(now).is_some() => {
                ("failing", entry.broken(now).map(|i| i.message.clone()))
            }
            Phase::Active if entry.ready().count() < record.capacity.desired as usize => {
                ("starting", None)
            }
            Phase::Active => ("stable", None),
            Phase::Failed { reason } => ("failed", Some(reason.clone())),
            Phase::Destroying => ("destroying", None),
        };
        object(json!({
            "name": record.name, "displayName": record.name, "account": record.account,
            "region": record.region, "namespace": record.region, "zones": [record.region],
            "cluster": record.moniker.cluster, "type": "local", "cloudProvider": "local", "kind": "process",
            "application": record.moniker.app, "moniker": record.moniker, "createdTime": record.created,
            "isDisabled": !record.enabled, "disabled": !record.enabled,
            "capacity": {"min": record.capacity.min, "max": record.capacity.max,
                "desired": record.capacity.desired, "pinned": record.capacity.min == record.capacity.max},
            "instanceCounts": {"total": instances.len(), "up": count("Up"), "down": count("Down"),
                "unknown": 0, "outOfService": count("OutOfService"), "starting": count("Starting")},
            "instances": instances, "loadBalancers": spec.load_balancers, "securityGroups": [],
            "serverGroupManagers": [], "labels": {}, "buildInfo": build_info(spec.artifact.as_ref(), &spec.command),
            "launchConfig": {"command": spec.command, "environment": spec.env.keys().collect::<Vec<_>>(),
                "limits": "not enforced"},
            "trafficWeight": f64::from(record.weight_permille) / 10.0,
            "status": status, "statusReason": reason,
            "metrics": metrics.get(&record.name),
        }))
    }

    /// Load balancers of an application, of all when it is empty.
    pub fn load_balancers(&self, application: &str) -> Vec<Context> {
        let world = self.world();
        let meant = |application_of: &str| application.is_empty() || application == application_of;
        let balancers = world
            .balancers
            .values()
            .map(|b| &b.record)
            .filter(|b| meant(&b.application));
        balancers
            .map(|balancer| {
                let uses = |e: &&Entry| e.record.spec.load_balancers.contains(&balancer.name);
                let groups: Vec<Value> = world
                    .groups
                    .values()
                    .filter(uses)
                    .map(|e| {
                        let instances: Vec<_> = e.instances.values().map(|i| instance_view(&e.record, i)).collect();
                        json!({"name": e.record.name, "account": e.record.account, "region": e.record.region,
                            "isDisabled": !e.record.enabled, "cloudProvider": "local", "detachedInstances": [],
                            "weight": f64::from(e.record.weight_permille) / 10.0, "instances": instances})
                    })
                    .collect();
                object(json!({
                    "name": balancer.name, "displayName": balancer.name, "account": balancer.account,
                    "region": "local", "type": "local", "cloudProvider": "local", "application": balancer.application,
                    "moniker": {"app": balancer.application, "cluster": balancer.name},
                    "createdTime": balancer.created, "address": self.address(balancer.port), "port": balancer.port,
                    "url": format!("http://{}/", self.address(balancer.port)), "serverGroups": groups,
                }))
            })
            .collect()
    }

    /// One instance, by its name.
    pub fn instance(&self, account: &str, id: &str) -> Result<Context, Problem> {
        let world = self.world();
        let (record, instance) =
            find_instance(&world, account, id).ok_or_else(|| no_instance(id))?;
        let mut view = instance_view(record, instance);
        view.insert("account".to_owned(), json!(record.account));
        view.insert("region".to_owned(), json!(record.region));
        view.insert("serverGroup".to_owned(), json!(record.name));
        view.insert("moniker".to_owned(), json!(record.moniker));
        view.insert("application".to_owned(), json!(record.moniker.app));
        view.insert(
            "loadBalancers".to_owned(),
            json!(record.spec.load_balancers),
        );
        view.insert("cloudProvider".to_owned(), json!("local"));
        view.insert("providerType".to_owned(), json!("local"));
        Ok(view)
    }

    /// The last lines of an instance, or of its run before.
    pub async fn console(
        &self,
        account: &str,
        id: &str,
        lines: u32,
        previous: bool,
    ) -> Result<Context, Problem> {
        let run = {
            let world = self.world();
            let (group, ordinal) = split_instance(id).ok_or_else(|| no_instance(id))?;
            let entry = world
                .groups
                .get(group)
                .filter(|e| account.is_empty() || e.record.account == account);
            let run = entry
                .and_then(|e| e.runs.get(&ordinal))
                .copied()
                .ok_or_else(|| no_instance(id))?;
            RunId {
                group: group.to_owned(),
                ordinal,
                run: if previous { run.saturating_sub(1) } else { run },
            }
        };
        let lines = self
            .processes
            .tail(&run, lines.min(LINES_MAX) as usize)
            .await;
        let of = |stream: &str| {
            let lines: Vec<_> = lines
                .iter()
                .filter(|l| l.stream == stream)
                .map(|l| l.line.as_str())
                .collect();
            json!({"name": stream, "output": lines.join("\n")})
        };
        Ok(object(json!({"output": [of("stdout"), of("stderr")]})))
    }

    /// The last lines of every instance, oldest first.
    pub async fn logs(
        &self,
        application: &str,
        account: &str,
        region: &str,
        name: &str,
        lines: u32,
    ) -> Result<Vec<Context>, Problem> {
        find(&self.world(), application, account, region, name)?;
        let lines = self.log_tail(name, lines.min(LINES_MAX) as usize).await;
        Ok(lines.into_iter().map(|line| object(json!(line))).collect())
    }

    /// Artifact accounts: one for each type.
    pub fn artifact_accounts() -> Vec<Context> {
        let account = |kind: &&str| {
            let name = kind.replace('/', "-");
            object(json!({"name": name, "types": [kind]}))
        };
        crate::domain::group::ARTIFACT_TYPES
            .iter()
            .map(account)
            .collect()
    }

    /// The bytes of an artifact.
    pub async fn fetch_artifact(&self, artifact: &Context) -> Result<Value, Problem> {
        let artifact: Artifact = super::deploy::readable(artifact)?;
        let bytes = self.artifacts.fetch(&artifact).await?;
        if bytes.len() > FETCH_BYTES_MAX {
            let text = format!(
                "the artifact has {} bytes, at most {FETCH_BYTES_MAX} fit into an answer",
                bytes.len()
            );
            return Err(Problem::new("CLOUDDRIVER-0010", Kind::TooLarge, text));
        }
        let content = base64::engine::general_purpose::STANDARD.encode(&bytes);
        Ok(json!({"content": content, "sha256": super::store::sha256(&bytes)}))
    }
}

/// Empty parts of the address match everything.
fn find<'w>(
    world: &'w World,
    application: &str,
    account: &str,
    region: &str,
    name: &str,
) -> Result<&'w Entry, Problem> {
    let same = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
    let entry = world.groups.get(name).filter(|e| {
        let record = &e.record;
        same(application, &record.moniker.app)
            && same(account, &record.account)
            && same(region, &record.region)
    });
    entry.ok_or_else(|| no_group(name))
}

fn account(account: &Account) -> Context {
    object(json!({
        "name": account.name, "type": "local", "accountType": account.environment,
        "environment": account.environment, "cloudProvider": "local", "permissions": account.permissions,
        "requiredGroupMembership": [], "authorized": true, "primaryAccount": false, "enabled": true,
        "challengeDestructiveActions": account.challenge_destructive_actions, "regions": [{"name": "local"}],
    }))
}

/// Names for people; embedded artifacts are named, never shown.
fn build_info(artifact: Option<&Artifact>, command: &[String]) -> Value {
    let image = match artifact {
        Some(a) => {
            let embedded = a.kind == "embedded/base64";
            let name = a.name.clone().unwrap_or_else(|| {
                if embedded {
                    "embedded".to_owned()
                } else {
                    a.reference.clone()
                }
            });
            a.version
                .as_ref()
                .map_or_else(|| name.clone(), |version| format!("{name}:{version}"))
        }
        None => command.first().cloned().unwrap_or_default(),
    };
    json!({"images": [image]})
}

fn instance_view(record: &ServerGroup, instance: &Instance) -> Context {
    let state = match instance.state {
        Life::Live { ready: true } if record.enabled || record.spec.load_balancers.is_empty() => {
            "Up"
        }
        Life::Live { ready: true } | Life::Stopping => "OutOfService",
        Life::Live { ready: false } if instance.history.restarts == 0 => "Starting",
        Life::Live { ready: false } | Life::Ended { .. } => "Down",
    };
    let name = format!("{}-{}", record.name, instance.id.ordinal);
    let end = instance
        .last_end
        .as_ref()
        .map(|e| json!({"message": e.to_string(), "time": e.at, "exit": e.exit}));
    object(json!({
        "id": name, "name": name, "humanReadableName": name, "displayName": name, "kind": "process",
        "healthState": state, "health": [{"type": "local", "source": "probe", "state": state, "description": instance.message}],
        "availabilityZone": record.region, "zone": record.region, "launchTime": instance.started,
        "createdTime": instance.started, "pid": instance.pid, "ports": instance.ports, "run": instance.id.run,
        "restarts": instance.history.restarts, "lastEnd": end,
    }))
}

/// `shop-prod-v003-1` is instance 1 of `shop-prod-v003`.
fn split_instance(id: &str) -> Option<(&str, u32)> {
    let (group, ordinal) = id.rsplit_once('-')?;
    Some((group, ordinal.parse().ok()?))
}

fn find_instance<'w>(
    world: &'w World,
    account: &str,
    id: &str,
) -> Option<(&'w ServerGroup, &'w Instance)> {
    let (group, ordinal) = split_instance(id)?;
    let entry = world
        .groups
        .get(group)
        .filter(|e| account.is_empty() || e.record.account == account)?;
    Some((&entry.record, entry.instances.get(&ordinal)?))
}

fn no_instance(id: &str) -> Problem {
    Problem::new(
        "CLOUDDRIVER-0020",
        Kind::NotFound,
        format!("there is no instance {id}"),
    )
}
