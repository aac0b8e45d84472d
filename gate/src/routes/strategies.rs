//! Strategies: pipelines that other pipelines deploy with. Stored apart, otherwise alike.

use kork_model::{
    Context,
    api::front50::{DeletePipeline, ListPipelines, SavePipeline},
};

use super::{param::LIMIT, pipelines};
use crate::http::{
    answer::{Answer, Outcome},
    call::{Call, USER},
    refusal::Refusal,
    route::{BodyRule, Route, Verb, run},
};

const TAG: &str = "strategies";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/applications/{application}/strategyConfigs",
        "strategyConfigs",
        run!(of_application),
    )
    .about(TAG, "The strategies of an application.")
    .json("Pipeline[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}/strategyConfigs/{name}",
        "strategyConfig",
        run!(by_name),
    )
    .about(TAG, "One strategy of an application by its exact name.")
    .json("Pipeline"),
    Route::new(
        Verb::Get,
        "/strategyConfigs",
        "allStrategyConfigs",
        run!(all),
    )
    .about(TAG, "The strategies of all applications.")
    .json("Pipeline[]"),
    Route::new(
        Verb::Get,
        "/strategyConfigs/{id}/history",
        "strategyHistory",
        run!(history),
    )
    .about(TAG, "Earlier versions of a strategy, newest first.")
    .query(&[&LIMIT])
    .json("Pipeline[]"),
    Route::new(Verb::Post, "/strategies", "saveStrategy", run!(save))
        .about(TAG, "Creates or replaces a strategy.")
        .body(BodyRule::Required("Pipeline")),
    Route::new(
        Verb::Put,
        "/strategies/{id}",
        "updateStrategy",
        run!(update),
    )
    .about(TAG, "Replaces the strategy with this id.")
    .body(BodyRule::Required("Pipeline"))
    .json("Pipeline"),
    Route::new(
        Verb::Delete,
        "/strategies/{application}/{name}",
        "deleteStrategy",
        run!(delete),
    )
    .about(TAG, "Deletes a strategy by name."),
];

async fn of_application(call: Call) -> Outcome {
    list(&call, Some(call.part("application"))).await
}

async fn all(call: Call) -> Outcome {
    list(&call, None).await
}

async fn list(call: &Call, application: Option<String>) -> Outcome {
    let list = ListPipelines {
        application,
        strategies: true,
        ..ListPipelines::default()
    };
    Answer::json(&call.ask(&list).await?)
}

async fn by_name(call: Call) -> Outcome {
    Answer::json(&pipelines::named(&call, true).await?)
}

async fn history(call: Call) -> Outcome {
    Answer::json(&pipelines::versions(&call, true).await?)
}

async fn save(call: Call) -> Outcome {
    save_as(&call, None).await?;
    Answer::empty()
}

async fn update(call: Call) -> Outcome {
    Answer::json(&save_as(&call, Some(call.part("id"))).await?)
}

async fn save_as(call: &Call, id_in_path: Option<String>) -> Result<Context, Refusal> {
    let mut pipeline: Context = call.json()?;
    pipeline.retain(|_, value| !value.is_null());
    let user = USER.to_owned();
    let save = SavePipeline {
        pipeline,
        stale_check: false,
        user,
        id_in_path,
        strategies: true,
    };
    call.ask(&save).await
}

async fn delete(call: Call) -> Outcome {
    let delete = DeletePipeline {
        application: call.part("application"),
        name: call.part("name"),
        user: USER.to_owned(),
        strategies: true,
    };
    call.ask(&delete).await?;
    Answer::empty()
}
