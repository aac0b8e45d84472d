//! The words that every service of the suite shares, and nothing that can do IO.
//!
//! - [`time`], [`id`]: points in time and identifiers.
//! - [`status`]: the states of executions, stages and tasks.
//! - [`execution`]: an execution as Gate shows it and as the engine keeps it.
//! - [`work`]: what orca asks of a worker, and what the worker answers.
//! - [`problem`]: an error as it crosses the bus and the HTTP edge.
//! - [`templated`]: the pipeline that a template and its configuration make.
//! - [`yaml`]: a bound on what is read as YAML.
//! - [`api`]: requests and answers between services, one module per serving service.

pub mod api;
pub mod event;
pub mod execution;
pub mod id;
pub mod inbound;
pub mod problem;
mod shown;
pub mod status;
pub mod templated;
pub mod time;
pub mod trace;
pub mod work;
pub mod yaml;

/// A JSON object: stage contexts, outputs, triggers, pipeline definitions.
pub type Context = serde_json::Map<String, serde_json::Value>;

pub use event::SuiteEvent;
pub use execution::{
    Authentication, Execution, ExecutionType, LastModified, Paused, Stage, StageOwner, Task,
};
pub use id::{ExecutionId, StageId, WorkKey};
pub use inbound::InboundEvent;
pub use problem::{FieldError, Kind, Problem};
pub use shown::Shown;
pub use status::Status;
pub use time::Timestamp;
pub use trace::{ExecutionTrace, TraceContext};
pub use work::{WorkOrder, WorkReport, WorkResult};
