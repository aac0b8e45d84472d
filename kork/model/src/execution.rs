//! An execution as Gate shows it: the shape that `spin`, Deck and scripts read.
//!
//! Nulls are left out. Shapes and names: Spinnaker's own (see the README of gate).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Context, ExecutionId, StageId, Status, Timestamp};

/// A pipeline from a stored definition, or an ad-hoc task (`POST /tasks`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionType {
    /// Runs a pipeline definition.
    #[default]
    Pipeline,
    /// Runs the jobs of a task, one after the other.
    Orchestration,
}

/// One run of a pipeline or of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Execution {
    #[serde(rename = "type")]
    pub kind: ExecutionType,
    pub id: ExecutionId,
    pub application: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Tasks only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline_config_id: Option<String>,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time_expiry: Option<Timestamp>,
    pub canceled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canceled_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancellation_reason: Option<String>,
    pub limit_concurrent: bool,
    pub max_concurrent_executions: u32,
    pub keep_waiting_pipelines: bool,
    pub stages: Vec<Stage>,
    pub authentication: Authentication,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    pub origin: String,
    pub trigger: Context,
    pub notifications: Vec<Value>,
    pub initial_config: Context,
    pub system_notifications: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spel_evaluator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_variables: Option<Context>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Value>,
    /// The span of a trace in which it was asked for, as W3C Trace Context writes it. Ours, not
    /// Spinnaker's: the log keeps it, so that the execution stays in one trace whoever goes on with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// On whose behalf an execution runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Authentication {
    pub user: String,
    pub allowed_accounts: Vec<String>,
}

/// When and by whom an execution was held and let go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names are Spinnaker's")]
pub struct Paused {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_time: Option<Timestamp>,
    pub paused: bool,
    /// Length of the last pause, once it ended.
    pub paused_ms: u64,
}

/// Where a synthetic stage stands relative to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StageOwner {
    /// Runs before the parent's tasks.
    StageBefore,
    /// Runs after the parent's tasks.
    StageAfter,
}

/// One stage of an execution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stage {
    pub id: StageId,
    pub ref_id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time_expiry: Option<Timestamp>,
    pub status: Status,
    pub context: Context,
    pub outputs: Context,
    pub tasks: Vec<Task>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic_stage_owner: Option<StageOwner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_stage_id: Option<StageId>,
    pub requisite_stage_ref_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<LastModified>,
}

/// Who changed a stage by hand, and when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names are Spinnaker's")]
pub struct LastModified {
    pub user: String,
    pub allowed_accounts: Vec<String>,
    pub last_modified_time: Timestamp,
}

/// One step inside a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names are Spinnaker's")]
pub struct Task {
    /// "1", "2", ... inside its stage.
    pub id: String,
    pub name: String,
    /// The engine's name of the work; clients show it, nothing else reads it.
    pub implementing_class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    pub status: Status,
    pub stage_start: bool,
    pub stage_end: bool,
    pub loop_start: bool,
    pub loop_end: bool,
    pub task_exception_details: Context,
}

impl Execution {
    /// The stage with this id.
    pub fn stage(&self, id: &StageId) -> Option<&Stage> {
        self.stages.iter().find(|s| &s.id == id)
    }

    /// Its stages are played and touch nothing outside; neither may what it starts.
    pub fn is_dry_run(&self) -> bool {
        self.trigger.get("dryRun") == Some(&Value::Bool(true))
    }
}
