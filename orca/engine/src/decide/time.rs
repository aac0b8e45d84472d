//! Time: when the engine wants to look again, and what it does then.

use kork_model::{Context, Stage, StageId, Status, Timestamp};
use serde_json::Value;

use super::{Decider, stages::failure_status};
use crate::{
    context::flag,
    event::Event,
    stage::{self, StageView},
    state::State,
};

/// The earliest moment at which something is due: a wait's end, a retry, a time-out.
pub fn next_wake(state: &State) -> Option<Timestamp> {
    if state.execution.status != Status::Running {
        return None;
    }
    if state.unfinished.is_some() {
        return state.unfinished;
    }
    let running = state
        .execution
        .stages
        .iter()
        .filter(|s| s.status == Status::Running);
    running.filter_map(|stage| wake_of(state, stage)).min()
}

fn wake_of(state: &State, stage: &Stage) -> Option<Timestamp> {
    let task = State::running_task(stage)?;
    let wake = state.meta.get(&stage.id)?.tasks.get(task)?.wake_at;
    [wake, deadline(state, stage, task)]
        .into_iter()
        .flatten()
        .min()
}

/// When a running task has taken too long. `stageTimeoutMs` of the stage or its nearest parent,
/// counted from that stage's start; else the task's own limit. Pauses and windows do not count.
fn deadline(state: &State, stage: &Stage, task: usize) -> Option<Timestamp> {
    if stage.kind == "restrictExecutionDuringTimeWindow" {
        return None;
    }
    let mut owner = Some(stage);
    while let Some(current) = owner {
        if let Some(ms) = stage_timeout_ms(current) {
            let notes = state.meta.get(&current.id);
            let free = notes.map_or(0, |n| n.paused_ms + n.window_ms);
            return current
                .start_time
                .map(|start| start.plus_ms(ms).plus_ms(free));
        }
        owner = current
            .parent_stage_id
            .as_ref()
            .and_then(|id| state.stage(id));
    }
    let definition = stage::of(&state.execution, stage)?;
    let kind = &state.meta.get(&stage.id)?.tasks.get(task)?.kind;
    let now = Timestamp::default();
    let view = StageView {
        now,
        execution: &state.execution,
        stage,
    };
    let ms = definition.timeout_ms(kind, &view)?;
    let free = state.meta.get(&stage.id).map_or(0, |n| n.paused_ms);
    stage
        .tasks
        .get(task)?
        .start_time
        .map(|start| start.plus_ms(ms).plus_ms(free))
}

fn stage_timeout_ms(stage: &Stage) -> Option<u64> {
    match stage.context.get("stageTimeoutMs")? {
        Value::Number(ms) => ms.as_f64().filter(|ms| *ms > 0.0).map(|ms| ms as u64),
        Value::String(text) => text.trim().parse().ok().filter(|ms| *ms > 0),
        _ => None,
    }
}

impl Decider {
    /// Does what is due.
    pub(crate) fn tick(&mut self) {
        if self.state.execution.status != Status::Running {
            return;
        }
        let running: Vec<StageId> = self
            .state
            .execution
            .stages
            .iter()
            .filter(|s| s.status == Status::Running)
            .map(|s| s.id.clone())
            .collect();
        for id in running {
            self.tick_stage(&id);
        }
    }

    fn tick_stage(&mut self, id: &StageId) {
        let Some(stage) = self.state.stage(id) else {
            return;
        };
        let Some(task) = State::running_task(stage) else {
            return;
        };
        if deadline(&self.state, stage, task).is_some_and(|at| at <= self.now) {
            return self.time_out(id, task);
        }
        let notes = self.state.notes(id);
        let due = notes
            .tasks
            .get(task)
            .and_then(|t| t.wake_at)
            .is_some_and(|at| at <= self.now);
        if due {
            self.run_task(id, task);
        }
    }

    fn time_out(&mut self, id: &StageId, task: usize) {
        let Some(stage) = self.state.stage(id).cloned() else {
            return;
        };
        self.withdraw(id, task);
        let name = stage
            .tasks
            .get(task)
            .map(|t| t.name.clone())
            .unwrap_or_default();
        let spent = stage.start_time.map_or(0, |start| self.now.ms_since(start));
        let seconds = spent as f64 / 1000.0;
        let message = format!("stage {} timed out after {seconds} seconds", stage.name);
        let exception = stage::exception("TimeoutException", &name, &message);
        let (status, context) = if flag(&stage.context, "markSuccessfulOnTimeout") == Some(true) {
            (Status::Succeeded, Context::new())
        } else {
            let context = Context::from_iter([("exception".to_owned(), exception)]);
            (failure_status(&stage, Status::Terminal), context)
        };
        self.emit(Event::TaskFinished {
            stage: id.clone(),
            task,
            at: self.now,
            status,
            context,
            outputs: Context::new(),
        });
    }
}
