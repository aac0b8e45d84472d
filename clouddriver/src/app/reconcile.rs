//! The one loop that drives processes to the desired state.
//!
//! It is called by changes, by ends of processes and by time, and is told nothing: it looks at the
//! records. A step is carried out only while the record has the generation it was planned for.

use std::{sync::Arc, time::Duration};

use kork::service::Shutdown;
use kork_model::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    Driver, duration_ms,
    ports::{Launch, News, Notice, RunId},
    world::{End, Instance, Life},
};
use crate::domain::{
    group::ServerGroup,
    plan::{Step, plan},
    restart::{Exit, History, Verdict},
};

/// The loop also runs without being called, to find a proxy that died.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Driver {
    /// Runs until shutdown. Instances live on.
    pub async fn reconcile(
        self: Arc<Self>,
        mut notices: mpsc::Receiver<Notice>,
        shutdown: Shutdown,
    ) {
        while !shutdown.is_requested() {
            let look_again = self.pass().await;
            let now = self.now();
            let pause = look_again.map_or(LOOK_AGAIN, |at| now.until(at).min(LOOK_AGAIN));
            tokio::select! {
                () = shutdown.requested() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
                notice = notices.recv() => {
                    let Some(notice) = notice else { return };
                    self.observe(notice).await;
                }
            }
            while let Ok(notice) = notices.try_recv() {
                self.observe(notice).await;
            }
        }
    }

    /// Plans and acts once; answers when to look again.
    async fn pass(self: &Arc<Self>) -> Option<Timestamp> {
        let now = self.now();
        let plans: Vec<_> = {
            let world = self.world();
            let plan_of = |(name, entry): (&String, &super::world::Entry)| {
                (name.clone(), plan(now, &entry.record, &entry.observed()))
            };
            world.groups.iter().map(plan_of).collect()
        };
        let mut look_again: Option<Timestamp> = None;
        let mut leaving = Vec::new();
        for (group, plan) in plans {
            if let Some(at) = plan.look_again {
                look_again = Some(look_again.map_or(at, |first| first.min(at)));
            }
            for step in plan.steps {
                self.carry_out(&group, plan.generation, step, &mut leaving)
                    .await;
            }
        }
        if let Err(problem) = self.push_table().await {
            tracing::warn!(%problem, "the proxy could not be told");
        }
        for (id, record) in leaving {
            tokio::spawn(Arc::clone(self).leave(id, record));
        }
        look_again
    }

    async fn carry_out(
        &self,
        group: &str,
        generation: u64,
        step: Step,
        leaving: &mut Vec<(RunId, ServerGroup)>,
    ) {
        match step {
            Step::StartInstance { ordinal } => self.start(group, generation, ordinal).await,
            Step::StopInstance { ordinal } => {
                let mut world = self.world();
                let Some(entry) = world.groups.get_mut(group) else {
                    return;
                };
                if entry.record.generation != generation {
                    return;
                }
                if let Some(instance) = entry.instances.get_mut(&ordinal) {
                    instance.state = Life::Stopping;
                    leaving.push((instance.id.clone(), entry.record.clone()));
                }
            }
            Step::ForgetInstance { ordinal } => {
                if let Some(entry) = self.world().groups.get_mut(group)
                    && entry.record.generation == generation
                {
                    entry.instances.remove(&ordinal);
                }
                self.touch();
            }
            Step::RemoveServerGroup => {
                self.processes.forget(group).await;
                if let Err(problem) = self.artifacts.remove(group).await {
                    tracing::warn!(%problem, group, "files of a destroyed server group are left");
                }
                if let Err(problem) = self.delete_group(group).await {
                    tracing::warn!(%problem, group, "the record of a destroyed server group is left");
                }
            }
        }
    }

    async fn start(&self, group: &str, generation: u64, ordinal: u32) {
        let record = {
            let mut world = self.world();
            let Some(entry) = world.groups.get_mut(group) else {
                return;
            };
            if entry.record.generation != generation {
                return;
            }
            let run = entry.runs.entry(ordinal).or_default();
            *run += 1;
            let id = RunId {
                group: group.to_owned(),
                ordinal,
                run: *run,
            };
            let before = entry.instances.remove(&ordinal);
            let (history, last_end) =
                before.map_or((History::default(), None), |b| (b.history, b.last_end));
            let instance = Instance {
                id,
                state: Life::Live { ready: false },
                pid: 0,
                ports: std::collections::BTreeMap::new(),
                started: self.now(),
                message: "starting".to_owned(),
                last_end,
                history,
            };
            entry.instances.insert(ordinal, instance.clone());
            (entry.record.clone(), instance.id)
        };
        let (record, id) = record;
        let started = match self.artifacts.placed(group, record.spec.artifact.as_ref()) {
            Ok(placed) => {
                let spec = record.spec;
                let launch = Launch {
                    id: id.clone(),
                    command: spec.command,
                    env: spec.env,
                    dir: placed.dir,
                    artifact: placed.file,
                    ports: spec.ports,
                    health: spec.health,
                    liveness: spec.liveness,
                };
                self.processes.start(launch).await
            }
            Err(problem) => Err(problem),
        };
        match started {
            Ok(running) => {
                let mut world = self.world();
                let instance = world
                    .groups
                    .get_mut(group)
                    .and_then(|entry| entry.instances.get_mut(&ordinal));
                if let Some(instance) = instance.filter(|i| i.id == id) {
                    instance.pid = running.pid;
                    instance.ports = running.ports;
                    instance.started = running.started;
                }
                drop(world);
                self.touch();
            }
            Err(problem) => {
                tracing::warn!(%problem, run = %id, "an instance could not be started");
                let news = News::Exited {
                    exit: Exit::NotStarted,
                    because: Some(problem.message()),
                };
                self.observe(Notice { id, news }).await;
            }
        }
    }

    /// Takes news of a run into the world.
    pub(crate) async fn observe(&self, notice: Notice) {
        if let News::Exited { exit, .. } = &notice.news {
            let job = self.jobs().remove(&notice.id);
            if let Some(job) = job {
                job.send_replace(Some(*exit));
                return;
            }
        }
        let Some((record, kind, data)) = self.take_in(&notice) else {
            return;
        };
        self.touch();
        self.publish(
            kind,
            &record.account,
            &record.moniker.app,
            &record.name,
            data,
        )
        .await;
    }

    fn take_in(&self, notice: &Notice) -> Option<(ServerGroup, &'static str, serde_json::Value)> {
        let now = self.now();
        let mut world = self.world();
        let entry = world.groups.get_mut(&notice.id.group)?;
        let record = entry.record.clone();
        let instance = entry
            .instances
            .get_mut(&notice.id.ordinal)
            .filter(|i| i.id == notice.id)?;
        let name = format!("{}-{}", notice.id.group, notice.id.ordinal);
        match &notice.news {
            News::Probed { ready, message } => {
                instance.message.clone_from(message);
                if let Life::Live { ready: known } = &mut instance.state {
                    *known = *ready;
                }
                let kind = if *ready {
                    "instance:up"
                } else {
                    "instance:down"
                };
                Some((record, kind, json!({"instance": name, "message": message})))
            }
            News::Exited { exit, because } => {
                let end = End {
                    exit: *exit,
                    at: now,
                    because: because.clone(),
                };
                tracing::info!(instance = name, run = notice.id.run, "{end}");
                let data = json!({"instance": name, "message": end.to_string()});
                if instance.state == Life::Stopping {
                    entry.instances.remove(&notice.id.ordinal);
                } else {
                    let verdict =
                        instance
                            .history
                            .ended(now, instance.started, *exit, &record.spec.restart);
                    let again_at = match verdict {
                        Verdict::Stay => None,
                        Verdict::At(at) => Some(at),
                    };
                    instance.state = Life::Ended { again_at };
                    instance.message = end.to_string();
                    instance.last_end = Some(end);
                }
                Some((record, "instance:ended", data))
            }
        }
    }

    /// An instance leaves: it is out of the table already; its requests end or are cut, then it is
    /// stopped.
    async fn leave(self: Arc<Self>, id: RunId, record: ServerGroup) {
        let drain = duration_ms(record.spec.drain_ms);
        let cut = self.drain(vec![id.to_string()], drain).await;
        if cut > 0 {
            tracing::warn!(run = %id, requests = cut, "requests were cut because the drain was over");
        }
        self.processes
            .stop(&id, duration_ms(record.spec.stop_grace_ms))
            .await;
        // Its end was noticed already when it ended by itself meanwhile.
        let mut world = self.world();
        if let Some(entry) = world.groups.get_mut(&id.group)
            && entry
                .instances
                .get(&id.ordinal)
                .is_some_and(|i| i.id == id && i.state == Life::Stopping)
        {
            entry.instances.remove(&id.ordinal);
        }
        drop(world);
        self.touch();
    }

    /// Waits until nothing is in flight to these targets, then cuts the rest; answers with how many
    /// requests were cut. A proxy that is not there has nothing in flight.
    pub(crate) async fn drain(&self, targets: Vec<String>, at_most: Duration) -> u64 {
        if targets.is_empty() {
            return 0;
        }
        match self.traffic.idle(targets.clone(), at_most).await {
            Ok(0) | Err(_) => 0,
            Ok(_) => self.traffic.cut(targets).await.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests;
