//! Projects, and the notifications of applications. Projects are changed through `POST /tasks`.

use kork_model::{
    Context, Kind, Shown,
    api::{
        front50::{
            DeleteNotifications, GetNotifications, GetProject, ListProjects, SaveNotifications,
        },
        orca::{ExecutionFilter, ListExecutions},
    },
};
use serde_json::{Value, json};

use super::{
    executions,
    param::{EXPAND, LIMIT, STATUSES},
};
use crate::{
    http::{
        answer::{Answer, Outcome},
        call::{Call, USER},
        refusal::Refusal,
        route::{BodyRule, Route, Verb, run},
    },
    limit,
};

const PROJECTS: &str = "projects";
const NOTIFICATIONS: &str = "notifications";
/// Executions of each pipeline of a project when the caller names no limit.
const EXECUTIONS_OF_PROJECT: u32 = 5;

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/projects", "listProjects", run!(list))
        .about(PROJECTS, "All projects.")
        .json("Project[]"),
    Route::new(Verb::Get, "/projects/{project}", "getProject", run!(get))
        .about(PROJECTS, "One project by id or name.")
        .json("Project"),
    Route::new(
        Verb::Get,
        "/projects/{project}/pipelines",
        "projectExecutions",
        run!(pipelines),
    )
    .about(
        PROJECTS,
        "The newest executions of the pipelines of a project.",
    )
    .query(&[&LIMIT, &STATUSES, &EXPAND])
    .json("Execution[]"),
    Route::new(
        Verb::Get,
        "/projects/{project}/clusters",
        "projectClusters",
        run!(clusters),
    )
    .about(
        PROJECTS,
        "The clusters that a project shows, without their instances.",
    )
    .json("Object[]"),
    Route::new(
        Verb::Get,
        "/notifications/metadata",
        "notificationMetadata",
        run!(metadata),
    )
    .about(
        NOTIFICATIONS,
        "Always empty: no notification types are added by plugins.",
    )
    .json("Object[]"),
    Route::new(
        Verb::Get,
        "/notifications/{type}/{application}",
        "getNotifications",
        run!(notifications),
    )
    .about(
        NOTIFICATIONS,
        "The notifications of an application, by their type.",
    )
    .json("Object"),
    Route::new(
        Verb::Post,
        "/notifications/{type}/{application}",
        "saveNotifications",
        run!(save_notifications),
    )
    .about(
        NOTIFICATIONS,
        "Replaces the notifications of an application.",
    )
    .body(BodyRule::Required("Object")),
    Route::new(
        Verb::Delete,
        "/notifications/{type}/{application}",
        "deleteNotifications",
        run!(delete_notifications),
    )
    .about(
        NOTIFICATIONS,
        "Removes the notifications of an application; fine when there are none.",
    ),
];

async fn list(call: Call) -> Outcome {
    Answer::json(&call.ask(&ListProjects {}).await?)
}

async fn get(call: Call) -> Outcome {
    Answer::json(
        &call
            .ask(&GetProject {
                id_or_name: call.part("project"),
            })
            .await?,
    )
}

/// The project, or none when there is no such project: its lists are empty then.
async fn known(call: &Call) -> Result<Option<Context>, Refusal> {
    match call
        .ask(&GetProject {
            id_or_name: call.part("project"),
        })
        .await
    {
        Ok(project) => Ok(Some(project)),
        Err(refusal) if refusal.problem().kind == Kind::NotFound => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn configured<'a>(project: Option<&'a Context>, list: &str) -> impl Iterator<Item = &'a Value> {
    let config = project.and_then(|project| project.get("config"));
    config
        .and_then(|c| c.get(list))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

async fn pipelines(call: Call) -> Outcome {
    let limit = call
        .query
        .number(&LIMIT, limit::PAGE_SIZE_MAX)?
        .unwrap_or(EXECUTIONS_OF_PROJECT);
    let statuses = call.query.statuses(&STATUSES)?;
    let expand = call.query.flag(&EXPAND)?.unwrap_or(true);
    let project = known(&call).await?;
    let pipeline_config_ids: Vec<String> = configured(project.as_ref(), "pipelineConfigs")
        .filter_map(|config| config.get("pipelineConfigId")?.as_str().map(str::to_owned))
        .take(limit::LIST_ITEMS_MAX)
        .collect();
    if pipeline_config_ids.is_empty() || limit == 0 {
        return Answer::json(&json!([]));
    }
    let filter = ExecutionFilter {
        pipeline_config_ids,
        statuses,
        ..ExecutionFilter::default()
    };
    let list = ListExecutions {
        filter,
        limit_per_config: Some(limit),
        expand,
        ..ListExecutions::default()
    };
    let mut found = executions::fetch(&call, list).await?;
    found.sort_by_cached_key(executions::by_start);
    Answer::texts(found.iter().map(Shown::text))
}

async fn clusters(call: Call) -> Outcome {
    let project = known(&call).await?;
    let clusters: Vec<Value> = configured(project.as_ref(), "clusters")
        .map(|cluster| {
            let text = |key: &str| cluster.get(key).cloned().unwrap_or_else(|| json!("*"));
            json!({
                "account": cluster.get("account"),
                "stack": text("stack"),
                "detail": text("detail"),
                "applications": [],
                "instanceCounts": {
                    "total": 0, "up": 0, "down": 0, "unknown": 0, "outOfService": 0, "starting": 0,
                },
            })
        })
        .collect();
    Answer::json(&clusters)
}

async fn metadata(_: Call) -> Outcome {
    std::future::ready(Answer::json(&json!([]))).await
}

fn notified(call: &Call) -> Result<String, Refusal> {
    let level = call.part("type");
    match level.to_ascii_lowercase().as_str() {
        "application" => Ok(call.part("application")),
        "global" => Ok("__global".to_owned()),
        _ => {
            let detail =
                format!("there are notifications of type application or global, not {level:?}");
            Err(Refusal::invalid("GATE-0008", detail))
        }
    }
}

async fn notifications(call: Call) -> Outcome {
    Answer::json(
        &call
            .ask(&GetNotifications {
                name: notified(&call)?,
            })
            .await?,
    )
}

async fn save_notifications(call: Call) -> Outcome {
    let save = SaveNotifications {
        name: notified(&call)?,
        notifications: call.json()?,
        user: USER.to_owned(),
    };
    call.ask(&save).await?;
    Answer::empty()
}

async fn delete_notifications(call: Call) -> Outcome {
    call.ask(&DeleteNotifications {
        name: notified(&call)?,
        user: USER.to_owned(),
    })
    .await?;
    Answer::empty()
}
