//! Operations on one server group, and on load balancers.

use kork_model::{Context, Kind, Problem};
use serde_json::json;

use super::{
    Driver, Failure, Order, Outcome, Unmet,
    deploy::{readable, withdrawn},
    duration_ms,
    spec::{invalid, is_balancer_name},
    store::{no_balancer, no_group},
    world::{Life, World},
};
use crate::domain::{
    group::{Phase, ServerGroup},
    request::{OnBalancer, OnGroup, Place, Weights},
    routing::WEIGHT_PERMILLE_MAX,
    target,
};

impl Driver {
    /// Does an order; the one place that knows all kinds.
    pub async fn perform(&self, kind: &str, order: &Order<'_>) -> Outcome {
        match kind {
            "createServerGroup" => Box::pin(self.create_server_group(order)).await,
            "cloneServerGroup" => Box::pin(self.clone_server_group(order)).await,
            "resizeServerGroup" => self.resize(order).await,
            "enableServerGroup" => self.enable(order).await,
            "disableServerGroup" => self.disable(order).await,
            "destroyServerGroup" => self.destroy(order).await,
            "updateTrafficWeights" => self.weigh(order).await,
            "waitForUpInstances" => self.wait_for_up(order).await,
            "disableCluster" => self.disable_cluster(order).await,
            "shrinkCluster" => self.shrink_cluster(order).await,
            "scaleDownCluster" => self.scale_down_cluster(order).await,
            "rollbackServerGroup" => self.rollback_server_group(order).await,
            "rollbackCluster" => self.rollback_cluster(order).await,
            "determineTargetServerGroup" => self.determine_target(order),
            "checkPrecondition" => self.check_cluster_size(order),
            "upsertLoadBalancer" => self.upsert_balancer(order).await,
            "deleteLoadBalancer" => self.remove_balancer(order).await,
            "runJob" => self.run_job(order).await,
            other => {
                let text = format!("clouddriver does not know the operation {other}");
                Err(Problem::new("CLOUDDRIVER-0018", Kind::Invalid, text).into())
            }
        }
    }

    /// The server group that an order means: by name, or as a target of a cluster.
    pub(crate) fn meant(
        &self,
        order: &Order<'_>,
        request: &OnGroup,
    ) -> Result<ServerGroup, Problem> {
        let name = match (request.name(), &request.target) {
            (Some(name), _) => name.to_owned(),
            (None, Some(wanted)) => {
                let (account, cluster) = self.cluster_of(order, &request.place)?;
                let region = request.place.region.as_deref();
                let candidates = self.world().candidates(&account, region, &cluster);
                target::dynamic(&candidates, wanted).ok_or_else(|| {
                    let text = format!("cluster {cluster} has no server group that is {wanted}");
                    Problem::new("CLOUDDRIVER-0003", Kind::NotFound, text)
                })?
            }
            (None, None) => {
                return Err(invalid("/serverGroupName", "the server group is not named"));
            }
        };
        let record = self.world().groups.get(&name).map(|e| e.record.clone());
        let record = record.ok_or_else(|| no_group(&name))?;
        let application = request
            .place
            .application
            .as_deref()
            .unwrap_or(order.application);
        if !application.is_empty() && application != record.moniker.app {
            let owner = &record.moniker.app;
            let text =
                format!("server group {name} belongs to application {owner}, not to {application}");
            return Err(Problem::new("CLOUDDRIVER-0017", Kind::Conflict, text));
        }
        Ok(record)
    }

    /// Account and name of the cluster that an order means.
    pub(crate) fn cluster_of(
        &self,
        order: &Order<'_>,
        place: &Place,
    ) -> Result<(String, String), Problem> {
        let account = place.credentials.as_deref().or(place.account.as_deref());
        let account = self.account(account)?.name.clone();
        if let Some(cluster) = place.cluster.as_deref().filter(|c| !c.is_empty()) {
            return Ok((account, cluster.to_owned()));
        }
        let application = place.application.as_deref().unwrap_or(order.application);
        let (stack, detail) = (place.stack.as_deref(), place.free_form_details.as_deref());
        let moniker = crate::domain::names::Moniker::new(application, stack, detail)
            .map_err(|e| Problem::new("CLOUDDRIVER-0004", Kind::Invalid, e.to_string()))?;
        Ok((account, moniker.cluster))
    }

    async fn resize(&self, order: &Order<'_>) -> Outcome {
        let request: OnGroup = readable(order.payload)?;
        let record = self.meant(order, &request)?;
        let capacity = request
            .capacity
            .ok_or_else(|| invalid("/capacity", "capacity.desired is missing"))?;
        active(&record)?;
        if capacity.desired > record.capacity.desired {
            let max = self.config.limits.instances_per_server_group_max;
            if capacity.desired > max {
                let text = format!(
                    "{} instances are more than the {max} that a server group may have",
                    capacity.desired
                );
                return Err(Problem::new("CLOUDDRIVER-0005", Kind::TooLarge, text).into());
            }
        }
        self.save_group(&record.name, |r| r.capacity = capacity)
            .await?;
        let deadline = self.patience(order, &record);
        self.wait_until_up(order, &record.name, deadline).await?;
        self.wait_until_small(order, &record, capacity.desired)
            .await?;
        self.push_table().await?;
        Ok(self.deployed(&record.name))
    }

    /// Waits until surplus instances have gone.
    pub(crate) async fn wait_until_small(
        &self,
        order: &Order<'_>,
        record: &ServerGroup,
        desired: u32,
    ) -> Result<(), Box<Failure>> {
        let look = |world: &World| {
            let entry = world.groups.get(&record.name);
            entry
                .is_none_or(|e| e.instances.keys().all(|o| *o < desired))
                .then_some(())
        };
        let deadline = self.patience(order, record);
        self.wait(deadline, &order.stop, look)
            .await
            .map_err(|unmet| unmet_problem(unmet, &record.name).into())
    }

    async fn enable(&self, order: &Order<'_>) -> Outcome {
        let request: OnGroup = readable(order.payload)?;
        let record = self.meant(order, &request)?;
        let weight = request.desired_percentage.map(permille).transpose()?;
        self.enable_group(order, &record, weight).await?;
        Ok(self.deployed(&record.name))
    }

    /// Lets traffic in once it is healthy.
    pub(crate) async fn enable_group(
        &self,
        order: &Order<'_>,
        record: &ServerGroup,
        weight: Option<u32>,
    ) -> Result<(), Box<Failure>> {
        active(record)?;
        self.wait_until_up(order, &record.name, self.patience(order, record))
            .await?;
        let weight = weight.unwrap_or(WEIGHT_PERMILLE_MAX);
        self.save_group(&record.name, |r| {
            r.enabled = r.is_active();
            r.weight_permille = weight;
        })
        .await?;
        self.push_table().await?;
        Ok(())
    }

    async fn disable(&self, order: &Order<'_>) -> Outcome {
        let request: OnGroup = readable(order.payload)?;
        let record = self.meant(order, &request)?;
        if let Some(share) = request.desired_percentage.filter(|p| *p < 100.0) {
            // "Disable 30 % of it": 70 % of its weight are left.
            let weight = WEIGHT_PERMILLE_MAX - permille(share)?;
            self.save_group(&record.name, |r| r.weight_permille = weight)
                .await?;
            self.push_table().await?;
            return Ok(Context::new());
        }
        let cut = self
            .disable_groups(std::slice::from_ref(&record.name), request.drain_ms)
            .await?;
        Ok(disabled(&[record.name], cut))
    }

    /// Takes groups out of the traffic and waits for their requests; answers with how many were cut.
    pub(crate) async fn disable_groups(
        &self,
        names: &[String],
        drain_ms: Option<u64>,
    ) -> Result<u64, Problem> {
        let mut targets = Vec::new();
        let mut longest_ms = 0;
        for name in names {
            let record = self.save_group(name, |r| r.enabled = false).await?;
            longest_ms = longest_ms.max(record.spec.drain_ms);
            targets.extend(
                self.world()
                    .groups
                    .get(name)
                    .map(super::world::Entry::targets)
                    .unwrap_or_default(),
            );
        }
        self.push_table().await?;
        let cut = self
            .drain(targets, duration_ms(drain_ms.unwrap_or(longest_ms)))
            .await;
        if cut > 0 {
            tracing::warn!(
                server_groups = names.join(", "),
                requests = cut,
                "requests were cut because the drain was over"
            );
        }
        Ok(cut)
    }

    async fn destroy(&self, order: &Order<'_>) -> Outcome {
        let request: OnGroup = readable(order.payload)?;
        let record = match self.meant(order, &request) {
            // Gone is what was asked for: a second delivery finds nothing.
            Err(problem) if problem.code == "CLOUDDRIVER-0003" && request.name().is_some() => {
                return Ok(Context::new());
            }
            other => other?,
        };
        let cut = self.destroy_group(order, &record, request.drain_ms).await?;
        let mut outputs = disabled(std::slice::from_ref(&record.name), cut);
        outputs.insert("destroyed".to_owned(), json!([record.name]));
        Ok(outputs)
    }

    /// Drains, stops and removes a group.
    pub(crate) async fn destroy_group(
        &self,
        order: &Order<'_>,
        record: &ServerGroup,
        drain_ms: Option<u64>,
    ) -> Result<u64, Box<Failure>> {
        let name = &record.name;
        let cut = self
            .disable_groups(std::slice::from_ref(name), drain_ms)
            .await?;
        self.save_group(name, |r| r.life = Phase::Destroying)
            .await?;
        let look = |world: &World| (!world.groups.contains_key(name)).then_some(());
        let deadline = self.patience(order, record);
        self.wait(deadline, &order.stop, look)
            .await
            .map_err(|unmet| unmet_problem(unmet, name))?;
        Ok(cut)
    }

    async fn weigh(&self, order: &Order<'_>) -> Outcome {
        let request: Weights = readable(order.payload)?;
        if request.weights.is_empty() {
            return Err(invalid("/weights", "weights is empty: {server group: per cent}").into());
        }
        let mut changes = Vec::new();
        for (name, share) in &request.weights {
            let on = OnGroup {
                server_group_name: Some(name.clone()),
                ..OnGroup::default()
            };
            active(&self.meant(order, &on)?)?;
            changes.push((name, permille(*share)?));
        }
        // No table is pushed before all are stored: the shares change at once.
        let pushing = self.applied.lock().await;
        for (name, weight) in changes {
            self.save_group(name, |r| r.weight_permille = weight)
                .await?;
        }
        drop(pushing);
        self.push_table().await?;
        Ok(Context::new())
    }

    async fn wait_for_up(&self, order: &Order<'_>) -> Outcome {
        let request: OnGroup = readable(order.payload)?;
        let record = self.meant(order, &request)?;
        self.wait_until_up(order, &record.name, self.patience(order, &record))
            .await?;
        let world = self.world();
        let up = world.groups.get(&record.name).map_or(0, |e| {
            e.instances
                .values()
                .filter(|i| i.state == Life::Live { ready: true })
                .count()
        });
        Ok(Context::from_iter([("upInstances".to_owned(), json!(up))]))
    }

    async fn upsert_balancer(&self, order: &Order<'_>) -> Outcome {
        let request: OnBalancer = readable(order.payload)?;
        if !is_balancer_name(&request.name) {
            return Err(invalid(
                "/name",
                format!("{:?} is not the name of a load balancer", request.name),
            )
            .into());
        }
        let account = self.account(
            request
                .credentials
                .as_deref()
                .or(request.account.as_deref()),
        )?;
        let application = request.application.as_deref().unwrap_or(order.application);
        let port = u16::try_from(request.port.unwrap_or(0))
            .map_err(|_| invalid("/port", "a port is at most 65535"))?;
        let name = &request.name;
        let known = self.world().balancers.get(name).map(|b| b.record.port);
        self.open_balancer(&account.name, application, name, port)
            .await?;
        if known.is_some_and(|known| port != 0 && known != port) {
            self.save_balancer(name, |b| b.port = port).await?;
            self.open_balancer(&account.name, application, name, port)
                .await?;
        }
        let port = self
            .world()
            .balancers
            .get(name)
            .map_or(port, |b| b.record.port);
        let outputs = json!({"loadBalancers": [{"name": name, "address": self.address(port)}]});
        Ok(outputs.as_object().cloned().unwrap_or_default())
    }

    async fn remove_balancer(&self, order: &Order<'_>) -> Outcome {
        let request: OnBalancer = readable(order.payload)?;
        let name = &request.name;
        let application = request.application.as_deref().unwrap_or(order.application);
        let (owner, used) = {
            let world = self.world();
            let Some(balancer) = world.balancers.get(name) else {
                return Ok(Context::new());
            };
            let user = world
                .groups
                .values()
                .find(|e| e.record.spec.load_balancers.contains(name));
            (
                balancer.record.application.clone(),
                user.map(|e| e.record.name.clone()),
            )
        };
        if owner != application {
            return Err(no_balancer(name).into());
        }
        if let Some(used) = used {
            let text = format!(
                "the load balancer {name} is used by server group {used}; destroy that first"
            );
            return Err(Problem::new("CLOUDDRIVER-0017", Kind::Conflict, text).into());
        }
        self.delete_balancer(name).await?;
        self.push_table().await?;
        Ok(Context::new())
    }
}

/// Outputs of everything that takes groups out of the traffic.
pub(crate) fn disabled(names: &[String], cut: u64) -> Context {
    Context::from_iter([
        ("disabled".to_owned(), json!(names)),
        ("drained".to_owned(), json!(cut == 0)),
        ("requestsCut".to_owned(), json!(cut)),
    ])
}

pub(crate) fn unmet_problem(unmet: Unmet, name: &str) -> Problem {
    match unmet {
        Unmet::Withdrawn => withdrawn(),
        Unmet::Deadline => {
            let text = format!(
                "server group {name} did not change in time; some of its processes do not end"
            );
            Problem::new("CLOUDDRIVER-0006", Kind::Timeout, text)
        }
    }
}

fn active(record: &ServerGroup) -> Result<(), Problem> {
    let state = match &record.life {
        Phase::Active => return Ok(()),
        Phase::Preparing => "is being prepared".to_owned(),
        Phase::Failed { reason } => format!("has failed ({reason}); deploy a new one"),
        Phase::Destroying => "is being destroyed".to_owned(),
    };
    let text = format!("server group {} {state}", record.name);
    Err(Problem::new("CLOUDDRIVER-0017", Kind::Conflict, text))
}

/// Per cent with one decimal as steps of 0.1 %.
fn permille(share: f64) -> Result<u32, Problem> {
    if (0.0..=100.0).contains(&share) {
        return Ok((share * 10.0).round() as u32);
    }
    Err(invalid(
        "/weights",
        format!("{share} is not between 0 and 100 per cent"),
    ))
}
