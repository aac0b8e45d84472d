//! An event changes the state. Total: whatever a stored event says is done as far as it makes sense.

use kork_model::{Context, Paused, Stage, StageId, StageOwner, Status, Task, Timestamp};
use serde_json::{Value, json};

use crate::{
    event::{Event, PlannedTask},
    state::{StageMeta, State, TaskMeta},
};

/// Folds one event into the state.
#[must_use]
pub fn evolve(mut state: State, event: &Event) -> State {
    apply(&mut state, event);
    state
}

pub(crate) fn apply(state: &mut State, event: &Event) {
    state.unfinished = None;
    match event {
        Event::Unfinished { at } => state.unfinished = Some(*at),
        Event::Created {
            execution,
            needs_admission,
        } => {
            state.execution = (**execution).clone();
            state.needs_admission = *needs_admission;
        }
        Event::Restored { state: stored } => *state = (**stored).clone(),
        Event::Admitted { .. } => state.admitted = true,
        Event::Started { at } => {
            state.execution.status = Status::Running;
            state.execution.start_time.get_or_insert(*at);
        }
        Event::StageStarted {
            stage,
            at,
            context,
            tasks,
            planning_failed,
        } => {
            started(state, stage, *at, context, tasks, *planning_failed);
        }
        Event::StagesAdded {
            parent,
            owner,
            on_failure,
            stages,
        } => {
            added(state, parent, *owner, *on_failure, stages);
        }
        Event::StagesRemoved { stages } => remove(state, stages),
        Event::StageFinished { stage, at, status } => finished(state, stage, *at, *status),
        Event::ContextChanged {
            stage,
            set,
            removed,
            by,
        } => {
            if let Some(stage) = stage_mut(state, stage) {
                for key in removed {
                    stage.context.remove(key);
                }
                merge(&mut stage.context, set);
                if by.is_some() {
                    stage.last_modified.clone_from(by);
                }
            }
        }
        Event::UserChanged { user } => state.execution.authentication.user.clone_from(user),
        Event::TaskStarted { .. }
        | Event::TaskWaits { .. }
        | Event::TaskDispatched { .. }
        | Event::OrderWithdrawn { .. }
        | Event::TaskFinished { .. } => apply_task(state, event),
        Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Canceled { .. }
        | Event::Restarted { .. }
        | Event::Finished { .. } => apply_control(state, event),
    }
}

fn apply_task(state: &mut State, event: &Event) {
    match event {
        Event::TaskStarted {
            stage,
            task,
            at,
            attempt,
        } => {
            with_task(state, stage, *task, |shown, notes| {
                shown.status = Status::Running;
                shown.start_time.get_or_insert(*at);
                notes.attempt = *attempt;
                notes.wake_at = None;
            });
        }
        Event::TaskWaits {
            stage,
            task,
            wake_at,
            context,
        } => {
            with_task(state, stage, *task, |_, notes| notes.wake_at = *wake_at);
            if let Some(stage) = stage_mut(state, stage) {
                merge(&mut stage.context, context);
            }
        }
        Event::TaskDispatched { stage, task, order } => {
            with_task(state, stage, *task, |_, notes| {
                notes.wake_at = None;
                notes.order = Some(order.clone());
            });
        }
        Event::OrderWithdrawn { stage, task, .. } => {
            with_task(state, stage, *task, |_, notes| notes.order = None);
        }
        Event::TaskFinished {
            stage,
            task,
            at,
            status,
            context,
            outputs,
        } => {
            with_task(state, stage, *task, |shown, notes| {
                shown.status = *status;
                shown.end_time = Some(*at);
                notes.wake_at = None;
                notes.order = None;
                if let Some(exception) = context.get("exception") {
                    shown.task_exception_details =
                        Context::from_iter([("exception".to_owned(), exception.clone())]);
                }
            });
            if let Some(stage) = stage_mut(state, stage) {
                merge(&mut stage.context, context);
                merge(&mut stage.outputs, outputs);
            }
        }
        _ => {}
    }
}

fn apply_control(state: &mut State, event: &Event) {
    match event {
        Event::Paused { at, by } => {
            state.execution.status = Status::Paused;
            state.execution.paused = Some(Paused {
                paused_by: Some(by.clone()),
                pause_time: Some(*at),
                paused: true,
                ..Paused::default()
            });
            swap_status(state, Status::Running, Status::Paused);
        }
        Event::Resumed { at, by } => resumed(state, *at, by),
        Event::Canceled { by, reason, .. } => {
            state.execution.canceled = true;
            state.execution.canceled_by = Some(by.clone());
            state.execution.cancellation_reason.clone_from(reason);
        }
        Event::Restarted {
            at,
            by,
            stage,
            reset,
            removed,
        } => {
            restarted(state, *at, by, stage, reset);
            remove(state, removed);
        }
        Event::Finished {
            at,
            status,
            explanation,
        } => {
            state.execution.status = *status;
            state.execution.end_time = state.execution.start_time.map(|_| *at);
            if let Some(text) = explanation {
                state
                    .execution
                    .system_notifications
                    .push(json!({"type": "error", "message": text}));
            }
        }
        _ => {}
    }
}

fn started(
    state: &mut State,
    id: &StageId,
    at: Timestamp,
    context: &Context,
    tasks: &[PlannedTask],
    planning_failed: bool,
) {
    let last = tasks.len().saturating_sub(1);
    if let Some(stage) = stage_mut(state, id) {
        stage.status = Status::Running;
        stage.start_time = Some(at);
        stage.context.clone_from(context);
        stage.tasks = tasks
            .iter()
            .enumerate()
            .map(|(i, task)| Task {
                id: (i + 1).to_string(),
                name: task.name.clone(),
                implementing_class: task.kind.clone(),
                stage_start: i == 0,
                stage_end: i == last,
                ..Task::default()
            })
            .collect();
    }
    let notes = tasks
        .iter()
        .map(|task| TaskMeta {
            kind: task.kind.clone(),
            ..TaskMeta::default()
        })
        .collect();
    let meta = StageMeta {
        tasks: notes,
        planning_failed,
        ..StageMeta::default()
    };
    state.meta.insert(id.clone(), meta);
}

/// Before-stages stand in front of their parent, after-stages behind everything that is already
/// behind it, as clients draw them.
fn added(
    state: &mut State,
    parent: &StageId,
    owner: StageOwner,
    on_failure: bool,
    stages: &[Stage],
) {
    let Some(at) = state.index(parent) else {
        return;
    };
    let position = match owner {
        StageOwner::StageBefore => at,
        StageOwner::StageAfter => {
            let behind = state.execution.stages.iter().rposition(|s| {
                s.parent_stage_id.as_ref() == Some(parent)
                    && s.synthetic_stage_owner == Some(StageOwner::StageAfter)
            });
            behind.map_or(at, |last| last.max(at)) + 1
        }
    };
    state.stages_made += stages.len() as u32;
    state
        .execution
        .stages
        .splice(position..position, stages.iter().cloned());
    if owner == StageOwner::StageAfter {
        let meta = state.meta.entry(parent.clone()).or_default();
        meta.after_planned = true;
        meta.failure_planned |= on_failure;
    }
}

fn remove(state: &mut State, stages: &[StageId]) {
    state.execution.stages.retain(|s| !stages.contains(&s.id));
    for id in stages {
        state.meta.remove(id);
    }
}

fn finished(state: &mut State, id: &StageId, at: Timestamp, status: Status) {
    let Some(stage) = stage_mut(state, id) else {
        return;
    };
    stage.status = status;
    if stage.start_time.is_some() {
        stage.end_time = Some(at);
    }
    let window = (stage.kind == "restrictExecutionDuringTimeWindow").then(|| {
        (
            stage.parent_stage_id.clone(),
            stage.start_time.map_or(0, |s| at.ms_since(s)),
        )
    });
    if let Some((Some(parent), length)) = window {
        state.meta.entry(parent).or_default().window_ms += length;
    }
}

fn resumed(state: &mut State, at: Timestamp, by: &str) {
    let length = match state.execution.paused.as_mut() {
        Some(paused) => {
            let length = paused.pause_time.map_or(0, |from| at.ms_since(from));
            paused.resumed_by = Some(by.to_owned());
            paused.resume_time = Some(at);
            paused.paused = false;
            paused.paused_ms = length;
            length
        }
        None => 0,
    };
    state.execution.status = Status::Running;
    let held: Vec<StageId> = state
        .execution
        .stages
        .iter()
        .filter(|s| s.status == Status::Paused)
        .map(|s| s.id.clone())
        .collect();
    for id in held {
        state.meta.entry(id).or_default().paused_ms += length;
    }
    swap_status(state, Status::Paused, Status::Running);
}

fn swap_status(state: &mut State, from: Status, to: Status) {
    for stage in state
        .execution
        .stages
        .iter_mut()
        .filter(|s| s.status == from)
    {
        stage.status = to;
        stage
            .tasks
            .iter_mut()
            .filter(|t| t.status == from)
            .for_each(|t| t.status = to);
    }
}

fn restarted(state: &mut State, at: Timestamp, by: &str, restarted: &StageId, reset: &[StageId]) {
    state.generation += 1;
    if state.execution.status.is_complete() {
        state.admitted = false;
        state.place = state.generation;
    }
    let waits = state.needs_admission && !state.admitted;
    let execution = &mut state.execution;
    execution.status = if waits {
        Status::NotStarted
    } else {
        Status::Running
    };
    execution.end_time = None;
    execution.canceled = false;
    execution.canceled_by = None;
    execution.start_time.get_or_insert(at);
    for stage in execution
        .stages
        .iter_mut()
        .filter(|s| reset.contains(&s.id))
    {
        stage.status = Status::NotStarted;
        stage.start_time = None;
        stage.end_time = None;
        stage.tasks.clear();
        let previous = stage.context.remove("exception");
        stage.context.remove("expressionEvaluationSummary");
        stage.context.remove("beforeStagePlanningFailed");
        crate::stage::prepare_restart(stage);
        if &stage.id == restarted {
            let mut details = json!({"restartedBy": by, "restartTime": at});
            if let Some(previous) = previous {
                details["previousException"] = previous;
            }
            stage.context.insert("restartDetails".to_owned(), details);
        }
    }
    for id in reset {
        state.meta.remove(id);
    }
    let others = state.execution.stages.iter().filter(|s| {
        s.parent_stage_id.is_none() && s.status.is_complete() && !reset.contains(&s.id)
    });
    for stage in others {
        state.meta.entry(stage.id.clone()).or_default().earlier = true;
    }
}

fn stage_mut<'a>(state: &'a mut State, id: &StageId) -> Option<&'a mut Stage> {
    state.execution.stages.iter_mut().find(|s| &s.id == id)
}

fn with_task(
    state: &mut State,
    stage: &StageId,
    task: usize,
    change: impl FnOnce(&mut Task, &mut TaskMeta),
) {
    let State {
        execution, meta, ..
    } = state;
    let shown = execution.stages.iter_mut().find(|s| &s.id == stage);
    let notes = meta.get_mut(stage).and_then(|m| m.tasks.get_mut(task));
    if let (Some(shown), Some(notes)) = (shown.and_then(|s| s.tasks.get_mut(task)), notes) {
        change(shown, notes);
    }
}

/// Puts keys over existing ones; a null takes the key away, as everywhere in Spinnaker's JSON.
fn merge(into: &mut Context, from: &Context) {
    for (key, value) in from {
        if value == &Value::Null {
            into.remove(key);
        } else {
            into.insert(key.clone(), value.clone());
        }
    }
}
