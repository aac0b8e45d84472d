//! What happened to an execution. The log holds these and nothing else; each stays readable for ever.

use kork_model::{Context, Execution, LastModified, Stage, StageId, StageOwner, Status, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::{OpenOrder, State};

/// One fact in the log of an execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "camelCase")]
pub enum Event {
    /// It exists. Nothing has started.
    Created {
        execution: Box<Execution>,
        needs_admission: bool,
    },
    /// An archived execution came back, to be restarted.
    Restored { state: Box<State> },
    /// The pipeline's log let it through.
    Admitted { at: Timestamp },
    /// It runs.
    Started { at: Timestamp },
    /// A stage was planned and runs.
    StageStarted {
        stage: StageId,
        at: Timestamp,
        context: Context,
        tasks: Vec<PlannedTask>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        planning_failed: bool,
    },
    /// Synthetic stages were added beside their parent.
    StagesAdded {
        parent: StageId,
        owner: StageOwner,
        on_failure: bool,
        stages: Vec<Stage>,
    },
    /// Planned stages that did not start were dropped.
    StagesRemoved { stages: Vec<StageId> },
    /// A task runs, for the n-th time.
    TaskStarted {
        stage: StageId,
        task: usize,
        at: Timestamp,
        attempt: u32,
    },
    /// A task waits for a moment or for a change.
    TaskWaits {
        stage: StageId,
        task: usize,
        wake_at: Option<Timestamp>,
        context: Context,
    },
    /// Work went out to a worker.
    TaskDispatched {
        stage: StageId,
        task: usize,
        order: OpenOrder,
    },
    /// Work was called back.
    OrderWithdrawn {
        stage: StageId,
        task: usize,
        order: OpenOrder,
    },
    /// A task ended.
    TaskFinished {
        stage: StageId,
        task: usize,
        at: Timestamp,
        status: Status,
        context: Context,
        outputs: Context,
    },
    /// Keys of a stage's context changed: progress, a judgment, a skipped wait.
    ContextChanged {
        stage: StageId,
        set: Context,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<LastModified>,
    },
    /// A stage ended.
    StageFinished {
        stage: StageId,
        at: Timestamp,
        status: Status,
    },
    /// A person holds the execution.
    Paused { at: Timestamp, by: String },
    /// A person lets it go.
    Resumed { at: Timestamp, by: String },
    /// It is to stop.
    Canceled {
        at: Timestamp,
        by: String,
        reason: Option<String>,
    },
    /// A stage and what follows it start again.
    Restarted {
        at: Timestamp,
        by: String,
        stage: StageId,
        reset: Vec<StageId>,
        removed: Vec<StageId>,
    },
    /// More can happen at once, but the decision is as large as one may be.
    Unfinished { at: Timestamp },
    /// Later stages run on behalf of somebody else.
    UserChanged { user: String },
    /// Nothing more happens, for this reason, which clients can read.
    Finished {
        at: Timestamp,
        status: Status,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        explanation: Option<String>,
    },
}

/// A task as planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    pub name: String,
    pub kind: String,
}
