//! Every bound of the engine, by name. Past one, the caller gets an error that names it.

/// Stages in a pipeline definition.
pub const STAGES_MAX: usize = 1_000;
/// Stages in an execution, synthetic ones included; past it the stage that would add more fails.
pub const STAGES_WITH_SYNTHETIC_MAX: usize = 4_000;
/// Synthetic stages one inside the other.
pub const SYNTHETIC_DEPTH_MAX: usize = 8;
/// Bytes of one stage's context as JSON; larger values belong into an artifact.
pub const CONTEXT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of an execution as JSON when it is made: with its definition it is one message of the log,
/// and such a message holds 1 MiB.
pub const EXECUTION_BYTES_MAX: usize = 900 * 1024;
/// Events of one decision; what would be more is left to the next decision, which is due at once.
pub const EVENTS_PER_DECISION_MAX: usize = 5_000;
/// Bytes of the events of one decision as JSON, from which on the rest is left to the next decision. One
/// step more fits into the 1 MiB of a message.
pub const DECISION_BYTES_MAX: usize = 256 * 1024;
/// Bytes of the stages that one stage adds at once, as JSON; past it that stage fails.
pub const ADDED_BYTES_MAX: usize = 256 * 1024;
/// Executions of one pipeline that wait for their turn.
pub const WAITING_EXECUTIONS_MAX: usize = 1_000;
/// Times that a piece of work is tried again after a passing failure.
pub const WORK_ATTEMPTS_MAX: u32 = 5;
/// First pause before a piece of work is tried again; it doubles each time.
pub const WORK_BACKOFF_MS: u64 = 500;
/// Longest pause before a piece of work is tried again.
pub const WORK_BACKOFF_MAX_MS: u64 = 30_000;
/// Seconds after which a wait stage ends at the latest: ten years.
pub const WAIT_SECONDS_MAX: u64 = 10 * 366 * 24 * 3600;
/// Characters of a name: pipeline, stage, application, refId.
pub const NAME_CHARS_MAX: usize = 256;
/// Pipelines that start each other in a row.
pub const CHILD_DEPTH_MAX: usize = 20;
