//! Given a pipeline, when things happen, then these statuses: one line per case of a table.

use kork_model::{Context, StageId};
use orca_engine::Command;
use serde_json::Value;

use super::driver::{Answer, Driver, object};

/// One thing that happens to an execution; stages are named by their refId.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// The stage's work ends well.
    Good(&'static str),
    /// The stage's work fails for good.
    Bad(&'static str),
    /// The stage's work fails for now.
    Later(&'static str),
    /// A person answers.
    Say(&'static str, &'static str),
    /// So many milliseconds pass, then the clock ticks.
    Pass(u64),
    Pause,
    Resume,
    Cancel,
    Restart(&'static str),
    Patch(&'static str, Value),
    /// The process dies and comes back with the log.
    Crash,
    /// Everything that is left goes well.
    Finish,
}

pub(crate) fn by() -> String {
    "ana".to_owned()
}

pub(crate) fn id_of(driver: &Driver, reference: &str) -> StageId {
    let mut stages = driver.state.execution.stages.iter();
    let stage = stages.find(|s| s.ref_id == reference);
    stage
        .unwrap_or_else(|| panic!("there is no stage {reference}: {}", shown(driver)))
        .id
        .clone()
}

/// The key of the order that a stage has out.
pub(crate) fn order_of(driver: &Driver, reference: &str) -> String {
    let id = id_of(driver, reference);
    let order = driver.orders.values().find(|o| o.stage == id);
    order
        .unwrap_or_else(|| panic!("{reference} has nothing out: {}", shown(driver)))
        .key
        .to_string()
}

pub(crate) fn act(driver: &mut Driver, what: &Do) {
    match what {
        Do::Good(stage) => driver.answer(&order_of(driver, stage), Answer::Succeed),
        Do::Bad(stage) => driver.answer(&order_of(driver, stage), Answer::Fail),
        Do::Later(stage) => driver.answer(&order_of(driver, stage), Answer::Unavailable),
        Do::Say(stage, word) => driver.judge(id_of(driver, stage), word),
        Do::Pass(ms) => {
            driver.now = driver.now.plus_ms(*ms);
            driver.give(&Command::Tick);
        }
        Do::Pause => driver.give(&Command::Pause { by: by() }),
        Do::Resume => driver.give(&Command::Resume { by: by() }),
        Do::Cancel => driver.give(&Command::Cancel {
            by: by(),
            reason: None,
        }),
        Do::Restart(stage) => driver.give(&Command::Restart {
            stage: id_of(driver, stage),
            by: by(),
            body: Context::new(),
            archived: None,
        }),
        Do::Patch(stage, context) => driver.give(&Command::Patch {
            stage: id_of(driver, stage),
            context: object(context.clone()),
            by: by(),
        }),
        Do::Crash => driver.crash(),
        Do::Finish => driver.finish(),
    }
}

/// `TERMINAL: 1 STOPPED, 2 NOT_STARTED`.
pub(crate) fn shown(driver: &Driver) -> String {
    let execution = &driver.state.execution;
    let stages = execution
        .stages
        .iter()
        .map(|s| format!("{} {}", s.ref_id, s.status));
    format!(
        "{}: {}",
        execution.status,
        stages.collect::<Vec<_>>().join(", ")
    )
}

/// Given this pipeline, when these things happen one after the other, then these are the statuses.
pub(crate) fn check(given: &Value, when: &[Do], expect: &str) -> Driver {
    let mut driver = Driver::start(given);
    for what in when {
        act(&mut driver, what);
    }
    assert_eq!(shown(&driver), expect, "after {when:?} of {given}");
    if driver.state.execution.status.is_complete() {
        driver.check_end();
    }
    driver
}
