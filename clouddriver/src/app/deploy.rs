//! `createServerGroup` and `cloneServerGroup`: reserve a name, place the artifact, start instances,
//! wait until they are ready, then let traffic in.
//!
//! A server group that does not become healthy is stopped and stays visible as failed, with its
//! output, until it is destroyed. Others are not touched.

use kork_model::{Context, Kind, Problem, Timestamp};
use serde_json::{Value, json};

use super::{
    Driver, Failure, Order, Outcome, Unmet, duration_ms,
    spec::{invalid, spec},
    store::{is_passing, no_group},
    world::{Entry, World},
};
use crate::domain::{
    group::{Capacity, LoadBalancer, Phase, ServerGroup},
    names::Moniker,
    request::{Create, read},
    routing::WEIGHT_PERMILLE_MAX,
};

/// Lines of output that a failed deployment reports.
const LOG_TAIL_LINES: usize = 40;
/// On top of the grace, until the processes of a failed group must be gone.
const STOP_MARGIN_MS: u64 = 5000;

/// How a deployment stands.
enum Standing {
    Ready,
    Broken(String),
}

impl Driver {
    /// `createServerGroup`.
    pub async fn create_server_group(&self, order: &Order<'_>) -> Outcome {
        let request: Create = readable(order.payload)?;
        let record = self.draft(order, &request, None)?;
        self.deploy(order, record, request.enable_traffic.unwrap_or(true))
            .await
    }

    /// `cloneServerGroup`: as its source, but for what the order says.
    pub async fn clone_server_group(&self, order: &Order<'_>) -> Outcome {
        let request: Create = readable(order.payload)?;
        let named = request
            .source
            .as_ref()
            .map(|s| s.server_group_name.clone())
            .filter(|n| !n.is_empty());
        let name =
            named.ok_or_else(|| invalid("/source/serverGroupName", "the source is not named"))?;
        let source = self.world().groups.get(&name).map(|e| e.record.clone());
        let source = source.ok_or_else(|| no_group(&name))?;
        let record = self.draft(order, &request, Some(&source))?;
        self.deploy(order, record, request.enable_traffic.unwrap_or(true))
            .await
    }

    /// The record that the order asks for, without a name yet.
    pub(crate) fn draft(
        &self,
        order: &Order<'_>,
        request: &Create,
        source: Option<&ServerGroup>,
    ) -> Result<ServerGroup, Problem> {
        let account = match (request.account(), source) {
            (None, Some(source)) => source.account.clone(),
            (named, _) => self.account(named)?.name.clone(),
        };
        let moniker = match source {
            Some(source) if request.stack.is_none() && request.free_form_details.is_none() => {
                Moniker {
                    sequence: None,
                    ..source.moniker.clone()
                }
            }
            _ => {
                let application = request.application.as_deref().filter(|a| !a.is_empty());
                let application = application.unwrap_or(order.application);
                Moniker::new(
                    application,
                    request.stack.as_deref(),
                    request.free_form_details.as_deref(),
                )
                .map_err(|e| Problem::new("CLOUDDRIVER-0004", Kind::Invalid, e.to_string()))?
            }
        };
        let capacity = request.capacity.or(source.map(|s| s.capacity));
        let capacity = capacity.unwrap_or(Capacity {
            min: 1,
            max: 1,
            desired: 1,
        });
        self.check_limits(&moniker, capacity.desired)?;
        let region = request.region.clone().or(source.map(|s| s.region.clone()));
        Ok(ServerGroup {
            name: String::new(),
            account,
            region: region
                .filter(|r| !r.is_empty())
                .unwrap_or_else(|| "local".to_owned()),
            moniker,
            created: self.now(),
            created_by: order.key.to_owned(),
            generation: 1,
            life: Phase::Preparing,
            capacity,
            enabled: false,
            weight_permille: WEIGHT_PERMILLE_MAX,
            spec: spec(&self.config, request, source.map(|s| &s.spec))?,
        })
    }

    /// Refuses what does not fit on this machine.
    pub(crate) fn check_limits(&self, moniker: &Moniker, desired: u32) -> Result<(), Problem> {
        let limits = &self.config.limits;
        let too_large = |text: String| Err(Problem::new("CLOUDDRIVER-0005", Kind::TooLarge, text));
        if desired > limits.instances_per_server_group_max {
            let max = limits.instances_per_server_group_max;
            return too_large(format!(
                "{desired} instances are more than the {max} that a server group may have"
            ));
        }
        let world = self.world();
        let of_application = world
            .groups
            .values()
            .filter(|e| e.record.moniker.app == moniker.app)
            .count();
        if of_application >= limits.server_groups_per_application_max {
            let max = limits.server_groups_per_application_max;
            let app = &moniker.app;
            return too_large(format!(
                "application {app} has {max} server groups already; destroy old ones first"
            ));
        }
        let running: u32 = world.groups.values().map(|e| e.record.replicas()).sum();
        if running + desired > limits.instances_max {
            let max = limits.instances_max;
            return too_large(format!(
                "{desired} instances besides the {running} that run are more than {max}"
            ));
        }
        Ok(())
    }

    async fn deploy(&self, order: &Order<'_>, draft: ServerGroup, enable: bool) -> Outcome {
        let known = {
            let world = self.world();
            world
                .groups
                .values()
                .map(|e| &e.record)
                .find(|r| r.created_by == order.key)
                .cloned()
        };
        let record = match known {
            Some(known) => known,
            None => self.reserve(draft).await?,
        };
        let deadline = self.now().plus_ms(record.spec.deadline_ms);
        let deadline = order.deadline.map_or(deadline, |d| d.min(deadline));
        match self.bring_up(order, &record, deadline, enable).await {
            Ok(()) => Ok(self.deployed(&record.name)),
            Err(failure) if order.stop.is_cancelled() => Err(failure),
            // The order comes again and goes on with what there is.
            Err(failure) if is_passing(&failure.problem) => Err(failure),
            Err(failure) => Err(self.give_up(&record, failure).await),
        }
    }

    async fn bring_up(
        &self,
        order: &Order<'_>,
        record: &ServerGroup,
        deadline: Timestamp,
        enable: bool,
    ) -> Result<(), Box<Failure>> {
        if record.life == Phase::Preparing {
            self.artifacts
                .prepare(&record.name, record.spec.artifact.as_ref())
                .await?;
            for name in &record.spec.load_balancers {
                self.open_balancer(&record.account, &record.moniker.app, name, 0)
                    .await?;
            }
            self.save_group(&record.name, |r| {
                if r.life == Phase::Preparing {
                    r.life = Phase::Active;
                }
            })
            .await?;
        }
        self.wait_until_up(order, &record.name, deadline).await?;
        if enable {
            self.save_group(&record.name, |r| r.enabled = r.is_active())
                .await?;
        }
        self.push_table().await?;
        Ok(())
    }

    /// Makes sure that the proxy listens for this load balancer.
    pub(crate) async fn open_balancer(
        &self,
        account: &str,
        application: &str,
        name: &str,
        port: u16,
    ) -> Result<(), Problem> {
        let balancer = LoadBalancer {
            name: name.to_owned(),
            account: account.to_owned(),
            application: application.to_owned(),
            port,
            created: self.now(),
        };
        self.ensure_balancer(balancer).await?;
        let ports = self.push_table().await?;
        if ports.contains_key(name) {
            return Ok(());
        }
        let port = self
            .world()
            .balancers
            .get(name)
            .map_or(port, |b| b.record.port);
        let text =
            format!("the load balancer {name} cannot listen on port {port}: something else does");
        Err(Problem::new("CLOUDDRIVER-0011", Kind::Conflict, text))
    }

    /// Waits until enough instances are ready; fails as soon as one is broken.
    pub(crate) async fn wait_until_up(
        &self,
        order: &Order<'_>,
        name: &str,
        deadline: Timestamp,
    ) -> Result<(), Box<Failure>> {
        let look = |world: &World| match world.groups.get(name) {
            Some(entry) => standing(self.now(), entry),
            None => Some(Standing::Broken("it was destroyed meanwhile".to_owned())),
        };
        match self.wait(deadline, &order.stop, look).await {
            Ok(Standing::Ready) => Ok(()),
            Ok(Standing::Broken(why)) => {
                let text = format!("server group {name} does not come up: {why}");
                Err(Problem::new("CLOUDDRIVER-0007", Kind::Conflict, text).into())
            }
            Err(Unmet::Withdrawn) => Err(withdrawn().into()),
            Err(Unmet::Deadline) => {
                let why = self
                    .world()
                    .groups
                    .get(name)
                    .map(unready)
                    .unwrap_or_default();
                let text = format!("server group {name} was not healthy in time: {why}");
                Err(Problem::new("CLOUDDRIVER-0006", Kind::Timeout, text).into())
            }
        }
    }

    /// Stops a group that did not come up; the failure gets the last lines of its output.
    async fn give_up(&self, record: &ServerGroup, mut failure: Box<Failure>) -> Box<Failure> {
        let name = &record.name;
        let lines = self.log_tail(name, LOG_TAIL_LINES).await;
        let lines: Vec<String> = lines.into_iter().map(|l| l.line).collect();
        let reason = failure.problem.message();
        let saved = self
            .save_group(name, |r| {
                if r.life != Phase::Destroying {
                    r.life = Phase::Failed {
                        reason: reason.clone(),
                    };
                    r.enabled = false;
                }
            })
            .await;
        if let Err(problem) = saved {
            failure.problem.causes.push(format!(
                "and it could not be stopped: {}",
                problem.message()
            ));
            return failure;
        }
        let stopped_by = self
            .now()
            .plus_ms(record.spec.stop_grace_ms + STOP_MARGIN_MS);
        let none = tokio_util::sync::CancellationToken::new();
        let gone = |world: &World| {
            world
                .groups
                .get(name)
                .is_none_or(|e| e.instances.is_empty())
                .then_some(())
        };
        if self.wait(stopped_by, &none, gone).await.is_err() {
            failure
                .problem
                .causes
                .push("some of its processes do not end".to_owned());
        }
        failure.problem.data = Some(json!({"serverGroup": name, "logTail": lines}));
        failure.context.insert("logTail".to_owned(), json!(lines));
        failure
            .context
            .insert("serverGroup".to_owned(), json!(name));
        failure
    }

    /// What a deployment tells later stages.
    pub(crate) fn deployed(&self, name: &str) -> Context {
        let world = self.world();
        let Some(entry) = world.groups.get(name) else {
            return Context::new();
        };
        let record = &entry.record;
        let balancers: Vec<Value> = record
            .spec
            .load_balancers
            .iter()
            .filter_map(|n| world.balancers.get(n))
            .map(|b| json!({"name": b.record.name, "address": self.address(b.record.port)}))
            .collect();
        let instances: Vec<String> = entry
            .instances
            .keys()
            .map(|ordinal| format!("{name}-{ordinal}"))
            .collect();
        let outputs = json!({
            "deploy.server.groups": {record.region.clone(): [name]},
            "serverGroup": name,
            "serverGroupName": name,
            "cluster": record.moniker.cluster,
            "region": record.region,
            "loadBalancers": balancers,
            "instances": instances,
        });
        outputs.as_object().cloned().unwrap_or_default()
    }

    /// Where clients call a load balancer.
    pub(crate) fn address(&self, port: u16) -> String {
        let config = &self.config;
        let host = match config.load_balancer_name.as_str() {
            "" => &config.load_balancer_host,
            name => name,
        };
        format!("{host}:{port}")
    }

    /// How long one operation on instances may take unless the order says otherwise.
    pub(crate) fn patience(&self, order: &Order<'_>, record: &ServerGroup) -> Timestamp {
        let spec = &record.spec;
        let longest =
            duration_ms(spec.drain_ms.saturating_add(spec.stop_grace_ms)).as_millis() as u64;
        let usual = self
            .now()
            .plus_ms(longest.max(spec.deadline_ms) + STOP_MARGIN_MS);
        order.deadline.map_or(usual, |d| d.min(usual))
    }
}

pub(crate) fn withdrawn() -> Problem {
    Problem::new(
        "CLOUDDRIVER-0023",
        Kind::Conflict,
        "the order was withdrawn",
    )
}

/// Reads a payload, or says which of its values is wrong.
pub(crate) fn readable<T: serde::de::DeserializeOwned>(payload: &Context) -> Result<T, Problem> {
    read(payload).map_err(|wrong| {
        let pointer = format!("/{}", wrong.path.replace('.', "/"));
        invalid(&pointer, format!("{}: {}", wrong.path, wrong.detail))
    })
}

/// Instances that must be ready: the share of the desired ones, rounded up.
fn needed(record: &ServerGroup) -> usize {
    let share = u64::from(record.spec.target_healthy_percentage.min(100));
    (u64::from(record.capacity.desired) * share).div_ceil(100) as usize
}

fn standing(now: Timestamp, entry: &Entry) -> Option<Standing> {
    let record = &entry.record;
    match &record.life {
        Phase::Active => {}
        Phase::Preparing => return None,
        Phase::Failed { reason } => return Some(Standing::Broken(reason.clone())),
        Phase::Destroying => return Some(Standing::Broken("it is being destroyed".to_owned())),
    }
    if entry.ready().count() >= needed(record) {
        return Some(Standing::Ready);
    }
    let broken = entry.broken(now)?;
    let end = broken
        .last_end
        .as_ref()
        .map_or_else(String::new, ToString::to_string);
    let times = broken.history.restarts;
    let again = if times > 1 {
        format!(", after {times} starts")
    } else {
        String::new()
    };
    Some(Standing::Broken(format!(
        "instance {}-{} {end}{again}",
        record.name, broken.id.ordinal
    )))
}

/// What the instances that are not ready say.
fn unready(entry: &Entry) -> String {
    let ready = entry.ready().count();
    let desired = entry.record.capacity.desired;
    let not_ready = entry
        .instances
        .values()
        .filter(|i| entry.ready().all(|r| r.id != i.id));
    let said: Vec<String> = not_ready
        .map(|i| match &i.last_end {
            Some(end) => format!(
                "instance {} says: {} (before, it {end})",
                i.id.ordinal, i.message
            ),
            None => format!("instance {} says: {}", i.id.ordinal, i.message),
        })
        .collect();
    format!(
        "{ready} of {desired} instances are ready; {}",
        said.join("; ")
    )
}
