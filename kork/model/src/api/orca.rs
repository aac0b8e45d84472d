//! What orca answers: executions, tasks, triggers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Context, Execution, InboundEvent, Shown, Timestamp, api::call};

/// Where a started execution can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ref {
    /// `/pipelines/<id>` or `/tasks/<id>`.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// How a webhook was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookTaken {
    pub event_processed: bool,
    pub event_id: String,
}

/// Which executions a list shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecutionFilter {
    pub application: Option<String>,
    pub pipeline_config_ids: Vec<String>,
    pub execution_ids: Vec<String>,
    /// Names of statuses; empty = all.
    pub statuses: Vec<String>,
    pub pipeline_name_filter: Option<String>,
    pub trigger_types: Vec<String>,
    pub pipeline_name: Option<String>,
    pub event_id: Option<String>,
    pub trigger_time_start: Option<Timestamp>,
    pub trigger_time_end: Option<Timestamp>,
    /// JSON subset that the trigger must hold.
    pub trigger: Option<Value>,
}

call!("orca", "executions.start",
/// Starts a pipeline as submitted (`POST /pipelines/start`): a pipeline definition that may carry `trigger`.
/// It is validated, stored, and only then answered. `id` starts under a chosen execution id, once.
/// A definition that cannot start (disabled, unmatched artifact) is stored as a failed execution *and* refused.
/// Answers `{ref}`; with `plan: true` in the definition nothing is started and the resolved definition is the answer.
StartPipeline { pipeline: Context, trigger: Option<Context>, user: String, id: Option<String>, origin: Option<String> } -> Context);
call!("orca", "executions.startStored",
/// Starts a stored pipeline by application and name-or-id (`POST /pipelines/{application}/{nameOrId}`).
StartStored { application: String, name_or_id: String, trigger: Context, user: String, id: Option<String> } -> Ref);
call!(repeat "orca", "executions.get",
/// One execution, running or archived.
GetExecution { id: String } -> Execution);
call!(repeat "orca", "executions.list",
/// Executions that match. `limit_per_config`: newest N of each pipeline (or task list); newest first.
/// `expand` false leaves out contexts, outputs and tasks.
ListExecutions { filter: ExecutionFilter, limit_per_config: Option<u32>, offset: u32, limit: Option<u32>, expand: bool, orchestrations: bool } -> Vec<Shown>);
call!(repeat "orca", "executions.cancel",
/// Cancels; nothing happens when it is finished.
CancelExecution { id: String, reason: Option<String>, user: String } -> ());
call!(repeat "orca", "executions.pause",
/// Holds; nothing happens unless it runs.
PauseExecution { id: String, user: String } -> ());
call!(repeat "orca", "executions.resume",
/// Lets go; nothing happens unless it is held.
ResumeExecution { id: String, user: String } -> ());
call!("orca", "executions.delete",
/// Deletes a finished execution; `Conflict` while it runs.
DeleteExecution { id: String, user: String } -> ());
call!("orca", "executions.restart",
/// Restarts a stage and all that follows it; answers with the execution.
RestartStage { id: String, stage: String, body: Context, user: String } -> Execution);
call!("orca", "executions.patchStage",
/// Merges keys into a stage's context: judgments, skipped waits; answers with the execution.
PatchStage { id: String, stage: String, context: Context, user: String } -> Execution);
call!(repeat "orca", "executions.evaluate",
/// Evaluates an expression against an execution (and a stage of it): `{result, detail?}`.
EvaluateExpression { id: String, stage: Option<String>, expression: String } -> Context);
call!(repeat "orca", "executions.evaluateVariables",
/// Evaluates a list of `{key, value}` against an execution: `{result, detail?}`.
EvaluateVariables { id: String, requisite_stage_ref_ids: Vec<String>, spel_version: Option<String>, variables: Vec<Context> } -> Context);

call!("orca", "tasks.start",
/// Runs jobs one after the other (`POST /tasks`): `{application, description, job: [{type, ...}]}`.
StartTask { task: Context, user: String } -> Ref);

call!("orca", "webhooks.receive",
/// An inbound webhook; every matching pipeline is started.
ReceiveWebhook { kind: String, source: String, payload: Context, headers: std::collections::BTreeMap<String, String>, event_id: Option<String> } -> WebhookTaken);

/// What an event from outside did to a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Explained {
    /// The event.
    pub event: String,
    pub pipeline: String,
    pub application: String,
    pub name: String,
    /// The execution that it started, or would have; whether there is one is another question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// The triggers of the pipeline, in their order, each with its verdict.
    pub triggers: Vec<Context>,
}

call!(repeat "orca", "events.receive",
/// Events from outside, stored when this is answered: each starts every pipeline with a matching trigger, once,
/// however often it is sent.
ReceiveEvents { events: Vec<InboundEvent> } -> ());
call!(repeat "orca", "triggers.explain",
/// Which pipelines these events start, or would have; with a pipeline, why its triggers match or do not.
ExplainTriggers { pipeline: Option<String>, events: Vec<InboundEvent> } -> Vec<Explained>);

call!(repeat "orca", "triggers.history",
/// What each trigger of a pipeline did, in their order: `{index, type, because?, schedule?, next?, starts: [{at,
/// outcome: started | madeUp | starting | missed, execution?, status?, event?}], lastEnd?: {execution, status, endTime,
/// because?}}`. `because` says why it cannot start anything, `lastEnd` what the pipeline did last that it waits for.
TriggerHistory { pipeline: String } -> Vec<Context>);

call!(repeat "orca", "cron.check",
/// Checks a Quartz cron expression as triggers read it: `{valid, description}` or `{valid: false, message}`.
CheckCron { expression: String } -> Context);

call!(repeat "orca", "stages.list",
/// The stage types that this orca can run: `[{type, aliases, description, parameters}]`.
ListStageTypes {} -> Vec<Context>);
