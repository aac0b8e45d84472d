//! Pipeline definitions: saving, deleting, ordering.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use kork_model::{
    Context, Kind,
    api::front50::{
        BulkSavePipelines, DeletePipeline, ListPipelines, ReorderPipelines, SavePipeline,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    param::{APPLICATION, STALE_CHECK},
    told::Told,
};
use crate::http::{
    answer::{Answer, Outcome},
    call::{Call, USER},
    refusal::Refusal,
    route::{BodyRule, Route, Verb, run},
};

const TAG: &str = "pipelines";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Post, "/pipelines", "savePipeline", run!(save))
        .about(
            TAG,
            "Creates or replaces a pipeline; answered once it is stored.",
        )
        .query(&[&STALE_CHECK])
        .body(BodyRule::Required("Pipeline")),
    Route::new(Verb::Put, "/pipelines/{id}", "updatePipeline", run!(update))
        .about(
            TAG,
            "Replaces the pipeline with this id, which the body carries too, or creates it; renames.",
        )
        .query(&[&STALE_CHECK])
        .body(BodyRule::Required("Pipeline"))
        .json("Pipeline"),
    Route::new(
        Verb::Delete,
        "/pipelines/{application}/{name}",
        "deletePipeline",
        run!(delete),
    )
    .about(
        TAG,
        "Deletes a pipeline by name, any case; fine when there is none.",
    ),
    Route::new(
        Verb::Post,
        "/pipelines/bulksave",
        "bulkSavePipelines",
        run!(bulk_save),
    )
    .about(TAG, "Saves many pipelines; each fails alone.")
    .query(&[&APPLICATION, &STALE_CHECK])
    .body(BodyRule::Required("Pipeline[]"))
    .json("BulkSaveAnswer"),
    Route::new(
        Verb::Post,
        "/pipelines/move",
        "movePipeline",
        run!(move_pipeline),
    )
    .about(TAG, "Always refused: rename with PUT /pipelines/{id}.")
    .body(BodyRule::Optional("Object"))
    .status(405),
    Route::new(
        Verb::Post,
        "/actions/pipelines/reorder",
        "reorderPipelines",
        run!(reorder),
    )
    .about(TAG, "Sets the order of the pipelines of an application.")
    .body(BodyRule::Required("Reorder"))
    .json("Task"),
    Route::new(
        Verb::Post,
        "/actions/strategies/reorder",
        "reorderStrategies",
        run!(reorder_strategies),
    )
    .about(TAG, "Sets the order of the strategies of an application.")
    .body(BodyRule::Required("Reorder"))
    .json("Task"),
];

async fn save(call: Call) -> Outcome {
    save_as(&call, None).await?;
    Answer::empty()
}

async fn update(call: Call) -> Outcome {
    let id = call.part("id");
    let saved = save_as(&call, Some(id.clone())).await?;
    // The list numbers its pipelines, a single one does not: clients get the numbered one.
    let application = saved
        .get("application")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let list = ListPipelines {
        application,
        ..ListPipelines::default()
    };
    let listed = call
        .ask_extra(&list, crate::limit::EXTRA_WAIT)
        .await
        .unwrap_or_default();
    let listed = listed.into_iter().find(|p| {
        p.get("id")
            .and_then(Value::as_str)
            .is_some_and(|other| other.eq_ignore_ascii_case(&id))
    });
    Answer::json(&listed.unwrap_or(saved))
}

async fn save_as(call: &Call, id_in_path: Option<String>) -> Result<Context, Refusal> {
    let mut pipeline: Context = call.json()?;
    // `"id": null` and `"triggers": null` are sent for "none".
    pipeline.retain(|_, value| !value.is_null());
    if id_in_path.is_some() && !pipeline.contains_key("id") {
        let detail =
            "a pipeline that is put must carry its id; a new one is created with POST /pipelines";
        return Err(Refusal::invalid("GATE-0006", detail).field("/id", "is missing"));
    }
    let stale_check = call.query.flag(&STALE_CHECK)?.unwrap_or(false);
    let mut save = SavePipeline {
        pipeline,
        stale_check,
        user: USER.to_owned(),
        id_in_path,
        strategies: false,
    };
    match (call.ask(&save).await, save.id_in_path.take()) {
        // As in Spinnaker, a pipeline that is put under an unknown id is created with it.
        (Err(refusal), Some(id))
            if refusal.problem().kind == Kind::NotFound
                && save.pipeline.get("id").and_then(Value::as_str) == Some(&id) =>
        {
            call.ask(&save).await
        }
        (outcome, _) => outcome,
    }
}

async fn delete(call: Call) -> Outcome {
    let delete = DeletePipeline {
        application: call.part("application"),
        name: call.part("name"),
        user: USER.to_owned(),
        strategies: false,
    };
    match call.ask(&delete).await {
        Ok(()) => Answer::empty(),
        Err(refusal) if refusal.problem().kind == Kind::NotFound => Answer::empty(),
        Err(refusal) => Err(refusal),
    }
}

async fn bulk_save(call: Call) -> Outcome {
    let save = BulkSavePipelines {
        pipelines: call.json()?,
        application: call.query.text(&APPLICATION).map(str::to_owned),
        stale_check: call.query.flag(&STALE_CHECK)?.unwrap_or(false),
        user: USER.to_owned(),
    };
    Answer::json(&call.ask(&save).await?)
}

async fn move_pipeline(_: Call) -> Outcome {
    let detail = "pipelines are not moved by name; rename one with PUT /pipelines/{id}";
    std::future::ready(Err(Refusal::left_out(detail))).await
}

/// The body of a reorder.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reorder {
    #[serde(default)]
    application: String,
    ids_to_indices: Option<BTreeMap<String, i64>>,
}

async fn reorder(call: Call) -> Outcome {
    reorder_all(call, false).await
}

async fn reorder_strategies(call: Call) -> Outcome {
    reorder_all(call, true).await
}

async fn reorder_all(call: Call, strategies: bool) -> Outcome {
    let Reorder {
        application,
        ids_to_indices,
    } = call.json()?;
    let missing = |name: &str| {
        Refusal::invalid(
            "GATE-0006",
            format!("`{name}` is required field on request body"),
        )
        .field(format!("/{name}"), "is missing")
    };
    let ids_to_indices = ids_to_indices.ok_or_else(|| missing("idsToIndices"))?;
    if application.is_empty() {
        return Err(missing("application"));
    }
    let encoded = STANDARD.encode(json!(ids_to_indices).to_string());
    let user = USER.to_owned();
    let request = ReorderPipelines {
        application,
        ids_to_indices,
        user,
        strategies,
    };
    let started = call.gate.ports.clock.now();
    call.ask(&request).await?;
    Answer::json(&reordered(&call, &request, encoded, started))
}

fn reordered(
    call: &Call,
    request: &ReorderPipelines,
    encoded: String,
    started: kork_model::Timestamp,
) -> Value {
    let what = if request.strategies {
        "Strategies"
    } else {
        "Pipelines"
    };
    let kind = format!("reorder{what}");
    let mut context = Context::new();
    context.insert("application".to_owned(), request.application.clone().into());
    context.insert("idsToIndices".to_owned(), encoded.into());
    let is_strategy = STANDARD.encode(request.strategies.to_string());
    context.insert("isStrategy".to_owned(), is_strategy.into());
    context.insert("notification.type".to_owned(), kind.to_lowercase().into());
    context.insert("user".to_owned(), USER.into());
    let told = Told {
        kind: &kind,
        implementing_class: format!("front50.{kind}"),
        description: format!("Reorder {}", what.to_lowercase()),
        application: request.application.clone(),
        context,
        started,
        failure: None,
    };
    told.task(call)
}
