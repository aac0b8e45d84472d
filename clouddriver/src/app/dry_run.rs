//! What an order would do, step by step, without doing it.

use kork_model::{Context, Problem};
use serde_json::{Value, json};

use super::{Driver, Order, deploy::readable, store::no_group};
use crate::domain::{
    group::{Phase, ServerGroup},
    names,
    plan::plan,
    request::{Create, OnGroup, Rollback},
};

impl Driver {
    /// `{steps: [{action, ...}], problems: [...]}`.
    pub fn plan_operation(&self, kind: &str, order: &Order<'_>) -> Context {
        let (steps, problems) = match self.steps(kind, order) {
            Ok(steps) => (steps, Vec::new()),
            Err(problem) => (Vec::new(), vec![json!(problem)]),
        };
        Context::from_iter([
            ("steps".to_owned(), Value::Array(steps)),
            ("problems".to_owned(), Value::Array(problems)),
        ])
    }

    fn steps(&self, kind: &str, order: &Order<'_>) -> Result<Vec<Value>, Problem> {
        let each = |action: &str, names: Vec<String>| {
            names
                .into_iter()
                .map(|n| json!({"action": action, "serverGroup": n}))
                .collect()
        };
        match kind {
            "createServerGroup" | "cloneServerGroup" => self.creation(order),
            "resizeServerGroup" => {
                let request: OnGroup = readable(order.payload)?;
                let record = self.meant(order, &request)?;
                let capacity = request.capacity.unwrap_or(record.capacity);
                Ok(self.difference(&ServerGroup { capacity, ..record }))
            }
            "enableServerGroup" => {
                let record = self.meant(order, &readable(order.payload)?)?;
                Ok(each("addToLoadBalancers", vec![record.name]))
            }
            "disableServerGroup" => {
                let record = self.meant(order, &readable(order.payload)?)?;
                Ok(each("removeFromLoadBalancers", vec![record.name]))
            }
            "destroyServerGroup" => {
                let record = self.meant(order, &readable(order.payload)?)?;
                let mut steps: Vec<Value> =
                    each("removeFromLoadBalancers", vec![record.name.clone()]);
                steps.extend(self.difference(&ServerGroup {
                    life: Phase::Destroying,
                    ..record.clone()
                }));
                steps.push(json!({"action": "removeServerGroup", "serverGroup": record.name}));
                Ok(steps)
            }
            "disableCluster" => Ok(each(
                "removeFromLoadBalancers",
                self.cluster_choice(kind, order)?,
            )),
            "shrinkCluster" => Ok(each("removeServerGroup", self.cluster_choice(kind, order)?)),
            "scaleDownCluster" => Ok(each("scaleToZero", self.cluster_choice(kind, order)?)),
            "rollbackServerGroup" => {
                let context = readable::<Rollback>(order.payload)?.context;
                let (Some(good), Some(bad)) = (context.good, context.bad) else {
                    return Ok(Vec::new());
                };
                for name in [&good, &bad] {
                    if !self.world().groups.contains_key(name) {
                        return Err(no_group(name));
                    }
                }
                let mut steps: Vec<Value> = each("addToLoadBalancers", vec![good]);
                steps.extend::<Vec<Value>>(each("removeFromLoadBalancers", vec![bad]));
                Ok(steps)
            }
            _ => Ok(vec![json!({"action": kind})]),
        }
    }

    fn creation(&self, order: &Order<'_>) -> Result<Vec<Value>, Problem> {
        let request: Create = readable(order.payload)?;
        let source = request.source.as_ref().map(|s| s.server_group_name.clone());
        let source = match source.filter(|n| !n.is_empty()) {
            Some(name) => Some(
                self.world()
                    .groups
                    .get(&name)
                    .map(|e| e.record.clone())
                    .ok_or_else(|| no_group(&name))?,
            ),
            None => None,
        };
        let mut record = self.draft(order, &request, source.as_ref())?;
        let in_use: Vec<u32> = {
            let world = self.world();
            let same = world
                .groups
                .values()
                .filter(|e| e.record.moniker.cluster == record.moniker.cluster);
            same.filter_map(|e| e.record.moniker.sequence).collect()
        };
        // The newest that still exists; versions that were destroyed are not used again either, so
        // the number may come out higher.
        let version =
            names::next_version(in_use.iter().max().copied(), &in_use).unwrap_or_default();
        record.name = names::server_group(&record.moniker.cluster, version);
        record.life = Phase::Active;
        let mut steps = vec![json!({"action": "createServerGroup", "serverGroup": record.name})];
        if let Some(artifact) = &record.spec.artifact {
            steps.push(
                json!({"action": "placeArtifact", "type": artifact.kind, "name": artifact.name}),
            );
        }
        let known = self.world().balancers.keys().cloned().collect::<Vec<_>>();
        let new = record
            .spec
            .load_balancers
            .iter()
            .filter(|n| !known.contains(n));
        steps.extend(new.map(|name| json!({"action": "createLoadBalancer", "loadBalancer": name})));
        steps.extend(self.difference(&record));
        if request.enable_traffic.unwrap_or(true) {
            steps.push(
                json!({"action": "addToLoadBalancers", "serverGroup": record.name,
                "loadBalancers": record.spec.load_balancers}),
            );
        }
        Ok(steps)
    }

    /// The pure plan between what is and what would be.
    fn difference(&self, desired: &ServerGroup) -> Vec<Value> {
        let observed = self
            .world()
            .groups
            .get(&desired.name)
            .map(super::world::Entry::observed);
        let plan = plan(self.now(), desired, &observed.unwrap_or_default());
        plan.steps.iter().map(|step| json!(step)).collect()
    }
}
