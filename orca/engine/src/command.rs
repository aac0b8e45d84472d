//! What can be asked of an execution, and why it may be refused.

use kork_model::{
    Context, Execution, ExecutionId, FieldError, Kind, Problem, StageId, Status, WorkReport,
};
use serde::{Deserialize, Serialize};

use crate::state::State;

/// A request to one execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "c", rename_all = "camelCase")]
pub enum Command {
    /// Make it exist, and start it unless its pipeline's log must admit it first.
    Create { execution: Box<Execution> },
    /// Make it exist as one that could not start.
    CreateRefused {
        execution: Box<Execution>,
        reason: String,
    },
    /// The pipeline's log let this run through: the number in its ticket.
    Admit { generation: u32 },
    /// A newer execution waits, and the pipeline keeps only the newest: this run is not to start.
    Supersede { generation: u32 },
    /// Time has passed.
    Tick,
    /// A worker reports.
    Report { report: Box<WorkReport> },
    /// A child pipeline ended.
    ChildFinished {
        stage: StageId,
        child: Box<ChildEnd>,
    },
    /// Stop it.
    Cancel { by: String, reason: Option<String> },
    /// Hold it.
    Pause { by: String },
    /// Let it go.
    Resume { by: String },
    /// Merge keys into a stage's context.
    Patch {
        stage: StageId,
        context: Context,
        by: String,
    },
    /// Start a stage and what follows it again. `state` is the archived state of an execution whose
    /// log was closed.
    Restart {
        stage: StageId,
        by: String,
        body: Context,
        archived: Option<Box<State>>,
    },
}

/// How a child pipeline ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildEnd {
    pub execution: ExecutionId,
    pub name: String,
    pub status: Status,
    /// Outputs of all its stages, later ones over earlier ones.
    pub outputs: Context,
    /// Messages of its failed stages.
    pub errors: Vec<String>,
}

/// Why a command was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such execution.
    #[error("execution {0} does not exist")]
    UnknownExecution(String),
    /// An execution with this id exists already.
    #[error("execution {0} exists already")]
    AlreadyExists(String),
    /// It has no such stage.
    #[error("execution {execution} has no stage {stage}")]
    UnknownStage { execution: String, stage: String },
    /// The stage is running, so it cannot start again.
    #[error("stage {stage} is {status}; only a stage that ended or never started can be restarted")]
    NotRestartable { stage: String, status: Status },
    /// The change is not allowed.
    #[error("the change of stage {stage} is refused: {reason}")]
    BadPatch { stage: String, reason: String },
    /// A named limit is passed.
    #[error("{what} is {size}, at most {max} are allowed")]
    TooLarge {
        what: String,
        size: usize,
        max: usize,
    },
}

impl Rejection {
    /// The problem that a caller sees.
    pub fn problem(&self) -> Problem {
        let (code, kind) = match self {
            Self::UnknownExecution(_) => ("ORCA-0001", Kind::NotFound),
            Self::AlreadyExists(_) => ("ORCA-0002", Kind::Conflict),
            Self::UnknownStage { .. } => ("ORCA-0003", Kind::NotFound),
            Self::NotRestartable { .. } => ("ORCA-0004", Kind::Conflict),
            Self::BadPatch { .. } => ("ORCA-0005", Kind::Invalid),
            Self::TooLarge { .. } => ("ORCA-0006", Kind::TooLarge),
        };
        Problem::new(code, kind, self.to_string())
    }
}

/// A definition that cannot become an execution: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    pub code: &'static str,
    pub detail: String,
    pub errors: Vec<FieldError>,
}
