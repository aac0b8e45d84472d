//! Pipeline definitions: reading them, and starting them.

use kork_model::{
    Context, Kind,
    api::{
        front50::{GetPipeline, ListPipelines, PipelineByName, PipelineHistory},
        orca::{StartPipeline, StartStored},
    },
};
use serde_json::{Value, json};

use super::param::{LIMIT, PIPELINE_LIMIT, PIPELINE_NAME_FILTER};
use crate::{
    domain::{template, trigger},
    http::{
        answer::{Answer, Outcome},
        call::{Call, USER},
        refusal::Refusal,
        route::{BodyRule, Route, Verb, run},
    },
    limit,
};

const TAG: &str = "pipelines";
const START: &str = "starting";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/applications/{application}/pipelineConfigs",
        "pipelineConfigs",
        run!(of_application),
    )
    .about(
        TAG,
        "The pipelines of an application in their order, numbered from 0.",
    )
    .query(&[&PIPELINE_NAME_FILTER, &PIPELINE_LIMIT])
    .json("Pipeline[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}/pipelineConfigs/{name}",
        "pipelineConfig",
        run!(by_name),
    )
    .about(TAG, "One pipeline of an application by its exact name.")
    .json("Pipeline"),
    Route::new(
        Verb::Get,
        "/pipelineConfigs",
        "allPipelineConfigs",
        run!(all),
    )
    .about(TAG, "The pipelines of all applications.")
    .json("Pipeline[]"),
    Route::new(
        Verb::Get,
        "/pipelineConfigs/{id}/history",
        "pipelineHistory",
        run!(history),
    )
    .about(TAG, "Earlier versions of a pipeline, newest first.")
    .query(&[&LIMIT])
    .json("Pipeline[]"),
    Route::new(
        Verb::Get,
        "/pipelineConfigs/{id}/convertToTemplate",
        "convertToTemplate",
        run!(convert),
    )
    .about(
        TAG,
        "A pipeline as the start of a template: YAML in a JSON string.",
    )
    .json("Text"),
    Route::new(
        Verb::Post,
        "/pipelines/start",
        "startPipeline",
        run!(start_given),
    )
    .about(
        START,
        "Starts a pipeline that is sent whole, with its trigger.",
    )
    .body(BodyRule::Required("Pipeline"))
    .json("Ref"),
    Route::new(
        Verb::Post,
        "/pipelines/{application}/{nameOrId}",
        "startStoredPipeline",
        run!(start_stored),
    )
    .about(
        START,
        "Starts a stored pipeline by name or id; the body is the trigger.",
    )
    .body(BodyRule::Optional("Trigger"))
    .status(202)
    .json("Ref"),
    Route::new(
        Verb::Post,
        "/pipelines/v2/{application}/{nameOrId}",
        "startStoredPipelineV2",
        run!(start_v2),
    )
    .about(
        START,
        "Starts a stored pipeline as Deck does; answers with the id of the event too.",
    )
    .body(BodyRule::Optional("Trigger"))
    .status(202)
    .json("EventRef"),
    Route::new(
        Verb::Post,
        "/applications/{application}/pipelineConfigs/{name}",
        "startPipelineConfig",
        run!(start_config),
    )
    .about(
        START,
        "Starts a stored pipeline; older than POST /pipelines/{application}/{nameOrId}.",
    )
    .body(BodyRule::Optional("Trigger"))
    .json("Ref"),
];

async fn of_application(call: Call) -> Outcome {
    let list = ListPipelines {
        application: Some(call.part("application")),
        name_filter: call.query.text(&PIPELINE_NAME_FILTER).map(str::to_owned),
        limit: call.query.number(&PIPELINE_LIMIT, limit::PAGE_SIZE_MAX)?,
        strategies: false,
    };
    Answer::json(&call.ask(&list).await?)
}

async fn all(call: Call) -> Outcome {
    Answer::json(&call.ask(&ListPipelines::default()).await?)
}

async fn by_name(call: Call) -> Outcome {
    Answer::json(&named(&call, false).await?)
}

/// One pipeline or strategy by its exact name, numbered as in the list of its application.
pub(super) async fn named(call: &Call, strategies: bool) -> Result<Context, Refusal> {
    let (application, name) = (call.part("application"), call.part("name"));
    let list = ListPipelines {
        application: Some(application.clone()),
        strategies,
        ..ListPipelines::default()
    };
    let found = match call.ask(&list).await {
        Ok(list) => list
            .into_iter()
            .find(|p| p.get("name").and_then(Value::as_str) == Some(&name)),
        // A list that is too long for one message: ask for the one alone, which has no number.
        Err(refusal) if refusal.problem().kind == Kind::TooLarge => {
            let (application, name) = (application.clone(), name.clone());
            match call
                .ask(&PipelineByName {
                    application,
                    name,
                    strategies,
                })
                .await
            {
                Ok(pipeline) => Some(pipeline),
                Err(refusal) if refusal.problem().kind == Kind::NotFound => None,
                Err(refusal) => return Err(refusal),
            }
        }
        Err(refusal) => return Err(refusal),
    };
    found.ok_or_else(|| {
        let what = if strategies { "Strategy" } else { "Pipeline" };
        Refusal::not_found(format!(
            "{what} config (id: {name}) not found for Application (id: {application})"
        ))
    })
}

async fn history(call: Call) -> Outcome {
    Answer::json(&versions(&call, false).await?)
}

/// Earlier versions of a pipeline or a strategy.
pub(super) async fn versions(call: &Call, strategies: bool) -> Result<Vec<Context>, Refusal> {
    let limit = call
        .query
        .number(&LIMIT, limit::PAGE_SIZE_MAX)?
        .unwrap_or(limit::HISTORY_LISTED);
    match call
        .ask(&PipelineHistory {
            id: call.part("id"),
            limit,
            strategies,
        })
        .await
    {
        Err(refusal) if refusal.problem().kind == Kind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

async fn convert(call: Call) -> Outcome {
    let id = call.part("id");
    let pipeline = match call
        .ask(&GetPipeline {
            id: id.clone(),
            strategies: false,
        })
        .await
    {
        Ok(pipeline) => pipeline,
        Err(refusal) if refusal.problem().kind == Kind::NotFound => {
            let detail = format!("Pipeline config '{id}' could not be found");
            return Err(Refusal::not_found(detail));
        }
        Err(refusal) => return Err(refusal),
    };
    let yaml = template::from_pipeline(&pipeline).map_err(|e| {
        kork_model::Problem::new("GATE-0018", Kind::Bug, "a template cannot be written").because(&e)
    })?;
    Answer::json(&yaml)
}

async fn start_given(call: Call) -> Outcome {
    let pipeline: Context = call.json()?;
    let origin = Some(origin(&call).to_owned());
    let user = USER.to_owned();
    let start = StartPipeline {
        pipeline,
        trigger: None,
        user,
        id: None,
        origin,
    };
    Answer::json(&call.ask(&start).await?)
}

async fn start_stored(call: Call) -> Outcome {
    let start = stored(&call, call.part("nameOrId"), None)?;
    Answer::accepted(&call.ask(&start).await?)
}

async fn start_config(call: Call) -> Outcome {
    let start = stored(&call, call.part("name"), None)?;
    Answer::json(&call.ask(&start).await?)
}

async fn start_v2(call: Call) -> Outcome {
    let event_id = call.gate.ports.ids.uuid();
    let id = call.gate.ports.ids.ulid();
    let mut start = stored(&call, call.part("nameOrId"), Some(id))?;
    start
        .trigger
        .insert("eventId".to_owned(), event_id.clone().into());
    let started = call.ask(&start).await?;
    Answer::accepted(&json!({"eventId": event_id, "ref": started.reference}))
}

fn stored(call: &Call, name_or_id: String, id: Option<String>) -> Result<StartStored, Refusal> {
    let trigger = trigger::from_body(call.object_or_empty()?, USER);
    let application = call.part("application");
    Ok(StartStored {
        application,
        name_or_id,
        trigger,
        user: USER.to_owned(),
        id,
    })
}

/// Deck names itself in the header of its rate limit.
fn origin(call: &Call) -> &'static str {
    match call.header("x-ratelimit-app") {
        Some(app) if app.eq_ignore_ascii_case("deck") => "deck",
        _ => "api",
    }
}
