//! Work that orchestration tasks ask for: the kinds behind `POST /tasks` that change definitions.
//!
//! A key that comes again gets its first result from a record. Between a change and its record lies
//! a gap, so each kind can also be done twice: new ids follow from the key, a merge of the same
//! members and a delete of what is gone change nothing.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use kork::{
    model::{Context, Kind, Problem, WorkOrder, WorkResult},
    ports::Condition,
};
use serde_json::{Value, json};

use super::{Front50, SavePipeline, bucket::WriteError};
use crate::domain::{ObjectType, problems, text};

/// Largest application that a report shows; two of them fit into one message.
const STATE_BYTES_MAX: usize = 256 * 1024;

impl Front50 {
    /// Does a piece of work, or answers with its first result.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be done or recorded now: do it again later. Every other failure
    /// is a result.
    pub async fn work(self: &Arc<Self>, order: &WorkOrder) -> Result<WorkResult, Problem> {
        let record = self.bucket.layout.work(order.key.as_str());
        if let Some((body, _)) = self.bucket.get(&record).await?
            && let Ok(first) = serde_json::from_slice(&body)
        {
            return Ok(first);
        }
        let result = match self.carry_out(order).await {
            Ok(context) => WorkResult {
                context,
                ..WorkResult::succeeded(Context::new())
            },
            Err(problem) if problem.kind == Kind::Unavailable => return Err(problem),
            Err(problem) => WorkResult::failed(problem),
        };
        let body = serde_json::to_vec(&result)
            .map_err(|error| problems::store("recording finished work", &error))?;
        match self
            .bucket
            .put(&record, Bytes::from(body), Condition::IfAbsent)
            .await
        {
            Ok(_) => Ok(result),
            // Another worker did it at the same time; its result counts.
            Err(WriteError::Changed) => match self.bucket.get(&record).await? {
                Some((body, _)) => Ok(serde_json::from_slice(&body).unwrap_or(result)),
                None => Ok(result),
            },
            Err(WriteError::Refused(problem)) => Err(problem),
        }
    }

    async fn carry_out(self: &Arc<Self>, order: &WorkOrder) -> Result<Context, Problem> {
        match order.kind.as_str() {
            "createApplication" | "updateApplication" | "upsertApplication" => {
                self.upsert_application_work(order).await
            }
            "deleteApplication" => self.delete_application_work(order).await,
            "savePipeline" | "updatePipeline" => self.save_pipeline_work(order).await,
            "deletePipeline" => self.delete_pipeline_work(order).await,
            "reorderPipelines" => self.reorder_pipelines_work(order).await,
            "upsertProject" => {
                let project = object(&order.payload, "project")?;
                let key = Some(order.key.as_str());
                let saved = self.upsert_project(project, &order.user, key).await;
                let saved = saved.map_err(|problem| below("/project", problem))?;
                let id = saved.get("id").cloned().unwrap_or_default();
                Ok(notified("upsertproject", [("project.id", id)]))
            }
            "deleteProject" => {
                let id = match order.payload.get("project") {
                    Some(Value::Object(project)) => text(project, "id"),
                    _ => text(&order.payload, "id"),
                };
                let id = id.ok_or_else(|| missing("project.id"))?;
                self.delete_project(id).await?;
                Ok(notified("deleteproject", [("project.id", json!(id))]))
            }
            other => Err(problems::unknown_work(other)),
        }
    }

    async fn upsert_application_work(&self, order: &WorkOrder) -> Result<Context, Problem> {
        let application = object(&order.payload, "application")?;
        let name = Self::asked_name(&application).ok_or_else(|| missing("application.name"))?;
        let name = json!(name);
        let mut state = application.clone();
        state.remove("permissions");
        let upserted = self.upsert_application(application, &order.user).await;
        let (_, before) = upserted.map_err(|problem| below("/application", problem))?;
        let before = before.map(without_nulls).unwrap_or_default();
        let mut context = notified("upsertapplication", [("application.name", name)]);
        add_state(&mut context, "newState", state);
        add_state(&mut context, "previousState", before);
        Ok(context)
    }

    async fn delete_application_work(
        self: &Arc<Self>,
        order: &WorkOrder,
    ) -> Result<Context, Problem> {
        let application = object(&order.payload, "application")?;
        let name = Self::asked_name(&application).ok_or_else(|| missing("application.name"))?;
        let gone = self.delete_application(name, &order.user).await;
        let gone = gone.map_err(|problem| below("/application", problem))?;
        let mut context = notified("deleteapplication", [("application.name", json!(name))]);
        if let Some(gone) = gone {
            add_state(&mut context, "previousState", without_nulls(gone));
        }
        Ok(context)
    }

    async fn save_pipeline_work(&self, order: &WorkOrder) -> Result<Context, Problem> {
        let document = object(&order.payload, "pipeline")?;
        let save = SavePipeline {
            of: pipeline_type(&order.payload),
            document,
            stale_check: flag(&order.payload, "staleCheck"),
            user: order.user.clone(),
            id_in_path: None,
            work: Some(order.key.as_str().to_owned()),
        };
        let saved = self.save_pipeline(&save).await;
        let saved = saved.map_err(|problem| below("/pipeline", problem))?;
        let member = |name: &str| saved.get(name).cloned().unwrap_or_default();
        let kind = order.kind.to_lowercase();
        Ok(notified(
            &kind,
            [
                ("application", member("application")),
                ("pipeline.name", member("name")),
                ("pipeline.id", member("id")),
            ],
        ))
    }

    async fn delete_pipeline_work(&self, order: &WorkOrder) -> Result<Context, Problem> {
        let pipeline = match order.payload.get("pipeline") {
            None => order.payload.clone(),
            Some(_) => object(&order.payload, "pipeline")?,
        };
        let application =
            text(&pipeline, "application").ok_or_else(|| missing("pipeline.application"))?;
        let name = text(&pipeline, "name").ok_or_else(|| missing("pipeline.name"))?;
        let of = pipeline_type(&order.payload);
        match self.delete_pipeline(of, application, name).await {
            Ok(_) => {}
            // It is gone, and that is what was asked for.
            Err(problem) if problem.kind == Kind::NotFound => {}
            Err(problem) => return Err(problem),
        }
        let names = [
            ("application", json!(application)),
            ("pipeline.name", json!(name)),
        ];
        Ok(notified("deletepipeline", names))
    }

    async fn reorder_pipelines_work(&self, order: &WorkOrder) -> Result<Context, Problem> {
        let indices: BTreeMap<String, i64> = decoded(&order.payload, "idsToIndices")
            .and_then(|value| serde_json::from_value(value).ok())
            .ok_or_else(|| {
                let text = "`idsToIndices` is required field on request body";
                problems::invalid_field("/idsToIndices", text)
            })?;
        let application = text(&order.payload, "application").unwrap_or(&order.application);
        let of = pipeline_type(&order.payload);
        self.reorder(of, application, &indices, &order.user).await?;
        Ok(notified(
            "reorderpipelines",
            [("application", json!(application))],
        ))
    }
}

/// The members that a finished order leaves in its stage.
fn notified<const N: usize>(kind: &str, members: [(&str, Value); N]) -> Context {
    let mut context = Context::from_iter([("notification.type".to_owned(), json!(kind))]);
    context.extend(members.map(|(name, value)| (name.to_owned(), value)));
    context
}

/// An order without something that it needs, in Spinnaker's words.
fn missing(parameter: &str) -> Problem {
    let pointer = format!("/{}", parameter.replace('.', "/"));
    let detail = format!("Missing one or more required task parameters ({parameter})");
    problems::invalid_field(&pointer, detail)
}

/// Moves the pointers of wrong fields to where the document lies in the order, and gives a refusal
/// without fields one, since the first field error is what clients of tasks are shown.
fn below(member: &str, mut problem: Problem) -> Problem {
    // A report also carries the stage's context; the versions of a conflict can be asked for.
    problem.data = None;
    for error in &mut problem.errors {
        error.pointer = format!("{member}{}", error.pointer);
    }
    if problem.errors.is_empty() {
        problem
            .errors
            .push(problems::field(member, problem.detail.clone()));
    }
    problem
}

/// A member that is a value, or, as Gate sends it, base64 of its JSON.
fn decoded(payload: &Context, member: &str) -> Option<Value> {
    match payload.get(member)? {
        Value::String(text) => {
            let json = STANDARD.decode(text.trim()).ok()?;
            serde_json::from_slice(&json).ok()
        }
        value => Some(value.clone()),
    }
}

fn object(payload: &Context, member: &str) -> Result<Context, Problem> {
    match (payload.get(member), decoded(payload, member)) {
        (None | Some(Value::Null), _) => Err(missing(member)),
        (_, Some(Value::Object(object))) => Ok(object),
        _ => {
            let text = format!("{member} must be an object, or base64 of the JSON of one");
            Err(problems::invalid_field(&format!("/{member}"), text))
        }
    }
}

fn flag(payload: &Context, member: &str) -> bool {
    match payload.get(member) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => true,
        Some(Value::String(_)) => decoded(payload, member) == Some(Value::Bool(true)),
        _ => false,
    }
}

fn pipeline_type(payload: &Context) -> ObjectType {
    if flag(payload, "isStrategy") {
        ObjectType::Strategy
    } else {
        ObjectType::Pipeline
    }
}

/// Adds an application to a context, if the report still fits into one message with it.
fn add_state(context: &mut Context, member: &str, state: Context) {
    let state = Value::Object(state);
    if state.to_string().len() <= STATE_BYTES_MAX {
        context.insert(member.to_owned(), state);
    }
}

/// States in tasks leave out what is null.
fn without_nulls(mut document: Context) -> Context {
    document.retain(|_, value| !value.is_null());
    document
}
