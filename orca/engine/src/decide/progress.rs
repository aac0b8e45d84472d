//! Lets an execution go on until it waits for something outside.

use std::collections::BTreeMap;

use kork_model::{Stage, StageId, StageOwner, Status};

use super::Decider;
use crate::{
    context::flag,
    event::Event,
    graph,
    limits::{DECISION_BYTES_MAX, EVENTS_PER_DECISION_MAX},
};

type Siblings<'a> = (Option<&'a StageId>, Option<StageOwner>, &'a str);

impl Decider {
    /// Runs until nothing more can happen without the outside.
    pub(crate) fn advance(&mut self) {
        loop {
            if self.state.execution.status != Status::Running || self.conclude_early() {
                return;
            }
            if self.is_full() {
                // The timer brings the next decision, at once.
                self.emit(Event::Unfinished { at: self.now });
                return;
            }
            if !self.step() {
                self.conclude_if_done();
                return;
            }
        }
    }

    /// One decision is one message of the log, which must not outgrow it.
    fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_PER_DECISION_MAX || self.bytes >= DECISION_BYTES_MAX
    }

    /// Looks once at every stage that runs or may start. True when something changed.
    fn step(&mut self) -> bool {
        let mut changed = false;
        for (id, status) in self.actionable() {
            changed |= match status {
                Status::NotStarted => self.start_stage(&id),
                _ => self.continue_stage(&id),
            };
            if self.conclude_early() || self.is_full() {
                return true;
            }
        }
        changed
    }

    fn actionable(&self) -> Vec<(StageId, Status)> {
        let stages = &self.state.execution.stages;
        let mut by_ref: BTreeMap<Siblings<'_>, Vec<Status>> = BTreeMap::new();
        for stage in stages {
            by_ref
                .entry(siblings(stage, &stage.ref_id))
                .or_default()
                .push(stage.status);
        }
        stages
            .iter()
            .filter(|stage| match stage.status {
                Status::Running => true,
                Status::NotStarted => self.parent_lets(stage) && requisites_met(stage, &by_ref),
                _ => false,
            })
            .map(|stage| (stage.id.clone(), stage.status))
            .collect()
    }

    pub(crate) fn parent_lets(&self, stage: &Stage) -> bool {
        stage.parent_stage_id.as_ref().is_none_or(|id| {
            self.state
                .stage(id)
                .is_some_and(|p| p.status == Status::Running)
        })
    }

    /// A top-level stage that failed or was cancelled ends the execution at once.
    fn conclude_early(&mut self) -> bool {
        if self.state.execution.status != Status::Running {
            return true;
        }
        let earlier = |id: &StageId| self.state.meta.get(id).is_some_and(|notes| notes.earlier);
        let Some(verdict) = self.worst(|stage| !earlier(&stage.id)) else {
            return false;
        };
        self.conclude(verdict, None);
        true
    }

    /// What the failure of one of these top-level stages makes of the execution.
    fn worst(&self, counts: impl Fn(&Stage) -> bool) -> Option<Status> {
        let any = |status| {
            let mut stages = self.state.top_level();
            stages.any(|stage| stage.status == status && counts(stage))
        };
        let verdicts = [Status::Terminal, Status::Canceled];
        verdicts.into_iter().find(|status| any(*status))
    }

    /// Nothing can go on by itself: ends the execution unless a stage still waits for the outside.
    fn conclude_if_done(&mut self) {
        if self
            .state
            .execution
            .stages
            .iter()
            .any(|s| s.status == Status::Running)
        {
            return;
        }
        if let Some(verdict) = self.worst(|_| true) {
            return self.conclude(verdict, None);
        }
        let top_level: Vec<&Stage> = self.state.top_level().collect();
        if top_level.iter().all(|s| s.status.satisfies_downstream()) {
            return self.conclude(Status::Succeeded, None);
        }
        let stopped: Vec<&&Stage> = top_level
            .iter()
            .filter(|s| s.status == Status::Stopped)
            .collect();
        if !stopped.is_empty() {
            let fails = stopped
                .iter()
                .any(|s| flag(&s.context, "completeOtherBranchesThenFail") == Some(true));
            let status = if fails {
                Status::Terminal
            } else {
                Status::Succeeded
            };
            return self.conclude(status, None);
        }
        let stuck: Vec<String> = top_level
            .iter()
            .filter(|s| s.status == Status::NotStarted)
            .map(|s| {
                format!(
                    "{} ({}) requires {}",
                    s.ref_id,
                    s.name,
                    s.requisite_stage_ref_ids.join(", ")
                )
            })
            .collect();
        let text = format!(
            "these stages can never start, because what they require does not exist or requires \
             them: {}",
            stuck.join("; ")
        );
        self.conclude(Status::Terminal, Some(text));
    }

    pub(crate) fn conclude(&mut self, status: Status, explanation: Option<String>) {
        let running: Vec<StageId> = self
            .state
            .top_level()
            .filter(|s| matches!(s.status, Status::Running | Status::Paused))
            .map(|s| s.id.clone())
            .collect();
        for id in running {
            self.cancel_stage(&id);
        }
        self.emit(Event::Finished {
            at: self.now,
            status,
            explanation,
        });
    }

    /// Ends a stage and all inside it as cancelled, calling back its work.
    pub(crate) fn cancel_stage(&mut self, id: &StageId) {
        let mut all = graph::inside(&self.state.execution, id);
        all.push(id.clone());
        for stage in all {
            let live = self
                .state
                .stage(&stage)
                .is_some_and(|s| matches!(s.status, Status::Running | Status::Paused));
            if live {
                self.cancel_tasks(&stage);
                self.emit(Event::StageFinished {
                    stage,
                    at: self.now,
                    status: Status::Canceled,
                });
            }
        }
    }
}

fn siblings<'a>(stage: &'a Stage, reference: &'a str) -> Siblings<'a> {
    (
        stage.parent_stage_id.as_ref(),
        stage.synthetic_stage_owner,
        reference,
    )
}

/// All requisites that exist are satisfied; at least one exists, if any is named.
fn requisites_met(stage: &Stage, by_ref: &BTreeMap<Siblings<'_>, Vec<Status>>) -> bool {
    let mut known = 0;
    for requisite in &stage.requisite_stage_ref_ids {
        let Some(statuses) = by_ref.get(&siblings(stage, requisite)) else {
            continue;
        };
        if !statuses.iter().all(|s| s.satisfies_downstream()) {
            return false;
        }
        known += 1;
    }
    known > 0 || stage.requisite_stage_ref_ids.is_empty()
}
