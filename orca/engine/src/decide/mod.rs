//! A command meets a state and becomes events.
//!
//! [`decide`] answers the command, then lets everything happen that needs no outside: it runs until
//! the execution waits for a worker, a moment or a person. So a chain of inline stages is one append.

mod control;
mod evaluation;
mod progress;
mod reports;
mod stages;
mod tasks;
mod time;

use kork_model::{Context, Execution, Stage, StageId, Status, Timestamp};
use serde_json::{Value, json};

pub use self::time::next_wake;
use crate::{
    command::{Command, Rejection},
    context::json_bytes,
    event::Event,
    evolve::apply,
    expression::Scope,
    state::State,
};

/// What follows from a command. An empty list: nothing changes, the command was answered before.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let mut decider = Decider {
        state: state.clone(),
        events: Vec::new(),
        bytes: 0,
        now,
    };
    decider.answer(command)?;
    decider.advance();
    Ok(decider.events)
}

/// The words that users of the original know.
const SUPERSEDED: &str = "This execution was queued but then canceled because a newer queued \
    execution superceded it. This pipeline is configured to automatically cancel waiting executions.";

/// A state that is being changed, with the events that change it.
pub(crate) struct Decider {
    pub(crate) state: State,
    pub(crate) events: Vec<Event>,
    /// Of the events as JSON.
    pub(crate) bytes: usize,
    pub(crate) now: Timestamp,
}

impl Decider {
    pub(crate) fn emit(&mut self, event: Event) {
        apply(&mut self.state, &event);
        self.bytes += json_bytes(&event);
        self.events.push(event);
    }

    fn answer(&mut self, command: &Command) -> Result<(), Rejection> {
        let exists = !self.state.execution.id.as_str().is_empty();
        match command {
            Command::Create { execution } => return self.create(execution, exists),
            Command::CreateRefused { execution, reason } => {
                return self.create_refused(execution, reason, exists);
            }
            Command::Restart {
                stage,
                by,
                body,
                archived,
            } => {
                return self.restart(stage, by, body, archived.as_deref(), exists);
            }
            _ if !exists => return Err(Rejection::UnknownExecution(String::new())),
            Command::Admit { generation } => self.admit(*generation),
            Command::Supersede { generation } => self.supersede(*generation),
            Command::Tick => self.tick(),
            Command::Report { report } => self.report(report),
            Command::ChildFinished { stage, child } => self.child_finished(stage, child),
            Command::Cancel { by, reason } => self.cancel(by, reason.as_deref()),
            Command::Pause { by } => self.pause(by),
            Command::Resume { by } => self.resume(by),
            Command::Patch { stage, context, by } => return self.patch(stage, context, by),
        }
        Ok(())
    }

    fn create(&mut self, execution: &Execution, exists: bool) -> Result<(), Rejection> {
        if exists {
            return Err(Rejection::AlreadyExists(execution.id.to_string()));
        }
        let limited = execution.limit_concurrent || execution.max_concurrent_executions > 0;
        let needs_admission = limited && execution.pipeline_config_id.is_some();
        self.emit(Event::Created {
            execution: Box::new(execution.clone()),
            needs_admission,
        });
        if !needs_admission {
            self.start();
        }
        Ok(())
    }

    fn create_refused(
        &mut self,
        execution: &Execution,
        reason: &str,
        exists: bool,
    ) -> Result<(), Rejection> {
        if exists {
            return Err(Rejection::AlreadyExists(execution.id.to_string()));
        }
        let at = self.now;
        self.emit(Event::Created {
            execution: Box::new(execution.clone()),
            needs_admission: false,
        });
        let reason = Some(format!("Failed on startup: {reason}"));
        self.emit(Event::Canceled {
            at,
            by: "system".to_owned(),
            reason,
        });
        self.emit(Event::Finished {
            at,
            status: Status::Terminal,
            explanation: None,
        });
        Ok(())
    }

    /// Only the run that is meant: a restart after the end is another run.
    fn admit(&mut self, generation: u32) {
        let waits = self.state.execution.status == Status::NotStarted && !self.state.admitted;
        if waits && self.state.place == generation {
            self.emit(Event::Admitted { at: self.now });
            self.start();
        }
    }

    /// Only a run that has not started, and only the one that is meant: a restart is another run.
    fn supersede(&mut self, generation: u32) {
        let waits = self.state.execution.status == Status::NotStarted;
        if waits && self.state.place == generation {
            self.cancel("spinnaker", Some(SUPERSEDED));
        }
    }

    /// Starts, unless nothing can: then the execution ends at once, without a start time.
    fn start(&mut self) {
        let at = self.now;
        if self
            .state
            .execution
            .start_time_expiry
            .is_some_and(|expiry| expiry < at)
        {
            let reason = "could not begin execution before the start time expired".to_owned();
            self.emit(Event::Canceled {
                at,
                by: "spinnaker".to_owned(),
                reason: Some(reason),
            });
            self.emit(Event::Finished {
                at,
                status: Status::Canceled,
                explanation: None,
            });
            return;
        }
        if self.state.top_level().any(crate::graph::is_initial) {
            self.emit(Event::Started { at });
            return;
        }
        let explanation = if self.state.execution.stages.is_empty() {
            "the pipeline has no stages"
        } else {
            "no stage can start: every stage requires another one"
        };
        let explanation = Some(explanation.to_owned());
        self.emit(Event::Finished {
            at,
            status: Status::Terminal,
            explanation,
        });
    }
}

/// What expressions of a stage can see.
pub(crate) fn scope<'a>(
    now: Timestamp,
    execution: &'a Execution,
    stage: Option<&'a Stage>,
    root: &'a Context,
) -> Scope<'a> {
    Scope {
        execution,
        stage,
        root,
        pipelines: &[],
        now,
        allow_unknown_keys: true,
    }
}

/// `expressionEvaluationSummary` and `exception` for one expression that failed.
pub(crate) fn failed_expression(source: &str, message: &str) -> (Value, Value) {
    let entry =
        json!({ "description": message, "exceptionType": "ExpressionError", "level": "ERROR" });
    let summary = json!({ source: [entry] });
    let details = json!({ "error": "Failed Expression Evaluation", "errors": [message] });
    (summary, json!({ "details": details }))
}

/// A stable 64-bit hash (FNV-1a with a final mix); the standard one may change between releases.
pub(crate) fn hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// The id of the n-th stage of an execution: a ULID with the execution's time and a random part
/// that follows from the execution's id, so that a decision made twice makes the same ids.
pub(crate) fn stage_id(execution: &str, n: u32) -> StageId {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let time = execution
        .get(..10)
        .filter(|_| execution.len() >= 26)
        .unwrap_or("01ARZ3NDEK");
    let time: String = time
        .bytes()
        .map(|b| {
            if ALPHABET.contains(&b) {
                char::from(b)
            } else {
                '0'
            }
        })
        .collect();
    let high = hash(&format!("{execution}/{n}"));
    let low = hash(&format!("{n}/{execution}"));
    let bits = (u128::from(high) << 64) | u128::from(low);
    let random = (0..16).map(|i| char::from(ALPHABET[((bits >> (5 * i)) & 31) as usize]));
    StageId(time.chars().chain(random).collect())
}

/// An execution id that follows from two texts: asked twice, the answer is the same.
pub fn derived_id(first: &str, second: &str) -> kork_model::ExecutionId {
    kork_model::ExecutionId(stage_id(&format!("{first}\n{second}"), 0).0)
}
