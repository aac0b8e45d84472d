//! What orca asks of a worker, and what the worker answers.
//!
//! An order lies on the queue `task.<service>`; its report goes to the queue `orca.reports`.
//! A worker may see the same order twice: it answers with the first result ([`WorkKey`]).

use serde::{Deserialize, Serialize};

use crate::{Context, ExecutionId, Problem, StageId, Status, Timestamp, WorkKey};

/// Queue that reports go to.
pub const REPORTS: &str = "orca.reports";

/// Name of the queue that holds the orders for a service.
pub fn orders(service: &str) -> String {
    format!("task.{service}")
}

/// One piece of work outside the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkOrder {
    pub key: WorkKey,
    pub execution: ExecutionId,
    pub stage: StageId,
    /// Id of the task inside the stage.
    pub task: String,
    pub application: String,
    /// Who the work is done for.
    pub user: String,
    /// Service that does it: `orca`, `front50`, `clouddriver`, `igor` or `custom.<name>`.
    pub service: String,
    /// Kind of work, such as `createServerGroup`.
    pub kind: String,
    /// Evaluated context of the stage, or what the stage type made of it.
    pub payload: Context,
    /// The worker should have stopped by then; orca stops waiting at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The order withdraws an earlier one with the same key: stop it, undo nothing, report nothing.
    #[serde(default)]
    pub cancel: bool,
    /// The span that the work belongs under, as W3C Trace Context writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// How a piece of work ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkResult {
    /// `SUCCEEDED`, `TERMINAL`, `CANCELED`, `SKIPPED`, `STOPPED` or `FAILED_CONTINUE`.
    pub status: Status,
    /// Merged into the stage's context.
    #[serde(default)]
    pub context: Context,
    /// Merged into the stage's outputs: what later stages see.
    #[serde(default)]
    pub outputs: Context,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

impl WorkResult {
    /// Success with these outputs.
    pub fn succeeded(outputs: Context) -> Self {
        Self {
            status: Status::Succeeded,
            context: Context::new(),
            outputs,
            error: None,
        }
    }

    /// Failure for this reason.
    pub fn failed(error: Problem) -> Self {
        Self {
            status: Status::Terminal,
            context: Context::new(),
            outputs: Context::new(),
            error: Some(error),
        }
    }
}

/// A message from a worker about one order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkReport {
    pub key: WorkKey,
    pub execution: ExecutionId,
    pub stage: StageId,
    pub task: String,
    /// Something to show while the work goes on; merged into the stage's context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Context>,
    /// Present once, at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<WorkResult>,
}

impl WorkReport {
    /// The final report of an order.
    pub fn done(order: &WorkOrder, result: WorkResult) -> Self {
        Self {
            key: order.key.clone(),
            execution: order.execution.clone(),
            stage: order.stage.clone(),
            task: order.task.clone(),
            progress: None,
            result: Some(result),
        }
    }

    /// A sign of life with something to show.
    pub fn progress(order: &WorkOrder, context: Context) -> Self {
        Self {
            progress: Some(context),
            result: None,
            ..Self::done(order, WorkResult::succeeded(Context::new()))
        }
    }
}
