//! Starting: a pipeline, a stored pipeline, a task, a child.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use kork::{
    ports::{JournalError, Revision},
    rpc,
};
use kork_model::{
    Context, ExecutionId, Kind, Problem,
    api::front50::{GetPipeline, ListPipelines},
    templated,
};
use orca_engine::{
    Command, Rejection, State,
    build::{self, Built, Request},
    command::Invalid,
};
use orca_triggers::Fired;
use serde_json::{Value, json};

use super::{Error, Id, Shell, spans, templates, token};

/// What is to be started.
pub(crate) struct Start<'a> {
    pub pipeline: &'a Context,
    pub trigger: Option<&'a Context>,
    pub user: &'a str,
    pub origin: &'a str,
    /// Started at most once under this id.
    pub id: Option<ExecutionId>,
    /// As a rule there is no execution under it: it is not looked for before one is made.
    pub is_new: bool,
}

/// What a correlation id says of a start.
enum Correlated {
    /// This one runs; nothing is to be started.
    Open(ExecutionId),
    /// Start one under this id.
    ToStart(ExecutionId),
}

impl Shell {
    /// Starts a pipeline; answers with its id once it is stored.
    pub(crate) async fn start(self: &Arc<Self>, start: &Start<'_>) -> Result<ExecutionId, Error> {
        let chosen = start.id.clone().or_else(|| chosen_id(start));
        if let Some(id) = chosen.as_ref().filter(|_| !start.is_new) {
            check_id(id)?;
            match self.state(id).await {
                Ok(_) => return Ok(id.clone()),
                Err(Error::Rejected(Rejection::UnknownExecution(_))) => {}
                Err(error) => return Err(error),
            }
        }
        let is_chosen = chosen.is_some();
        let own = chosen.unwrap_or_else(|| self.ports.ids.ulid().into());
        self.states.is_new(&own);
        let id = match self.correlated(start, own.clone()).await? {
            Correlated::Open(open) => return Ok(open),
            Correlated::ToStart(id) => id,
        };
        let origin = if is_chosen || id != own {
            Id::Chosen
        } else {
            Id::Own
        };
        let prior = self.prior_artifacts(start.pipeline).await?;
        let pipeline = self.expanded(start.pipeline).await?;
        let request = Request {
            id: id.clone(),
            now: self.ports.clock.now(),
            pipeline: &pipeline,
            trigger: start.trigger,
            user: start.user,
            origin: start.origin,
            prior_artifacts: &prior,
        };
        match build::pipeline(&request).map_err(|e| invalid(&e))? {
            Built::Ready(mut execution) => {
                execution.traceparent = Some(spans::asked(id.as_str()).to_string());
                self.create(&id, &Command::Create { execution }, origin)
                    .await?;
                Ok(id)
            }
            Built::Refused {
                mut execution,
                invalid: why,
            } => {
                execution.traceparent = Some(spans::asked(id.as_str()).to_string());
                let reason = why.detail.clone();
                self.create(&id, &Command::CreateRefused { execution, reason }, origin)
                    .await?;
                Err(invalid(&why))
            }
        }
    }

    /// An execution of nothing that says why a trigger could not start its pipeline.
    pub(crate) async fn start_refused(
        self: &Arc<Self>,
        fired: &Fired,
        origin: &str,
        id: ExecutionId,
        why: &Problem,
    ) -> Result<(), Error> {
        let pipeline = json!({
            "id": &*fired.pipeline, "application": &*fired.application, "name": fired.name, "stages": [],
        });
        let Value::Object(pipeline) = pipeline else {
            return Ok(());
        };
        // What it would have been given may be what is wrong.
        let mut trigger = fired.trigger.clone();
        trigger.remove("expectedArtifactIds");
        let request = Request {
            id: id.clone(),
            now: self.ports.clock.now(),
            pipeline: &pipeline,
            trigger: Some(&trigger),
            user: &fired.user,
            origin,
            prior_artifacts: &[],
        };
        let built = build::pipeline(&request).map_err(|e| invalid(&e))?;
        let (Built::Ready(mut execution) | Built::Refused { mut execution, .. }) = built;
        execution.traceparent = Some(spans::asked(id.as_str()).to_string());
        let reason = why.message();
        self.create(
            &id,
            &Command::CreateRefused { execution, reason },
            Id::Chosen,
        )
        .await
    }

    /// The definition as it would run.
    pub(crate) fn plan(&self, start: &Start<'_>) -> Result<Context, Error> {
        let request = Request {
            id: ExecutionId::default(),
            now: self.ports.clock.now(),
            pipeline: start.pipeline,
            trigger: start.trigger,
            user: start.user,
            origin: start.origin,
            prior_artifacts: &[],
        };
        build::planned(&request).map_err(|e| invalid(&e))
    }

    /// Starts the jobs of a task.
    pub(crate) async fn start_task(
        self: &Arc<Self>,
        task: &Context,
        user: &str,
    ) -> Result<ExecutionId, Error> {
        let id: ExecutionId = self.ports.ids.ulid().into();
        self.states.is_new(&id);
        let request = Request {
            id: id.clone(),
            now: self.ports.clock.now(),
            pipeline: task,
            trigger: None,
            user,
            origin: "api",
            prior_artifacts: &[],
        };
        let mut execution = Box::new(build::orchestration(&request).map_err(|e| invalid(&e))?);
        execution.traceparent = Some(spans::asked(id.as_str()).to_string());
        self.create(&id, &Command::Create { execution }, Id::Own)
            .await?;
        Ok(id)
    }

    /// A stored pipeline by exact name, else by id.
    pub(crate) async fn stored(
        &self,
        application: &str,
        name_or_id: &str,
    ) -> Result<Context, Error> {
        let by_name = ListPipelines {
            application: Some(application.to_owned()),
            name_filter: Some(name_or_id.to_owned()),
            ..ListPipelines::default()
        };
        let listed = rpc::call(&*self.ports.rpc, &by_name).await.map_err(boxed)?;
        let named = |p: &Context| p.get("name").and_then(Value::as_str) == Some(name_or_id);
        if let Some(pipeline) = listed.into_iter().find(named) {
            return Ok(pipeline);
        }
        let by_id = GetPipeline {
            id: name_or_id.to_owned(),
            strategies: false,
        };
        rpc::call(&*self.ports.rpc, &by_id).await.map_err(|problem| {
            if problem.kind != Kind::NotFound {
                return boxed(problem);
            }
            let text = format!(
                "there is no pipeline with the name or id {name_or_id} in application {application}"
            );
            boxed(Problem::new("ORCA-0016", Kind::NotFound, text))
        })
    }

    /// A pipeline that is made from a template, as the pipeline that it is; any other one as it is.
    async fn expanded<'a>(&self, pipeline: &'a Context) -> Result<Cow<'a, Context>, Error> {
        if !templates::is_templated(pipeline) {
            return Ok(Cow::Borrowed(pipeline));
        }
        let wrong = |pointer: &str, detail: String| {
            let text = "the template of the pipeline cannot be filled in";
            boxed(Problem::new("ORCA-0010", Kind::Invalid, text).field(pointer, detail))
        };
        let Some(id) = templated::stored_id(pipeline) else {
            let detail = "must name a stored template: spinnaker://<id>".to_owned();
            return Err(wrong("/template/reference", detail));
        };
        let template = self
            .whole_template(id)
            .await
            .map_err(|problem| match problem.kind {
                Kind::NotFound => {
                    let detail = format!("there is no pipeline template {id}");
                    wrong("/template/reference", detail)
                }
                _ => boxed(problem),
            })?;
        let filled = templated::pipeline(&template, pipeline).map_err(|missing| {
            let detail = format!("Missing variable values for: {}", missing.join(", "));
            wrong("/variables", detail)
        })?;
        Ok(Cow::Owned(filled))
    }

    async fn create(
        self: &Arc<Self>,
        id: &ExecutionId,
        command: &Command,
        origin: Id,
    ) -> Result<(), Error> {
        match self.execute_as(id, command, origin).await {
            // Another one started it under the same id a moment ago.
            Ok(_) | Err(Error::Rejected(Rejection::AlreadyExists(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `trigger.correlationId`: while an execution with it is not finished, that one is the answer.
    /// Whoever finds a claim without an execution makes it under the claimed id: whether the claimant
    /// is only slower or died, there will be one.
    async fn correlated(
        self: &Arc<Self>,
        start: &Start<'_>,
        id: ExecutionId,
    ) -> Result<Correlated, Error> {
        let own = start.pipeline.get("trigger").and_then(Value::as_object);
        let correlation = start.trigger.and_then(correlation_of);
        let Some(correlation) = correlation.or_else(|| own.and_then(correlation_of)) else {
            return Ok(Correlated::ToStart(id));
        };
        let subject = claims(correlation);
        let failed = |source| Error::Journal {
            id: correlation.to_owned(),
            source,
        };
        loop {
            let records = self
                .ports
                .journal
                .read(&subject, Revision::NONE)
                .await
                .map_err(failed)?;
            let newest = records.last();
            if let Some(record) = newest {
                let known =
                    ExecutionId::from(String::from_utf8_lossy(&record.payload).into_owned());
                match self.state(&known).await {
                    Ok(state) if state.execution.status.is_complete() => {}
                    Ok(_) => return Ok(Correlated::Open(known)),
                    Err(Error::Rejected(Rejection::UnknownExecution(_))) => {
                        return Ok(Correlated::ToStart(known));
                    }
                    Err(error) => return Err(error),
                }
            }
            let expected = newest.map_or(Revision::NONE, |r| r.revision);
            let payload = Bytes::from(id.as_str().to_owned());
            match self.ports.journal.append(&subject, expected, payload).await {
                Ok(_) if expected == Revision::NONE => return Ok(Correlated::ToStart(id)),
                Ok(_) => {
                    self.ports
                        .journal
                        .purge(&subject, expected)
                        .await
                        .map_err(failed)?;
                    return Ok(Correlated::ToStart(id));
                }
                Err(JournalError::Conflict { .. }) => {}
                Err(source) => return Err(failed(source)),
            }
        }
    }

    /// The execution has ended: what stands under its correlation id claims nothing any more.
    pub(crate) async fn forget_claim(&self, state: &State) -> Result<(), Error> {
        let execution = &state.execution;
        let Some(correlation) = correlation_of(&execution.trigger) else {
            return Ok(());
        };
        let subject = claims(correlation);
        let failed = |source| Error::Journal {
            id: correlation.to_owned(),
            source,
        };
        let journal = &self.ports.journal;
        let records = journal.read(&subject, Revision::NONE).await;
        let newest = records.map_err(failed)?.pop();
        // Another one may have claimed it since.
        let own = newest.filter(|record| record.payload == execution.id.as_str().as_bytes());
        let Some(own) = own else {
            return Ok(());
        };
        journal.purge(&subject, own.revision).await.map_err(failed)
    }

    /// Artifacts of the newest execution of this pipeline, when an expected artifact wants them.
    async fn prior_artifacts(self: &Arc<Self>, pipeline: &Context) -> Result<Vec<Value>, Error> {
        let expected = pipeline.get("expectedArtifacts").and_then(Value::as_array);
        let wants = expected
            .into_iter()
            .flatten()
            .any(|e| e.get("usePriorArtifact").and_then(Value::as_bool) == Some(true));
        let config = pipeline.get("id").and_then(Value::as_str).filter(|_| wants);
        let Some(config) = config else {
            return Ok(Vec::new());
        };
        // Other artifacts than it has would be deployed in their place.
        let newest = self.newest_of(config, 1).await?.pop();
        Ok(newest.map_or_else(Vec::new, |state| {
            orca_engine::artifacts_of(&state.execution)
        }))
    }
}

fn correlation_of(trigger: &Context) -> Option<&str> {
    trigger.get("correlationId").and_then(Value::as_str)
}

/// Where executions are claimed by a correlation id.
fn claims(correlation: &str) -> String {
    format!("correlation.{}", token(correlation))
}

fn chosen_id(start: &Start<'_>) -> Option<ExecutionId> {
    let of = |t: &Context| {
        t.get("executionId")
            .and_then(Value::as_str)
            .map(ExecutionId::from)
    };
    start
        .trigger
        .and_then(of)
        .or_else(|| of(start.pipeline.get("trigger")?.as_object()?))
}

fn check_id(id: &ExecutionId) -> Result<(), Error> {
    let text = id.as_str();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(());
    }
    let text =
        format!("{text:?} cannot be the id of an execution; use 1 to 64 letters, digits and -");
    Err(boxed(
        Problem::new("ORCA-0010", Kind::Invalid, text).field("/trigger/executionId", "not an id"),
    ))
}

/// What is wrong with a definition, as a caller sees it.
pub(crate) fn invalid(invalid: &Invalid) -> Error {
    let mut problem = Problem::new(invalid.code, Kind::Invalid, invalid.detail.clone());
    problem.errors.clone_from(&invalid.errors);
    boxed(problem)
}

pub(crate) fn boxed(problem: Problem) -> Error {
    Error::Problem(Box::new(problem))
}
