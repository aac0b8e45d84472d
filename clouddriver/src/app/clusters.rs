//! Operations on clusters: each chooses server groups by a pure rule, then does to them what an
//! operation on one does.

use kork_model::{Context, Kind, Problem};
use serde_json::json;

use super::{
    Driver, Order, Outcome, deploy::readable, operations::disabled, spec::invalid, store::no_group,
};
use crate::domain::{
    group::{Capacity, ServerGroup},
    request::{OnCluster, Rollback},
    target::{self, Candidate},
};

impl Driver {
    fn candidates(
        &self,
        order: &Order<'_>,
        request: &OnCluster,
    ) -> Result<(String, Vec<Candidate>), Problem> {
        let (account, cluster) = self.cluster_of(order, &request.place)?;
        let region = request.place.region.as_deref().filter(|r| !r.is_empty());
        let candidates = self.world().candidates(&account, region, &cluster);
        Ok((cluster, candidates))
    }

    /// `disableCluster`, as it would be done now.
    pub(crate) fn cluster_choice(
        &self,
        kind: &str,
        order: &Order<'_>,
    ) -> Result<Vec<String>, Problem> {
        let request: OnCluster = readable(order.payload)?;
        let (_, groups) = self.candidates(order, &request)?;
        let flag = |flag: Option<bool>| flag.unwrap_or(false);
        Ok(match kind {
            "disableCluster" => {
                let remaining = request.remaining_enabled_server_groups.unwrap_or(1) as usize;
                target::to_disable(&groups, remaining, flag(request.prefer_larger_over_newer))
            }
            "shrinkCluster" => {
                let size = request.shrink_to_size.unwrap_or(1) as usize;
                let active_too = flag(request.allow_delete_active);
                target::to_destroy(
                    &groups,
                    size,
                    active_too,
                    flag(request.retain_larger_over_newer),
                )
            }
            _ => {
                let full = request.remaining_full_size_server_groups.unwrap_or(1) as usize;
                let active_too = flag(request.allow_scale_down_active);
                target::to_scale_down(
                    &groups,
                    full,
                    active_too,
                    flag(request.prefer_larger_over_newer),
                )
            }
        })
    }

    pub(crate) async fn disable_cluster(&self, order: &Order<'_>) -> Outcome {
        let request: OnCluster = readable(order.payload)?;
        let names = self.cluster_choice("disableCluster", order)?;
        let cut = self.disable_groups(&names, request.drain_ms).await?;
        Ok(disabled(&names, cut))
    }

    pub(crate) async fn shrink_cluster(&self, order: &Order<'_>) -> Outcome {
        let request: OnCluster = readable(order.payload)?;
        let names = self.cluster_choice("shrinkCluster", order)?;
        let mut cut = 0;
        for name in &names {
            let record = self.world().groups.get(name).map(|e| e.record.clone());
            if let Some(record) = record {
                cut += self.destroy_group(order, &record, request.drain_ms).await?;
            }
        }
        let mut outputs = disabled(&names, cut);
        outputs.insert("destroyed".to_owned(), json!(names));
        Ok(outputs)
    }

    pub(crate) async fn scale_down_cluster(&self, order: &Order<'_>) -> Outcome {
        let names = self.cluster_choice("scaleDownCluster", order)?;
        let mut scaled = Vec::new();
        for name in &names {
            scaled.push(
                self.save_group(name, |r| r.capacity = Capacity::default())
                    .await?,
            );
        }
        for record in &scaled {
            self.wait_until_small(order, record, 0).await?;
        }
        Ok(Context::from_iter([(
            "scaledDown".to_owned(),
            json!(names),
        )]))
    }

    pub(crate) async fn rollback_server_group(&self, order: &Order<'_>) -> Outcome {
        let request: Rollback = readable(order.payload)?;
        let kind = request.kind.as_deref().unwrap_or("EXPLICIT");
        if kind != "EXPLICIT" {
            let text = format!("the rollback type {kind} is not possible here; there is EXPLICIT");
            return Err(invalid("/rollbackType", text).into());
        }
        let bad = request.context.bad;
        let good = request.context.good;
        let (Some(bad), Some(good)) = (bad, good) else {
            let text = "rollbackServerGroupName and restoreServerGroupName are needed";
            return Err(invalid("/rollbackContext", text).into());
        };
        self.change_places(order, &bad, &good).await
    }

    pub(crate) async fn rollback_cluster(&self, order: &Order<'_>) -> Outcome {
        let request: OnCluster = readable(order.payload)?;
        let (cluster, groups) = self.candidates(order, &request)?;
        let enabled: Vec<_> = groups.iter().filter(|g| g.enabled).cloned().collect();
        let bad = target::dynamic(&enabled, "newest");
        let older: Vec<_> = groups
            .iter()
            .filter(|g| Some(&g.name) != bad.as_ref() && self.can_be_restored(&g.name))
            .cloned()
            .collect();
        let good = target::dynamic(&older, "newest");
        let (Some(bad), Some(good)) = (bad, good) else {
            let text = format!("cluster {cluster} has nothing to go back to");
            return Err(Problem::new("CLOUDDRIVER-0017", Kind::Conflict, text).into());
        };
        self.change_places(order, &bad, &good).await
    }

    fn can_be_restored(&self, name: &str) -> bool {
        self.world()
            .groups
            .get(name)
            .is_some_and(|e| e.record.is_active())
    }

    /// Brings `good` back at the size of `bad`, lets traffic in, then takes `bad` out.
    async fn change_places(&self, order: &Order<'_>, bad: &str, good: &str) -> Outcome {
        let record = |name: &str| -> Result<ServerGroup, Problem> {
            self.world()
                .groups
                .get(name)
                .map(|e| e.record.clone())
                .ok_or_else(|| no_group(name))
        };
        let (bad, good) = (record(bad)?, record(good)?);
        let desired = good.capacity.desired.max(bad.capacity.desired);
        let restored = self
            .save_group(&good.name, |r| {
                r.capacity.desired = desired;
                r.capacity.max = r.capacity.max.max(desired);
            })
            .await?;
        self.enable_group(order, &restored, None).await?;
        let cut = self
            .disable_groups(std::slice::from_ref(&bad.name), None)
            .await?;
        let mut outputs = disabled(&[bad.name], cut);
        outputs.insert("restored".to_owned(), json!(good.name));
        Ok(outputs)
    }

    pub(crate) fn determine_target(&self, order: &Order<'_>) -> Outcome {
        let request: OnCluster = readable(order.payload)?;
        let (cluster, groups) = self.candidates(order, &request)?;
        let wanted = request.target.as_deref().unwrap_or("current_asg_dynamic");
        let Some(name) = target::dynamic(&groups, wanted) else {
            let text = format!("cluster {cluster} has no server group that is {wanted}");
            return Err(Problem::new("CLOUDDRIVER-0003", Kind::NotFound, text).into());
        };
        let region = self
            .world()
            .groups
            .get(&name)
            .map(|e| e.record.region.clone());
        let outputs = json!({
            "serverGroupName": name, "asgName": name, "cluster": cluster,
            "targetServerGroups": [{"name": name, "region": region}],
        });
        Ok(outputs.as_object().cloned().unwrap_or_default())
    }

    /// `clusterSize`: how many server groups a cluster has.
    pub(crate) fn check_cluster_size(&self, order: &Order<'_>) -> Outcome {
        let request: OnCluster = readable(order.payload)?;
        let (cluster, groups) = self.candidates(order, &request)?;
        let (actual, expected) = (groups.len() as u64, request.expected.unwrap_or(1));
        let comparison = request.comparison.as_deref().unwrap_or("==");
        let holds = match comparison {
            "==" => actual == expected,
            "<" => actual < expected,
            "<=" => actual <= expected,
            ">" => actual > expected,
            ">=" => actual >= expected,
            other => {
                return Err(invalid("/comparison", format!("{other} is not a comparison")).into());
            }
        };
        if holds {
            return Ok(Context::from_iter([(
                "clusterSize".to_owned(),
                json!(actual),
            )]));
        }
        let text = format!(
            "cluster {cluster} has {actual} server groups, {comparison} {expected} was expected"
        );
        Err(Problem::new("CLOUDDRIVER-0022", Kind::Conflict, text).into())
    }
}
