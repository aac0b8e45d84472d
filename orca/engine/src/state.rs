//! The state of one execution: what clients see, and what only the engine needs to go on.

use std::collections::BTreeMap;

use kork_model::{Context, Execution, Stage, StageId, Status, Timestamp, WorkKey};
use serde::{Deserialize, Serialize};

/// Everything about one execution. The fold of its log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    pub execution: Execution,
    /// Engine's own notes, by stage.
    pub meta: BTreeMap<StageId, StageMeta>,
    /// Counts restarts; part of every work key, so that late results of earlier runs are known.
    pub generation: u32,
    /// Counts synthetic stages ever made; part of their ids.
    pub stages_made: u32,
    /// The pipeline's own log must admit the execution before it may start.
    pub needs_admission: bool,
    /// Admission was granted and is given back at the end.
    pub admitted: bool,
    /// The last decision stopped in the middle, because it grew too large, at this moment: the next one
    /// is due at once.
    pub unfinished: Option<Timestamp>,
    /// The generation in the ticket of the place that it has or waits for. A restart while it runs
    /// keeps the place, a restart after the end asks for a new one.
    pub place: u32,
}

/// What the engine notes about a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StageMeta {
    pub tasks: Vec<TaskMeta>,
    /// After-stages were planned (they are planned once).
    pub after_planned: bool,
    /// On-failure stages were planned.
    pub failure_planned: bool,
    /// Planning failed: the stage ends without having run anything.
    pub planning_failed: bool,
    /// Time spent paused; does not count towards time-outs.
    pub paused_ms: u64,
    /// Length of the execution-window stage before this one; does not count either.
    pub window_ms: u64,
    /// It ended in a run before a restart: it does not end the run of now, only counts at its end.
    pub earlier: bool,
}

/// What the engine notes about a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskMeta {
    /// Which work it is: a key of the stage type's task table.
    pub kind: String,
    /// Tries so far; 1 for the first.
    pub attempt: u32,
    /// Look at it again then.
    pub wake_at: Option<Timestamp>,
    /// Work that is out with a worker.
    pub order: Option<OpenOrder>,
}

/// A piece of work that is out with a worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenOrder {
    pub key: WorkKey,
    pub service: String,
    pub kind: String,
    pub payload: Context,
    pub deadline: Option<Timestamp>,
}

impl State {
    /// Position of a stage in the list.
    pub fn index(&self, id: &StageId) -> Option<usize> {
        self.execution.stages.iter().position(|s| &s.id == id)
    }

    /// The stage with this id.
    pub fn stage(&self, id: &StageId) -> Option<&Stage> {
        self.execution.stage(id)
    }

    /// The engine's notes about a stage; empty notes for one that has none.
    pub fn notes(&self, id: &StageId) -> StageMeta {
        self.meta.get(id).cloned().unwrap_or_default()
    }

    /// Children of a stage at one side of it.
    pub fn children<'a>(
        &'a self,
        parent: &'a StageId,
        owner: kork_model::StageOwner,
    ) -> impl Iterator<Item = &'a Stage> {
        self.execution.stages.iter().filter(move |s| {
            s.parent_stage_id.as_ref() == Some(parent) && s.synthetic_stage_owner == Some(owner)
        })
    }

    /// Top-level stages, in the order of the definition.
    pub fn top_level(&self) -> impl Iterator<Item = &Stage> {
        self.execution
            .stages
            .iter()
            .filter(|s| s.parent_stage_id.is_none())
    }

    /// The task that runs in a stage: its position.
    pub fn running_task(stage: &Stage) -> Option<usize> {
        stage
            .tasks
            .iter()
            .position(|t| matches!(t.status, Status::Running | Status::Paused))
    }

    /// The next moment at which the engine wants to look at this execution.
    pub fn next_wake(&self) -> Option<Timestamp> {
        crate::decide::next_wake(self)
    }
}
