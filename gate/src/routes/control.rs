//! One execution: reading, cancelling, holding, restarting, judging, evaluating.

use kork_model::{
    Context, ExecutionType,
    api::orca::{
        CancelExecution, DeleteExecution, EvaluateExpression, EvaluateVariables, PatchStage,
        PauseExecution, RestartStage, ResumeExecution,
    },
};
use serde::Deserialize;

use super::{
    executions,
    param::{
        EXECUTION_ID, EXPAND, EXPRESSION, FORCE, REASON, REQUISITE_STAGE_REF_IDS, SPEL_VERSION,
    },
};
use crate::http::{
    answer::{Answer, Outcome},
    call::{Call, USER},
    refusal::Refusal,
    route::{BodyRule, Route, Verb, run},
};

const TAG: &str = "execution control";
/// No such stage; a change that its type does not know.
const NOTHING_TO_PATCH: [&str; 2] = ["ORCA-0003", "ORCA-0005"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/pipelines/{id}", "getExecution", run!(get))
        .about(TAG, "One execution, running or finished.")
        .query(&[&EXPAND])
        .json("Execution"),
    Route::new(
        Verb::Delete,
        "/pipelines/{id}",
        "deleteExecution",
        run!(delete),
    )
    .about(TAG, "Deletes a finished execution."),
    Route::new(
        Verb::Put,
        "/pipelines/{id}/cancel",
        "cancelExecution",
        run!(cancel),
    )
    .about(
        TAG,
        "Cancels an execution; nothing happens when it is finished.",
    )
    .query(&[&REASON, &FORCE]),
    Route::new(
        Verb::Put,
        "/applications/{application}/pipelines/{id}/cancel",
        "cancelApplicationExecution",
        run!(cancel),
    )
    .about(
        TAG,
        "Cancels an execution; the application is not looked at.",
    )
    .query(&[&REASON]),
    Route::new(
        Verb::Put,
        "/pipelines/{id}/pause",
        "pauseExecution",
        run!(pause),
    )
    .about(TAG, "Holds an execution; nothing happens unless it runs."),
    Route::new(
        Verb::Put,
        "/pipelines/{id}/resume",
        "resumeExecution",
        run!(resume),
    )
    .about(
        TAG,
        "Lets an execution go on; nothing happens unless it is held.",
    ),
    Route::new(
        Verb::Patch,
        "/pipelines/{id}/stages/{stage}",
        "patchStage",
        run!(patch_stage),
    )
    .about(
        TAG,
        "Merges keys into the context of a stage: judgments, skipped waits.",
    )
    .body(BodyRule::Required("Object"))
    .json("Execution"),
    Route::new(
        Verb::Put,
        "/pipelines/{id}/stages/{stage}/restart",
        "restartStage",
        run!(restart),
    )
    .about(TAG, "Runs a stage and all that follows it again.")
    .body(BodyRule::Required("Object"))
    .json("Execution"),
    Route::new(
        Verb::Get,
        "/pipelines/{id}/evaluateExpression",
        "evaluateExpression",
        run!(evaluate),
    )
    .about(TAG, "Evaluates an expression against an execution.")
    .query(&[&EXPRESSION])
    .json("Evaluation"),
    Route::new(
        Verb::Post,
        "/pipelines/{id}/evaluateExpression",
        "evaluateExpressionBody",
        run!(evaluate_body),
    )
    .about(
        TAG,
        "Evaluates an expression that is sent as plain text or as `{\"expression\": ...}`.",
    )
    .query(&[&EXPRESSION])
    .body(BodyRule::JsonOrText("Expression"))
    .json("Evaluation"),
    Route::new(
        Verb::Get,
        "/pipelines/{id}/{stage}/evaluateExpression",
        "evaluateExpressionAtStage",
        run!(evaluate),
    )
    .about(
        TAG,
        "Evaluates an expression against a stage of an execution.",
    )
    .query(&[&EXPRESSION])
    .json("Evaluation"),
    Route::new(
        Verb::Post,
        "/pipelines/{id}/evaluateVariables",
        "evaluateVariables",
        run!(evaluate_variables),
    )
    .about(TAG, "Evaluates a list of variables against an execution.")
    .query(&[&EXECUTION_ID, &REQUISITE_STAGE_REF_IDS, &SPEL_VERSION])
    .body(BodyRule::Required("Variable[]"))
    .json("Evaluation"),
];

async fn get(call: Call) -> Outcome {
    let expand = call.query.flag(&EXPAND)?.unwrap_or(true);
    let id = call.part("id");
    let mut execution = executions::of_kind(&call, id, ExecutionType::Pipeline).await?;
    if !expand {
        for stage in &mut execution.stages {
            stage.context.retain(|key, _| key == "group");
            stage.outputs.clear();
            stage.tasks.clear();
        }
    }
    Answer::json(&execution)
}

async fn delete(call: Call) -> Outcome {
    call.ask(&DeleteExecution {
        id: call.part("id"),
        user: USER.to_owned(),
    })
    .await?;
    Answer::empty()
}

async fn cancel(call: Call) -> Outcome {
    let reason = call.query.text(&REASON).map(str::to_owned);
    call.ask(&CancelExecution {
        id: call.part("id"),
        reason,
        user: USER.to_owned(),
    })
    .await?;
    Answer::empty()
}

async fn pause(call: Call) -> Outcome {
    call.ask(&PauseExecution {
        id: call.part("id"),
        user: USER.to_owned(),
    })
    .await?;
    Answer::empty()
}

async fn resume(call: Call) -> Outcome {
    call.ask(&ResumeExecution {
        id: call.part("id"),
        user: USER.to_owned(),
    })
    .await?;
    Answer::empty()
}

async fn patch_stage(call: Call) -> Outcome {
    let patch = PatchStage {
        id: call.part("id"),
        stage: call.part("stage"),
        context: call.json()?,
        user: USER.to_owned(),
    };
    match call.ask(&patch).await {
        Ok(execution) => Answer::json(&execution),
        // Spinnaker's clients take a change that nothing can come of as done: 200 without a body.
        Err(refusal) if NOTHING_TO_PATCH.contains(&refusal.code()) => {
            tracing::info!(
                code = refusal.code(),
                stage = patch.stage,
                "a change of a stage is without effect"
            );
            Answer::empty()
        }
        Err(refusal) => Err(refusal),
    }
}

async fn restart(call: Call) -> Outcome {
    let restart = RestartStage {
        id: call.part("id"),
        stage: call.part("stage"),
        body: call.json()?,
        user: USER.to_owned(),
    };
    Answer::json(&call.ask(&restart).await?)
}

async fn evaluate(call: Call) -> Outcome {
    let expression = call.query.given(&EXPRESSION)?.to_owned();
    evaluated(&call, expression).await
}

/// The JSON form of an expression.
#[derive(Deserialize)]
struct Expression {
    expression: String,
}

async fn evaluate_body(call: Call) -> Outcome {
    let expression = if let Some(expression) = call.query.text(&EXPRESSION) {
        expression.to_owned()
    } else if call.is_text() {
        if call.body.is_empty() {
            let detail = "the body is empty, an expression is needed";
            return Err(Refusal::invalid("GATE-0005", detail));
        }
        String::from_utf8(call.body.to_vec()).map_err(|e| {
            Refusal::invalid("GATE-0005", format!("the expression is not UTF-8: {e}"))
        })?
    } else {
        call.json::<Expression>()?.expression
    };
    evaluated(&call, expression).await
}

async fn evaluated(call: &Call, expression: String) -> Outcome {
    let stage = Some(call.part("stage")).filter(|stage| !stage.is_empty());
    let evaluate = EvaluateExpression {
        id: call.part("id"),
        stage,
        expression,
    };
    Answer::json(&call.ask(&evaluate).await?)
}

/// There is one evaluator; the versions that Spinnaker knows are taken, others are a mistake.
fn spel_version(call: &Call) -> Result<Option<String>, Refusal> {
    match call.query.text(&SPEL_VERSION) {
        None => Ok(None),
        Some(version @ ("v2" | "v3" | "v4")) => Ok(Some(version.to_owned())),
        Some(other) => Err(SPEL_VERSION.refuse(&format!("is {other:?}, it must be v2, v3 or v4"))),
    }
}

async fn evaluate_variables(call: Call) -> Outcome {
    let variables: Vec<Context> = call.json()?;
    // As in Spinnaker: the parameter decides, not the path.
    let evaluate = EvaluateVariables {
        id: call.query.required(&EXECUTION_ID)?.to_owned(),
        requisite_stage_ref_ids: call.query.list(&REQUISITE_STAGE_REF_IDS)?,
        spel_version: spel_version(&call)?,
        variables,
    };
    Answer::json(&call.ask(&evaluate).await?)
}
