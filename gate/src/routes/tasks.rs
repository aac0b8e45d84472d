//! Tasks: jobs that are run one after the other, outside of pipelines.

use kork_model::{
    Context, ExecutionType, Kind, Problem,
    api::orca::{CancelExecution, DeleteExecution, ExecutionFilter, ListExecutions, StartTask},
};
use serde_json::Value;

use super::{
    executions,
    param::{IDS, LIMIT, PAGE, REASON, STATUSES},
};
use crate::{
    domain::task,
    http::{
        answer::{Answer, Outcome},
        call::{Call, USER},
        refusal::Refusal,
        route::{BodyRule, Route, Verb, run},
    },
    limit,
};

const TAG: &str = "tasks";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Post, "/tasks", "startTask", run!(start))
        .about(
            TAG,
            "Runs jobs: `{application, description, job: [{type, ...}]}`.",
        )
        .body(BodyRule::Required("TaskRequest"))
        .json("Ref"),
    Route::new(
        Verb::Post,
        "/applications/{application}/tasks",
        "startApplicationTask",
        run!(start_in),
    )
    .about(TAG, "Runs jobs for an application.")
    .body(BodyRule::Required("TaskRequest"))
    .json("Ref"),
    Route::new(Verb::Get, "/tasks/{id}", "getTask", run!(get))
        .about(TAG, "One task with its steps and variables.")
        .json("Task"),
    Route::new(
        Verb::Get,
        "/applications/{application}/tasks",
        "applicationTasks",
        run!(list),
    )
    .about(TAG, "The tasks of an application, newest first.")
    .query(&[&STATUSES, &PAGE, &LIMIT])
    .json("Task[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}/tasks/{id}",
        "getApplicationTask",
        run!(get),
    )
    .about(TAG, "One task; the application is not looked at.")
    .json("Task"),
    Route::new(Verb::Put, "/tasks/{id}/cancel", "cancelTask", run!(cancel))
        .about(TAG, "Cancels a task; nothing happens when it is finished.")
        .query(&[&REASON]),
    Route::new(
        Verb::Put,
        "/applications/{application}/tasks/{id}/cancel",
        "cancelApplicationTask",
        run!(cancel),
    )
    .about(TAG, "Cancels a task; the application is not looked at.")
    .query(&[&REASON]),
    Route::new(Verb::Put, "/tasks/cancel", "cancelTasks", run!(cancel_all))
        .about(TAG, "Cancels several tasks.")
        .query(&[&IDS, &REASON]),
    Route::new(Verb::Delete, "/tasks/{id}", "deleteTask", run!(delete))
        .about(TAG, "Deletes a finished task."),
];

pub(super) async fn start(call: Call) -> Outcome {
    let task: Context = call.json()?;
    started(&call, task).await
}

async fn start_in(call: Call) -> Outcome {
    let mut task: Context = call.json()?;
    task.insert("application".to_owned(), call.part("application").into());
    started(&call, task).await
}

async fn started(call: &Call, task: Context) -> Outcome {
    Answer::json(
        &call
            .ask(&StartTask {
                task,
                user: USER.to_owned(),
            })
            .await?,
    )
}

async fn get(call: Call) -> Outcome {
    let id = call.part("id");
    let execution = executions::of_kind(&call, id, ExecutionType::Orchestration).await?;
    Answer::json(&task::view(&execution))
}

async fn list(call: Call) -> Outcome {
    let limit = call
        .query
        .number(&LIMIT, limit::PAGE_SIZE_MAX)?
        .filter(|limit| *limit > 0);
    let page = call.query.number(&PAGE, u32::MAX)?.unwrap_or(1).max(1);
    let limit = limit.unwrap_or(limit::TASKS_LISTED);
    let filter = ExecutionFilter {
        application: Some(call.part("application")),
        statuses: call.query.statuses(&STATUSES)?,
        ..ExecutionFilter::default()
    };
    let list = ListExecutions {
        filter,
        offset: (page - 1).saturating_mul(limit),
        limit: Some(limit),
        expand: true,
        orchestrations: true,
        ..ListExecutions::default()
    };
    let found = executions::fetch(&call, list).await?;
    let tasks = found
        .iter()
        .map(|shown| shown.read().map(|e| task::view(&e)));
    let tasks: Vec<Value> = tasks.collect::<Result<_, _>>().map_err(|e| {
        Problem::new("KORK-0003", Kind::Bug, "an execution cannot be read").because(&e)
    })?;
    Answer::json(&tasks)
}

async fn cancel(call: Call) -> Outcome {
    cancel_one(&call, call.part("id")).await?;
    Answer::empty()
}

async fn cancel_all(call: Call) -> Outcome {
    let ids = call.query.list(&IDS)?;
    if ids.is_empty() {
        return Err(IDS.refuse("is missing"));
    }
    for id in ids {
        cancel_one(&call, id).await?;
    }
    Answer::empty()
}

async fn cancel_one(call: &Call, id: String) -> Result<(), Refusal> {
    let reason = call.query.text(&REASON).map(str::to_owned);
    call.ask(&CancelExecution {
        id,
        reason,
        user: USER.to_owned(),
    })
    .await
}

async fn delete(call: Call) -> Outcome {
    call.ask(&DeleteExecution {
        id: call.part("id"),
        user: USER.to_owned(),
    })
    .await?;
    Answer::empty()
}
