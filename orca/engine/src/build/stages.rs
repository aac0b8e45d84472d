//! The stages of a definition: shape checked, refIds given where none has one.

use kork_model::{Context, Execution, ExecutionId, FieldError, Stage};
use serde_json::Value;

use super::{error, without_nulls};
use crate::{
    command::Invalid,
    context::{spelled, text},
    decide::stage_id,
    limits::{CONTEXT_BYTES_MAX, NAME_CHARS_MAX, STAGES_MAX},
};

/// Keys of a stage that are fields, not context.
const FIELDS: [&str; 5] = [
    "type",
    "name",
    "refId",
    "requisiteStageRefIds",
    "startTimeExpiry",
];

pub(super) fn of_pipeline(
    execution: &Execution,
    definition: &Context,
) -> Result<Vec<Stage>, Invalid> {
    let list = match definition.get("stages") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(map)) if map.is_empty() => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => {
            let errors = vec![error("/stages", "must be a list of stages")];
            return Err(invalid(
                "the stages of the pipeline cannot be read".to_owned(),
                errors,
            ));
        }
    };
    if list.len() > STAGES_MAX {
        let detail = format!(
            "the pipeline has {} stages, at most {STAGES_MAX} are allowed",
            list.len()
        );
        return Err(invalid(
            detail,
            vec![error("/stages", "split the pipeline")],
        ));
    }
    let pipeline = execution.name.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    let mut missing_type = None;
    for (at, stage) in list.iter().enumerate() {
        check(at, stage, &mut errors);
        if stage.is_object() && stage.get("type").is_none() && missing_type.is_none() {
            let name = stage
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            missing_type = Some(format!(
                "type missing from pipeline '{pipeline}' in application '{}', stage name: '{name}'",
                execution.application
            ));
        }
    }
    if !errors.is_empty() {
        let detail = missing_type
            .unwrap_or_else(|| format!("the stages of pipeline '{pipeline}' cannot be read"));
        return Err(invalid(detail, errors));
    }
    Ok(build(&execution.id, list))
}

/// The jobs of a task, one behind the other, from refId "0".
pub(super) fn jobs(execution: &ExecutionId, jobs: &[Value]) -> Result<Vec<Stage>, Invalid> {
    if jobs.len() > STAGES_MAX {
        let detail = format!(
            "the task has {} jobs, at most {STAGES_MAX} are allowed",
            jobs.len()
        );
        return Err(invalid(detail, vec![error("/job", "split the task")]));
    }
    let bare: Vec<Value> = jobs
        .iter()
        .map(|job| {
            let mut job = job.clone();
            if let Value::Object(job) = &mut job {
                job.remove("refId");
                job.remove("requisiteStageRefIds");
            }
            job
        })
        .collect();
    Ok(build(execution, &bare))
}

fn check(at: usize, stage: &Value, errors: &mut Vec<FieldError>) {
    let here = |key: &str| format!("/stages/{at}/{key}");
    let Value::Object(stage) = stage else {
        errors.push(error(format!("/stages/{at}"), "must be an object"));
        return;
    };
    match stage.get("type") {
        Some(Value::String(kind)) if kind.chars().count() <= NAME_CHARS_MAX => {}
        Some(Value::String(_)) => errors.push(error(here("type"), too_long())),
        Some(Value::Number(_) | Value::Bool(_)) => {}
        _ => errors.push(error(here("type"), "must name the type of the stage")),
    }
    for key in ["name", "refId"] {
        match stage.get(key) {
            None => {}
            Some(Value::String(text)) if text.chars().count() <= NAME_CHARS_MAX => {}
            Some(Value::String(_)) => errors.push(error(here(key), too_long())),
            Some(Value::Number(_) | Value::Bool(_)) if key == "name" => {}
            Some(_) => errors.push(error(here(key), "must be a text")),
        }
    }
    match stage.get("requisiteStageRefIds") {
        None | Some(Value::Null) => {}
        Some(Value::Array(refs)) if refs.iter().all(|r| r.is_string() || r.is_number()) => {}
        Some(_) => {
            errors.push(error(
                here("requisiteStageRefIds"),
                "must be a list of refIds",
            ));
        }
    }
    let size = serde_json::to_string(stage).map_or(0, |t| t.len());
    if size > CONTEXT_BYTES_MAX {
        let text = format!("has {size} bytes, at most {CONTEXT_BYTES_MAX} are allowed");
        errors.push(error(format!("/stages/{at}"), text));
    }
}

fn too_long() -> String {
    format!("has more than {NAME_CHARS_MAX} characters")
}

/// Stages none of which has a refId run one behind the other, from "0".
pub(super) fn chain(list: &mut [Value]) {
    if !is_linear(list) {
        return;
    }
    for (at, stage) in list.iter_mut().enumerate() {
        if let Value::Object(stage) = stage {
            let before: Vec<String> = at
                .checked_sub(1)
                .map(|n| n.to_string())
                .into_iter()
                .collect();
            stage.insert("refId".to_owned(), Value::from(at.to_string()));
            stage.insert("requisiteStageRefIds".to_owned(), Value::from(before));
        }
    }
}

fn is_linear(list: &[Value]) -> bool {
    list.iter().all(|s| s.get("refId").is_none())
}

fn build(execution: &ExecutionId, list: &[Value]) -> Vec<Stage> {
    let linear = is_linear(list);
    let stages = list.iter().filter_map(Value::as_object).enumerate();
    stages
        .map(|(at, stage)| one(execution, at, stage, linear))
        .collect()
}

fn one(execution: &ExecutionId, at: usize, stage: &Context, linear: bool) -> Stage {
    let kind = spelled(stage, "type").unwrap_or_default();
    let requisites = stage.get("requisiteStageRefIds").and_then(Value::as_array);
    let mut given: Vec<String> = Vec::new();
    for requisite in requisites.into_iter().flatten().map(as_text) {
        if !given.contains(&requisite) {
            given.push(requisite);
        }
    }
    let (ref_id, requisite_stage_ref_ids) = if linear {
        let before = at.checked_sub(1).map(|n| n.to_string());
        (at.to_string(), before.into_iter().collect())
    } else {
        (
            text(stage, "refId").map_or_else(|| at.to_string(), str::to_owned),
            given,
        )
    };
    let context = stage.iter().filter(|(k, _)| !FIELDS.contains(&k.as_str()));
    let context: Context = context.map(|(k, v)| (k.clone(), v.clone())).collect();
    let Value::Object(context) = without_nulls(Value::Object(context)) else {
        unreachable!("an object without its nulls is an object")
    };
    Stage {
        id: stage_id(execution.as_str(), at as u32),
        ref_id,
        name: spelled(stage, "name").unwrap_or_else(|| kind.clone()),
        kind,
        start_time_expiry: super::moment(stage, "startTimeExpiry"),
        context,
        requisite_stage_ref_ids,
        ..Stage::default()
    }
}

fn as_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn invalid(detail: String, errors: Vec<FieldError>) -> Invalid {
    Invalid {
        code: "ORCA-0010",
        detail,
        errors,
    }
}
