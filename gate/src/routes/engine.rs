//! Paths of Spinnaker's Orca that scripts use directly: they work on the one gateway too.

use kork_model::{Context, api::orca::StartPipeline};

use super::{
    executions,
    param::{EXECUTION_IDS, EXPAND, LIMIT, PIPELINE_CONFIG_IDS, STATUSES},
    tasks,
};
use crate::http::{
    answer::{Answer, Outcome},
    call::{Call, USER},
    refusal::Refusal,
    route::{BodyRule, Route, Verb, run},
};

const TAG: &str = "engine";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/pipelines",
        "engineExecutions",
        run!(executions::by_ids),
    )
    .about(TAG, "As `/executions`: executions of pipelines, or by id.")
    .query(&[
        &PIPELINE_CONFIG_IDS,
        &EXECUTION_IDS,
        &STATUSES,
        &LIMIT,
        &EXPAND,
    ])
    .json("Execution[]"),
    Route::new(Verb::Post, "/ops", "engineTask", run!(tasks::start))
        .about(TAG, "As `/tasks`: runs jobs.")
        .body(BodyRule::Required("TaskRequest"))
        .json("Ref"),
    Route::new(Verb::Post, "/plan", "planPipeline", run!(plan))
        .about(
            TAG,
            "The pipeline as it would run, with parameters and artifacts bound.",
        )
        .body(BodyRule::Required("Object"))
        .json("Object"),
];

async fn plan(call: Call) -> Outcome {
    let given = call.json()?;
    Answer::json(&planned(&call, given).await?)
}

/// Parameters and the trigger are filled in; expressions stay for the moment in which they count.
pub(super) async fn planned(call: &Call, given: Context) -> Result<Context, Refusal> {
    let mut pipeline = given.clone();
    pipeline.insert("plan".to_owned(), true.into());
    let start = StartPipeline {
        pipeline,
        user: USER.to_owned(),
        ..StartPipeline::default()
    };
    let mut planned = call.ask(&start).await?;
    planned.remove("plan");
    if let Some(stages) = given.get("stages") {
        planned.insert("stages".to_owned(), stages.clone());
    }
    Ok(planned)
}
