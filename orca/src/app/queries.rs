//! Lists and evaluations: what is asked about executions without changing them.

use std::{collections::BTreeMap, sync::Arc};

use kork_model::{
    Context, Execution, ExecutionId, ExecutionType, Kind, Problem, Stage, Status,
    api::orca::{ExecutionFilter, ListExecutions},
};
use orca_engine::{expression, scope_root};
use serde_json::Value;

use super::{Error, Shell, index};

/// Executions that one answer may hold.
const LIST_MAX: usize = 1_000;
/// Bytes that one answer may hold; the rest comes with the next offset.
const LIST_BYTES_MAX: usize = 6 * 1024 * 1024;

impl Shell {
    /// Executions that match, newest first.
    pub(crate) async fn list(
        self: &Arc<Self>,
        query: &ListExecutions,
    ) -> Result<Vec<Execution>, Error> {
        let statuses = statuses(&query.filter)?;
        let ids = self.candidates(query, &statuses).await?;
        let mut found = Vec::new();
        let mut skipped = 0;
        let mut bytes = 0;
        let limit = query.limit.map_or(LIST_MAX, |n| n as usize).min(LIST_MAX);
        for id in ids {
            if found.len() >= limit || bytes > LIST_BYTES_MAX {
                break;
            }
            let Ok(state) = self.state_seen(&id).await else {
                continue;
            };
            if !matches(&state.execution, &query.filter, &statuses) {
                continue;
            }
            if skipped < query.offset {
                skipped += 1;
                continue;
            }
            let shown = if query.expand {
                state.execution.clone()
            } else {
                slim(&state.execution)
            };
            bytes += serde_json::to_string(&shown).map_or(0, |t| t.len());
            found.push(shown);
        }
        Ok(found)
    }

    async fn candidates(
        self: &Arc<Self>,
        query: &ListExecutions,
        statuses: &[Status],
    ) -> Result<Vec<ExecutionId>, Error> {
        let filter = &query.filter;
        if !filter.execution_ids.is_empty() {
            return Ok(filter
                .execution_ids
                .iter()
                .map(|id| id.as_str().into())
                .collect());
        }
        let lets = |row: &index::Row| statuses.is_empty() || statuses.contains(&row.status);
        let per_config = query.limit_per_config.map(|n| n as usize);
        if !filter.pipeline_config_ids.is_empty() {
            let mut all = Vec::new();
            for config in &filter.pipeline_config_ids {
                let index = index::by_config(config);
                all.extend(
                    self.newest(&index, per_config.unwrap_or(LIST_MAX), lets)
                        .await?,
                );
            }
            all.sort_by(|a, b| b.cmp(a));
            return Ok(all);
        }
        let kind = if query.orchestrations {
            ExecutionType::Orchestration
        } else {
            ExecutionType::Pipeline
        };
        let index = match filter.application.as_deref() {
            Some("*") | None if query.orchestrations => "orca.tasks".to_owned(),
            Some("*") | None => "orca.pipelines".to_owned(),
            Some(application) => index::by_application(kind, application),
        };
        match per_config.filter(|_| !query.orchestrations) {
            None => self.newest(&index, LIST_MAX, lets).await,
            Some(most) => {
                let counted = std::sync::Mutex::new(BTreeMap::<Option<String>, usize>::new());
                let lets_few = |row: &index::Row| {
                    let mut counted = counted
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    let seen = counted.entry(row.config.clone()).or_default();
                    let takes = lets(row) && *seen < most;
                    *seen += usize::from(takes);
                    takes
                };
                self.newest(&index, LIST_MAX, lets_few).await
            }
        }
    }

    /// Evaluates one text against an execution, and a stage of it.
    pub(crate) async fn evaluate(
        self: &Arc<Self>,
        id: &ExecutionId,
        stage: Option<&str>,
        value: &Value,
    ) -> Result<Context, Error> {
        let state = self.state(id).await?;
        let stage = match stage {
            None => None,
            Some(id) => Some(find_stage(&state.execution, id)?),
        };
        Ok(evaluate_in(
            self.ports.clock.now(),
            &state.execution,
            stage,
            value,
        ))
    }

    /// Evaluates `{key, value}` pairs as a stage behind the given ones would see them.
    pub(crate) async fn evaluate_variables(
        self: &Arc<Self>,
        id: &ExecutionId,
        behind: &[String],
        variables: &[Context],
    ) -> Result<Context, Error> {
        let state = self.state(id).await?;
        let mut execution = state.execution.clone();
        let stage = Stage {
            id: "evaluateVariables".into(),
            ref_id: "evaluateVariables".to_owned(),
            requisite_stage_ref_ids: behind.to_vec(),
            ..Stage::default()
        };
        execution.stages.push(stage.clone());
        let mut result = Vec::new();
        let mut detail = Context::new();
        for variable in variables {
            let mut shown = variable.clone();
            let value = variable.get("value").cloned().unwrap_or_default();
            let now = self.ports.clock.now();
            let mut one = evaluate_in(now, &execution, Some(&stage), &value);
            shown.insert("value".to_owned(), one.remove("result").unwrap_or_default());
            result.push(Value::Object(shown));
            if let Some(Value::Object(failed)) = one.remove("detail") {
                detail.extend(failed);
            }
        }
        let mut answer = Context::from_iter([("result".to_owned(), Value::Array(result))]);
        if !detail.is_empty() {
            answer.insert("detail".to_owned(), Value::Object(detail));
        }
        Ok(answer)
    }
}

fn evaluate_in(
    now: kork_model::Timestamp,
    execution: &Execution,
    stage: Option<&Stage>,
    value: &Value,
) -> Context {
    let root = stage.map_or_else(Context::new, |stage| scope_root(execution, stage));
    let scope = expression::Scope {
        execution,
        stage,
        root: &root,
        pipelines: &[],
        now,
        allow_unknown_keys: true,
    };
    let (result, summary) = expression::process(value, &scope);
    let mut answer = Context::from_iter([("result".to_owned(), result)]);
    if !summary.is_empty() {
        answer.insert("detail".to_owned(), summary.to_json());
    }
    answer
}

fn find_stage<'a>(execution: &'a Execution, id: &str) -> Result<&'a Stage, Error> {
    execution
        .stages
        .iter()
        .find(|s| s.id.as_str() == id)
        .ok_or_else(|| {
            let execution = execution.id.to_string();
            Error::Rejected(orca_engine::Rejection::UnknownStage {
                execution,
                stage: id.to_owned(),
            })
        })
}

fn statuses(filter: &ExecutionFilter) -> Result<Vec<Status>, Error> {
    let read = |name: &String| {
        Status::parse(name).ok_or_else(|| {
            let known: Vec<&str> = Status::ALL.into_iter().map(Status::name).collect();
            let text = format!("there is no status {name}; known are {}", known.join(", "));
            let problem = Problem::new("ORCA-0015", Kind::Invalid, text);
            Error::Problem(Box::new(
                problem.field("/statuses", format!("unknown status {name}")),
            ))
        })
    };
    filter
        .statuses
        .iter()
        .filter(|name| !name.is_empty())
        .map(read)
        .collect()
}

fn matches(execution: &Execution, filter: &ExecutionFilter, statuses: &[Status]) -> bool {
    let trigger = &execution.trigger;
    let text = |key: &str| trigger.get(key).and_then(Value::as_str);
    let contains = |whole: &Option<String>, part: &String| {
        let whole = whole.as_deref().unwrap_or_default().to_lowercase();
        whole.contains(&part.to_lowercase())
    };
    (statuses.is_empty() || statuses.contains(&execution.status))
        && filter
            .pipeline_name_filter
            .as_ref()
            .is_none_or(|part| contains(&execution.name, part))
        && filter
            .pipeline_name
            .as_ref()
            .is_none_or(|name| execution.name.as_ref() == Some(name))
        && filter
            .event_id
            .as_ref()
            .is_none_or(|id| text("eventId") == Some(id))
        && (filter.trigger_types.is_empty()
            || text("type").is_some_and(|t| filter.trigger_types.iter().any(|f| f == t)))
        && filter
            .trigger_time_start
            .is_none_or(|from| execution.build_time >= Some(from))
        && filter
            .trigger_time_end
            .is_none_or(|to| execution.build_time <= Some(to))
        && filter
            .trigger
            .as_ref()
            .is_none_or(|wanted| holds(&Value::Object(trigger.clone()), wanted))
}

/// `wanted` is a subset of `actual`: all its keys with the same values, lists element by element.
fn holds(actual: &Value, wanted: &Value) -> bool {
    match (actual, wanted) {
        (Value::Object(actual), Value::Object(wanted)) => wanted
            .iter()
            .all(|(k, w)| actual.get(k).is_some_and(|a| holds(a, w))),
        (Value::Array(actual), Value::Array(wanted)) => {
            wanted.iter().all(|w| actual.iter().any(|a| holds(a, w)))
        }
        (actual, wanted) => actual == wanted,
    }
}

/// An execution without what makes it large.
fn slim(execution: &Execution) -> Execution {
    let mut slim = execution.clone();
    for stage in &mut slim.stages {
        let group = stage.context.get("group").cloned();
        stage.context = group.map(|g| ("group".to_owned(), g)).into_iter().collect();
        stage.outputs.clear();
        stage.tasks.clear();
    }
    slim
}
