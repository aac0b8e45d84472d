//! Our own additions: dry runs, and what this installation can run.

use kork_model::{
    Context,
    api::{clouddriver::PlanOperation, orca::ListStageTypes},
};
use serde::Deserialize;

use crate::http::{
    answer::{Answer, Outcome},
    call::Call,
    route::{BodyRule, Route, Verb, run},
};

const TAG: &str = "operations";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Post, "/operations/plan", "planOperation", run!(plan))
        .about(
            TAG,
            "What an operation would do, step by step; nothing is done.",
        )
        .body(BodyRule::Required("PlanRequest"))
        .json("Plan"),
    Route::new(Verb::Get, "/stages", "stageTypes", run!(stages))
        .about(TAG, "The stage types that pipelines may use.")
        .json("StageType[]"),
];

/// The body of a dry run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanRequest {
    kind: String,
    #[serde(default)]
    application: String,
    #[serde(default)]
    payload: Context,
}

async fn plan(call: Call) -> Outcome {
    let PlanRequest {
        kind,
        application,
        payload,
    } = call.json()?;
    Answer::json(
        &call
            .ask(&PlanOperation {
                kind,
                payload,
                application,
            })
            .await?,
    )
}

async fn stages(call: Call) -> Outcome {
    Answer::json(&call.ask(&ListStageTypes {}).await?)
}
