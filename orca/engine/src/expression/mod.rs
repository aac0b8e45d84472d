//! The expression language of pipelines: the part of Spring's that pipelines use, as a small
//! interpreter of our own. Text becomes tokens ([`lexer`]), a tree ([`parser`]) and a value
//! ([`eval`]); nothing here can reach the host, and every expression is bounded ([`limits`]).

mod ast;
mod compare;
mod error;
mod eval;
mod functions;
mod lexer;
pub mod limits;
mod methods;
mod number;
mod parser;
mod pattern;
mod process;
mod property;
mod summary;
mod template;
#[cfg(test)]
mod tests;
mod types;
mod value;

use kork_model::{Context, Execution, Stage, Timestamp};
use serde_json::Value;

pub use error::{ErrorKind, ExpressionError};
pub use summary::{Failure, Level, Summary};

/// A stored pipeline that `#pipelineId` may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineName {
    /// Id of the stored definition.
    pub id: String,
    pub name: String,
    pub application: String,
}

/// What an expression can see.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// `execution`, `trigger`, `#stage(...)`. One without an id is not planned yet: functions that
    /// look at it fail, so that their expressions stay as they are until later.
    pub execution: &'a Execution,
    /// `#currentStage()`.
    pub stage: Option<&'a Stage>,
    /// Bare names: the stage's context over the outputs of its ancestors. `execution`, `trigger`,
    /// `parameters`, `buildInfo`, `scmInfo`, `deployedServerGroups` and `templateVariables` are
    /// added here.
    pub root: &'a Context,
    /// Pipelines that `#pipelineId` finds.
    pub pipelines: &'a [PipelineName],
    /// The only clock that expressions know.
    pub now: Timestamp,
    /// A name that a map does not have is null (stages) instead of an error (start of a pipeline).
    pub allow_unknown_keys: bool,
}

/// Evaluates every `${...}` of a value once: keys and values of maps, lists, texts. A text that is
/// one expression becomes its typed value, a longer text stays a text. What fails or is null keeps
/// its raw form and is named in the summary.
pub fn process(value: &Value, scope: &Scope<'_>) -> (Value, Summary) {
    process::once(value, scope)
}

/// [`process`] for a map.
pub fn process_map(map: &Context, scope: &Scope<'_>) -> (Context, Summary) {
    match process(&Value::Object(map.clone()), scope) {
        (Value::Object(map), summary) => (map, summary),
        (_, summary) => (map.clone(), summary),
    }
}

/// Evaluates a stage's context until nothing changes any more: a value may use other keys of its
/// own stage, in any order, and a result may itself hold an expression. The stage's own keys hide
/// those of [`Scope::root`]. A value that never settles, because it refers to itself, is left as
/// it was and named in the summary.
pub fn process_stage_context(context: &Context, scope: &Scope<'_>) -> (Context, Summary) {
    process::to_fixed_point(context, scope)
}

/// Value of one expression, written bare or inside `${}`. Null is a value.
pub fn evaluate(text: &str, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
    let node = parser::parse(template::unwrapped(text).trim())?;
    eval::Evaluator::new(scope, None).run(&node)?.to_json()
}

/// [`evaluate`] for a condition of a stage: what fails or is null is the raw text again, and is
/// named in the summary under `key`.
pub fn evaluate_condition(key: &str, text: &str, scope: &Scope<'_>) -> (Value, Summary) {
    process::condition(key, text, scope)
}

/// Only the boolean true and the text `true` (in any case) let a stage run.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}
