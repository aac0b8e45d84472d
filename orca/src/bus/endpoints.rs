//! What other services can ask of orca.

use std::sync::Arc;

use kork::{
    ports::{Registration, RpcError},
    rpc::serve,
};
use kork_model::{
    Context, Execution, ExecutionId, Kind, Problem, StageId,
    api::orca::{
        CancelExecution, CheckCron, DeleteExecution, EvaluateExpression, EvaluateVariables,
        ExplainTriggers, GetExecution, ListExecutions, ListStageTypes, PatchStage, PauseExecution,
        ReceiveEvents, ReceiveWebhook, Ref, RestartStage, ResumeExecution, StartPipeline,
        StartStored, StartTask, TriggerHistory, WebhookTaken,
    },
    inbound::{EventKind, InboundEvent},
};
use orca_engine::{Command, build, stage};
use serde_json::{Value, json};

use crate::app::{
    Error, Shell,
    start::{self, Start},
};

type Registrations = Vec<Box<dyn Registration>>;

/// Serves every endpoint until the registrations are dropped.
pub(crate) async fn serve_all(shell: &Arc<Shell>) -> Result<Registrations, RpcError> {
    let mut all = control(shell).await?;
    all.extend(starts(shell).await?);
    all.extend(questions(shell).await?);
    Ok(all)
}

/// Serves one request type with an async function of (shell, request).
macro_rules! endpoint {
    ($shell:expr, $answer:expr) => {{
        let shell = Arc::clone($shell);
        serve(&*$shell.ports.rpc, move |request| {
            let shell = Arc::clone(&shell);
            async move {
                let shutdown = shell.shutdown.clone();
                let answered = shutdown.unless_aborted($answer(shell, request)).await;
                answered.map_or_else(
                    || Err(stops()),
                    |outcome| outcome.map_err(|e: Error| e.problem()),
                )
            }
        })
        .await?
    }};
}

/// What a caller hears whose request was dropped by a hard stop.
fn stops() -> Problem {
    let text = "orca stops in the middle of the request; ask again when it is back";
    Problem::new("KORK-0008", Kind::Unavailable, text).retry_after(1)
}

async fn starts(shell: &Arc<Shell>) -> Result<Registrations, RpcError> {
    Ok(vec![
        endpoint!(shell, start_pipeline),
        endpoint!(shell, start_stored),
        endpoint!(shell, start_task),
        endpoint!(shell, receive_webhook),
        endpoint!(shell, |shell: Arc<Shell>, r: ReceiveEvents| async move {
            shell.take_events(&r.events).await
        }),
    ])
}

async fn control(shell: &Arc<Shell>) -> Result<Registrations, RpcError> {
    Ok(vec![
        endpoint!(shell, |shell: Arc<Shell>, r: CancelExecution| async move {
            let command = Command::Cancel {
                by: r.user,
                reason: r.reason,
            };
            shell
                .execute(&existing(&shell, &r.id).await?, &command)
                .await
                .map(drop)
        }),
        endpoint!(shell, |shell: Arc<Shell>, r: PauseExecution| async move {
            let command = Command::Pause { by: r.user };
            shell
                .execute(&existing(&shell, &r.id).await?, &command)
                .await
                .map(drop)
        }),
        endpoint!(shell, |shell: Arc<Shell>, r: ResumeExecution| async move {
            let command = Command::Resume { by: r.user };
            shell
                .execute(&existing(&shell, &r.id).await?, &command)
                .await
                .map(drop)
        }),
        endpoint!(shell, patch),
        endpoint!(shell, restart),
        endpoint!(shell, delete),
    ])
}

async fn questions(shell: &Arc<Shell>) -> Result<Registrations, RpcError> {
    Ok(vec![
        endpoint!(shell, |shell: Arc<Shell>, r: GetExecution| async move {
            shell
                .state(&r.id.into())
                .await
                .map(|state| state.execution.clone())
        }),
        endpoint!(shell, |shell: Arc<Shell>, r: ListExecutions| async move {
            shell.list(&r).await
        }),
        endpoint!(
            shell,
            |shell: Arc<Shell>, r: EvaluateExpression| async move {
                let value = Value::from(r.expression);
                shell
                    .evaluate(&r.id.into(), r.stage.as_deref(), &value)
                    .await
            }
        ),
        endpoint!(
            shell,
            |shell: Arc<Shell>, r: EvaluateVariables| async move {
                let behind = &r.requisite_stage_ref_ids;
                shell
                    .evaluate_variables(&r.id.into(), behind, &r.variables)
                    .await
            }
        ),
        endpoint!(shell, |shell: Arc<Shell>, r: ExplainTriggers| async move {
            shell.explain(r.pipeline.as_deref(), &r.events).await
        }),
        endpoint!(shell, |shell: Arc<Shell>, r: TriggerHistory| async move {
            shell.past(&r.pipeline).await
        }),
        endpoint!(shell, |_: Arc<Shell>, r: CheckCron| async move {
            Ok(checked(&r.expression))
        }),
        endpoint!(shell, |_: Arc<Shell>, _: ListStageTypes| async move {
            Ok(stage_types())
        }),
    ])
}

fn checked(expression: &str) -> Context {
    let (valid, (name, text)) = match orca_triggers::cron::check(expression) {
        Ok(description) => (true, ("description", description)),
        Err(wrong) => (false, ("message", wrong.to_string())),
    };
    Context::from_iter([
        ("valid".to_owned(), json!(valid)),
        (name.to_owned(), json!(text)),
    ])
}

async fn existing(shell: &Arc<Shell>, id: &str) -> Result<ExecutionId, Error> {
    let id = ExecutionId::from(id);
    shell.state(&id).await.map(|_| id)
}

async fn start_pipeline(shell: Arc<Shell>, request: StartPipeline) -> Result<Context, Error> {
    let start = Start {
        pipeline: &request.pipeline,
        trigger: request.trigger.as_ref(),
        user: &request.user,
        origin: request.origin.as_deref().unwrap_or("api"),
        id: request.id.clone().map(ExecutionId::from),
        is_new: false,
    };
    if request.pipeline.get("plan") == Some(&Value::Bool(true)) {
        return shell.plan(&start);
    }
    let id = shell.start(&start).await?;
    Ok(Context::from_iter([(
        "ref".to_owned(),
        json!(format!("/pipelines/{id}")),
    )]))
}

async fn start_stored(shell: Arc<Shell>, request: StartStored) -> Result<Ref, Error> {
    let pipeline = shell
        .stored(&request.application, &request.name_or_id)
        .await?;
    if let Some(missing) = build::missing_parameter(&pipeline, &request.trigger) {
        return Err(start::invalid(&missing));
    }
    let trigger = shell.with_build(&pipeline, request.trigger).await?;
    let start = Start {
        pipeline: &pipeline,
        trigger: Some(&trigger),
        user: &request.user,
        origin: "api",
        id: request.id.clone().map(ExecutionId::from),
        is_new: false,
    };
    let id = shell.start(&start).await?;
    Ok(Ref {
        reference: format!("/pipelines/{id}"),
    })
}

async fn start_task(shell: Arc<Shell>, request: StartTask) -> Result<Ref, Error> {
    let id = shell.start_task(&request.task, &request.user).await?;
    Ok(Ref {
        reference: format!("/tasks/{id}"),
    })
}

/// What gates of the version before ask, which know no igor: plain webhooks.
async fn receive_webhook(
    shell: Arc<Shell>,
    request: ReceiveWebhook,
) -> Result<WebhookTaken, Error> {
    let event_id = request.event_id.unwrap_or_else(|| shell.ports.ids.uuid());
    if request.kind.eq_ignore_ascii_case("webhook") {
        let event = InboundEvent {
            id: event_id.clone(),
            kind: EventKind::Webhook,
            sender: "webhook".to_owned(),
            source: request.source,
            received: shell.ports.clock.now(),
            payload: request.payload,
            attributes: request.headers,
            ..InboundEvent::default()
        };
        shell.take_events(&[event]).await?;
    }
    Ok(WebhookTaken {
        event_processed: true,
        event_id,
    })
}

/// Answers with the execution as it was, with the change in its stage: clients follow it from there.
async fn patch(shell: Arc<Shell>, request: PatchStage) -> Result<Execution, Error> {
    let id = ExecutionId::from(request.id);
    let by = request.user;
    let mut before = shell.state(&id).await?.execution.clone();
    let stage = StageId::from(request.stage);
    let command = Command::Patch {
        stage: stage.clone(),
        context: request.context.clone(),
        by: by.clone(),
    };
    let after = shell.execute(&id, &command).await?;
    let changed = after.stage(&stage).and_then(|s| s.last_modified.clone());
    if let Some(stage) = before.stages.iter_mut().find(|s| s.id == stage) {
        stage.context.extend(request.context);
        stage.context.insert("lastModifiedBy".to_owned(), json!(by));
        stage.last_modified = changed;
    }
    Ok(before)
}

/// Answers with the execution as it was.
async fn restart(shell: Arc<Shell>, request: RestartStage) -> Result<Execution, Error> {
    let id = ExecutionId::from(request.id);
    let state = shell.state(&id).await?;
    let archived = state
        .execution
        .status
        .is_complete()
        .then(|| Box::new((*state).clone()));
    let stage = request.stage.into();
    let command = Command::Restart {
        stage,
        by: request.user,
        body: request.body,
        archived,
    };
    shell.execute(&id, &command).await?;
    Ok(state.execution.clone())
}

async fn delete(shell: Arc<Shell>, request: DeleteExecution) -> Result<(), Error> {
    let id = ExecutionId::from(request.id);
    let state = shell.state(&id).await?;
    if !state.execution.status.is_complete() {
        let text = format!(
            "execution {id} is {}; cancel it first",
            state.execution.status
        );
        return Err(start::boxed(Problem::new(
            "ORCA-0017",
            Kind::Conflict,
            text,
        )));
    }
    shell.index_remove(&state).await;
    shell.erase(&id).await
}

fn stage_types() -> Vec<Context> {
    let row = |(name, description): (&str, &str)| {
        Context::from_iter([
            ("type".to_owned(), json!(name)),
            ("description".to_owned(), json!(description)),
        ])
    };
    stage::all().map(row).collect()
}
