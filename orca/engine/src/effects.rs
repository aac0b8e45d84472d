//! What an event asks of the outside. Everything has a stable key, so that doing it twice does nothing
//! the second time.

use kork_model::{Context, ExecutionId, ExecutionTrace, StageId, Status, WorkOrder};
use serde_json::Value;

use crate::{
    admission::Ticket,
    command::ChildEnd,
    context::{merged_outputs, text},
    event::Event,
    state::{OpenOrder, State},
};

/// One thing to be done outside the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Give this order to its worker, or call it back.
    Dispatch(Box<WorkOrder>),
    /// Ask the pipeline's log for a place.
    RequestAdmission {
        pipeline: String,
        ticket: Ticket,
        limit: u32,
        keep_waiting: bool,
    },
    /// Give the place back, or stop waiting for one.
    ReleaseAdmission { pipeline: String, ticket: Ticket },
    /// Tell the stage that started this execution how it ended.
    TellParent {
        execution: ExecutionId,
        stage: StageId,
        child: Box<ChildEnd>,
    },
    /// Move the finished execution out of the log, once everything else is done.
    Archive,
}

/// What this event, just folded into `state`, asks for.
pub fn effects(state: &State, event: &Event) -> Vec<Effect> {
    match event {
        Event::TaskDispatched { stage, task, order } => {
            vec![dispatch(state, stage, *task, order, false)]
        }
        // An order without a service was answered by its worker.
        Event::OrderWithdrawn { order, .. } if order.service.is_empty() => Vec::new(),
        Event::OrderWithdrawn { stage, task, order } => {
            vec![dispatch(state, stage, *task, order, true)]
        }
        Event::Created { .. } | Event::Restarted { .. } => request(state).into_iter().collect(),
        Event::Finished { .. } => finish(state),
        Event::Restored { .. }
        | Event::Admitted { .. }
        | Event::Started { .. }
        | Event::StageStarted { .. }
        | Event::StagesAdded { .. }
        | Event::StagesRemoved { .. }
        | Event::TaskStarted { .. }
        | Event::TaskWaits { .. }
        | Event::TaskFinished { .. }
        | Event::ContextChanged { .. }
        | Event::StageFinished { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Canceled { .. }
        | Event::Unfinished { .. }
        | Event::UserChanged { .. } => Vec::new(),
    }
}

/// Everything that is still to be done for a state whose process died: issued again at once.
pub fn open_effects(state: &State) -> Vec<Effect> {
    if state.execution.status.is_complete() {
        return finish(state);
    }
    let mut open: Vec<Effect> = request(state).into_iter().collect();
    for (stage, notes) in &state.meta {
        for (task, order) in notes.tasks.iter().enumerate() {
            if let Some(order) = &order.order {
                open.push(dispatch(state, stage, task, order, false));
            }
        }
    }
    open
}

fn dispatch(
    state: &State,
    stage: &StageId,
    task: usize,
    order: &OpenOrder,
    cancel: bool,
) -> Effect {
    let (id, number) = (&state.execution.id, (task + 1).to_string());
    let trace = ExecutionTrace::of(&state.execution, state.generation);
    Effect::Dispatch(Box::new(WorkOrder {
        key: order.key.clone(),
        execution: id.clone(),
        stage: stage.clone(),
        traceparent: Some(trace.task(id, stage, &number).to_string()),
        task: number,
        application: state.execution.application.clone(),
        user: state.execution.authentication.user.clone(),
        service: order.service.clone(),
        kind: order.kind.clone(),
        payload: order.payload.clone(),
        deadline: order.deadline,
        cancel,
    }))
}

fn request(state: &State) -> Option<Effect> {
    let waits = state.needs_admission && !state.admitted;
    let pipeline = state
        .execution
        .pipeline_config_id
        .clone()
        .filter(|_| waits)?;
    let execution = &state.execution;
    let limit = if execution.limit_concurrent {
        1
    } else {
        execution.max_concurrent_executions
    };
    let keep_waiting = execution.keep_waiting_pipelines;
    Some(Effect::RequestAdmission {
        pipeline,
        ticket: ticket(state),
        limit,
        keep_waiting,
    })
}

fn ticket(state: &State) -> Ticket {
    Ticket::new(state.execution.id.as_str(), state.place)
}

fn finish(state: &State) -> Vec<Effect> {
    let mut all = Vec::new();
    if state.needs_admission {
        let pipeline = state
            .execution
            .pipeline_config_id
            .clone()
            .unwrap_or_default();
        all.push(Effect::ReleaseAdmission {
            pipeline,
            ticket: ticket(state),
        });
    }
    all.extend(tell_parent(state));
    all.push(Effect::Archive);
    all
}

fn tell_parent(state: &State) -> Option<Effect> {
    let trigger = &state.execution.trigger;
    let parent = trigger.get("parentExecution")?.get("id")?.as_str()?;
    let stage = text(trigger, "parentPipelineStageId")?;
    Some(Effect::TellParent {
        execution: ExecutionId::from(parent),
        stage: StageId::from(stage),
        child: Box::new(child_end(state)),
    })
}

/// How an execution ended, as its parent stage is told.
pub fn child_end(state: &State) -> ChildEnd {
    let execution = &state.execution;
    let name = execution.name.clone().unwrap_or_default();
    let failed = execution.stages.iter().filter(|s| {
        matches!(
            s.status,
            Status::Terminal | Status::Stopped | Status::FailedContinue
        )
    });
    let errors: Vec<String> = failed
        .flat_map(|stage| {
            messages(&stage.context).into_iter().map(|text| {
                format!(
                    "Exception in child pipeline stage ({name}: {}): {text}",
                    stage.name
                )
            })
        })
        .collect();
    ChildEnd {
        execution: execution.id.clone(),
        name,
        status: execution.status,
        outputs: merged_outputs(execution),
        errors,
    }
}

fn messages(context: &Context) -> Vec<String> {
    let details = context.get("exception").and_then(|e| e.get("details"));
    let Some(details) = details else {
        return Vec::new();
    };
    let listed = details.get("errors").and_then(Value::as_array);
    let texts: Vec<String> = listed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if texts.is_empty() {
        details
            .get("error")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .into_iter()
            .collect()
    } else {
        texts
    }
}
