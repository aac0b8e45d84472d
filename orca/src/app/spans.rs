//! Spans about executions, stages and tasks, made when these end, from what the log says of them. Their
//! ids follow from the execution, so it does not matter which instance of orca ends what.

use kork::{
    service::telemetry::field,
    trace::{self, Kind, Span, TraceContext, moment},
};
use kork_model::{ExecutionTrace, Stage, StageId, Status, Task, Timestamp};
use orca_engine::{Event, State};

/// Where an execution that is made now belongs: under the current work, or in a trace of its own that
/// follows from its id.
pub(crate) fn asked(id: &str) -> TraceContext {
    trace::current().unwrap_or_else(|| trace::ratioed(TraceContext::of(id)))
}

/// Spans about what these events ended.
pub(crate) fn record(state: &State, events: &[Event]) {
    let trace = ExecutionTrace::of(&state.execution, state.generation);
    if !trace.asked.sampled {
        return;
    }
    for event in events {
        match event {
            Event::StageFinished { stage, at, .. } => stage_ended(state, trace, stage, *at),
            Event::Finished { at, status, .. } => execution_ended(state, trace, *at, *status),
            _ => {}
        }
    }
}

fn execution_ended(state: &State, trace: ExecutionTrace, at: Timestamp, status: Status) {
    let (execution, asked) = (&state.execution, trace.asked);
    let context = trace.execution(&execution.id);
    let span = || {
        let mut attributes = about(state);
        attributes.push(("execution.type", format!("{:?}", execution.kind)));
        attributes.push(("execution.status", status.name().to_owned()));
        let name = execution.name.clone().unwrap_or_default();
        attributes.push(("pipeline.name", name));
        let begins_here = asked.span_id == TraceContext::of(execution.id.as_str()).span_id;
        Span {
            name: "orca.execution".to_owned(),
            kind: Kind::Internal,
            context,
            parent: if begins_here { 0 } else { asked.span_id },
            start: moment(execution.build_time.or(execution.start_time).unwrap_or(at)),
            end: moment(at),
            attributes,
            error: failure(status),
        }
    };
    trace::record(span, context);
}

fn stage_ended(state: &State, trace: ExecutionTrace, id: &StageId, at: Timestamp) {
    let execution = &state.execution;
    let Some(stage) = execution.stage(id) else {
        return;
    };
    // What was skipped took no time and did nothing.
    let Some(start) = stage.start_time else {
        return;
    };
    let context = trace.stage(&execution.id, id);
    let above = trace.above(&execution.id, stage);
    let span = || Span {
        name: format!("orca.stage.{}", stage.kind),
        kind: Kind::Internal,
        context,
        parent: above.span_id,
        start: moment(start),
        end: moment(at),
        attributes: of_stage(state, stage, "stage.status", stage.status),
        error: failure(stage.status),
    };
    trace::record(span, context);
    for task in &stage.tasks {
        task_ended(state, trace, stage, task);
    }
}

fn task_ended(state: &State, trace: ExecutionTrace, stage: &Stage, task: &Task) {
    let (Some(start), Some(end)) = (task.start_time, task.end_time) else {
        return;
    };
    let id = &state.execution.id;
    let context = trace.task(id, &stage.id, &task.id);
    let span = || Span {
        name: format!("orca.task.{}", task.name),
        kind: Kind::Internal,
        context,
        parent: trace.stage(id, &stage.id).span_id,
        start: moment(start),
        end: moment(end),
        attributes: of_stage(state, stage, "task.status", task.status),
        error: failure(task.status),
    };
    trace::record(span, context);
}

fn about(state: &State) -> Vec<(&'static str, String)> {
    let execution = &state.execution;
    vec![
        (field::EXECUTION_ID, execution.id.to_string()),
        (field::APPLICATION, execution.application.clone()),
        (field::USER, execution.authentication.user.clone()),
    ]
}

fn of_stage(
    state: &State,
    stage: &Stage,
    outcome: &'static str,
    status: Status,
) -> Vec<(&'static str, String)> {
    let mut all = about(state);
    all.push((field::STAGE_ID, stage.id.to_string()));
    all.push(("stage.name", stage.name.clone()));
    all.push((outcome, status.name().to_owned()));
    all
}

fn failure(status: Status) -> Option<String> {
    let failed = matches!(
        status,
        Status::Terminal | Status::Stopped | Status::FailedContinue
    );
    failed.then(|| status.name().to_owned())
}
