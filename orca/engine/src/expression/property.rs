//! Names and indexes: what `a.b`, `a['b']` and bare `a` mean for every kind of value.

use std::rc::Rc;

use kork_model::{Context, Execution, Stage, Task, Timestamp};
use serde_json::Value;

use super::error::{ExpressionError, Result};
use super::eval::Evaluator;
use super::functions;
use super::methods;
use super::types;
use super::value::{Entries, Text, Val};

/// Parents of parents whose build is looked at.
const MAX_PARENT_TRIGGERS: usize = 16;

/// `target.name`, or a bare name when the target is the root.
pub(super) fn read<'a>(evaluator: &Evaluator<'a>, target: &Val<'a>, name: &str) -> Result<Val<'a>> {
    if is_map(target) {
        if matches!(target, Val::Root) && name == "deployedServerGroups" {
            return functions::call(evaluator, name, &[]);
        }
        let found = lookup(evaluator, target, name)?;
        if found.is_none() && !evaluator.scope.allow_unknown_keys {
            return Err(missing(target, name));
        }
        return Ok(Val::or_null(found));
    }
    let found = match target {
        Val::Null => {
            let text = format!("property '{name}' cannot be read from null");
            return Err(ExpressionError::evaluation(text));
        }
        Val::Execution(execution) => of_execution(execution, name),
        Val::Stage(stage) => of_stage(evaluator, stage, name),
        Val::Task(task) => of_task(task, name),
        Val::Entry(entry) => match name {
            "key" => Some(Val::Text(entry.0.clone())),
            "value" => Some(entry.1.clone()),
            _ => None,
        },
        Val::Class(java) => types::constant(*java, name),
        Val::Array(items) if name == "length" => Some(Val::length(items.len())),
        _ => methods::getter(evaluator, target, name),
    };
    found.ok_or_else(|| missing(target, name))
}

fn missing(target: &Val<'_>, name: &str) -> ExpressionError {
    ExpressionError::evaluation(format!("{} has no property '{name}'", target.type_name()))
}

/// Values whose names are keys.
pub(super) const fn is_map(target: &Val<'_>) -> bool {
    matches!(
        target,
        Val::Root | Val::JsonMap(_) | Val::Map(_) | Val::StageContext(_)
    )
}

/// Value of a key of a map; none when it has no such key.
pub(super) fn lookup<'a>(
    evaluator: &Evaluator<'a>,
    target: &Val<'a>,
    key: &str,
) -> Result<Option<Val<'a>>> {
    Ok(match target {
        Val::Root => of_root(evaluator, key),
        Val::JsonMap(map) => map.get(key).map(Val::from_json),
        Val::StageContext(stage) => {
            let shown = stage.context.get(key).or_else(|| stage.outputs.get(key));
            if let Some(value) = shown {
                return Ok(Some(Val::from_json(value)));
            }
            let before = crate::ancestors(evaluator.scope.execution, stage);
            evaluator.spend(before.len())?;
            before
                .into_iter()
                .find_map(|s| s.outputs.get(key))
                .map(Val::from_json)
        }
        Val::Map(entries) => {
            evaluator.spend(entries.len() / 8)?;
            entries
                .iter()
                .find(|(k, _)| **k == *key)
                .map(|(_, value)| value.clone())
        }
        _ => None,
    })
}

/// Keys and values of a map, the root included.
pub(super) fn entries<'a>(evaluator: &Evaluator<'a>, target: &Val<'a>) -> Option<Entries<'a>> {
    if !matches!(target, Val::Root) {
        return target.entries();
    }
    let mut all = Val::JsonMap(evaluator.scope.root).entries()?;
    if let Some(own) = evaluator.own {
        all.retain(|(key, _)| !own.contains_key(&**key));
        all.extend(Val::JsonMap(own).entries()?);
    }
    Some(all)
}

/// An execution that is not planned yet has no id; what depends on it is not known.
pub(super) fn execution_is_known(evaluator: &Evaluator<'_>) -> bool {
    !evaluator.scope.execution.id.to_string().is_empty()
}

fn of_root<'a>(evaluator: &Evaluator<'a>, key: &str) -> Option<Val<'a>> {
    let scope = evaluator.scope;
    let trigger = &scope.execution.trigger;
    let own = || {
        let found = evaluator
            .own
            .and_then(|own| own.get(key))
            .or_else(|| scope.root.get(key));
        found.map(Val::from_json)
    };
    let known = execution_is_known(evaluator);
    match key {
        "execution" if known => Some(Val::Execution(scope.execution)),
        "trigger" => Some(Val::JsonMap(trigger)),
        "parameters" => match trigger.get("parameters").and_then(Value::as_object) {
            Some(parameters) if !parameters.is_empty() => Some(Val::JsonMap(parameters)),
            _ => own().or_else(|| Some(Val::map(Vec::new()))),
        },
        "templateVariables" if known || scope.execution.template_variables.is_some() => {
            let variables = scope.execution.template_variables.as_ref();
            Some(variables.map_or_else(|| Val::map(Vec::new()), Val::JsonMap))
        }
        "buildInfo" => build_info(trigger).map(Val::JsonMap).or_else(own),
        "scmInfo" => build_info(trigger)
            .and_then(scm_info)
            .map(Val::from_json)
            .or_else(own),
        _ => own(),
    }
}

/// The build that started the pipeline, or the one that started its parent.
fn build_info(trigger: &Context) -> Option<&Context> {
    let mut trigger = trigger;
    for _ in 0..MAX_PARENT_TRIGGERS {
        if let Some(build) = trigger.get("buildInfo").and_then(Value::as_object) {
            return Some(build);
        }
        trigger = trigger
            .get("parentExecution")?
            .get("trigger")?
            .as_object()?;
    }
    None
}

/// The first branch that is not master or develop, else the first.
fn scm_info(build: &Context) -> Option<&Value> {
    let all = build.get("scm")?.as_array()?;
    let feature = all.iter().find(|scm| {
        let branch = scm.get("branch").and_then(Value::as_str);
        branch.is_some_and(|branch| branch != "master" && branch != "develop")
    });
    feature.or_else(|| all.first())
}

fn time<'a>(at: Option<Timestamp>) -> Val<'a> {
    at.map_or(Val::Null, |at| {
        Val::Long(i64::try_from(at.millis()).unwrap_or(i64::MAX))
    })
}

fn text(value: Option<&str>) -> Val<'_> {
    value.map_or(Val::Null, Val::borrowed)
}

fn texts(values: &[String]) -> Val<'_> {
    Val::list(values.iter().map(|value| Val::borrowed(value)).collect())
}

/// Members of an execution. Its type and source are of types that expressions may not see.
fn of_execution<'a>(execution: &'a Execution, name: &str) -> Option<Val<'a>> {
    Some(match name {
        "id" => Val::text(execution.id.to_string()),
        "application" => Val::borrowed(&execution.application),
        "name" => text(execution.name.as_deref()),
        "description" => text(execution.description.as_deref()),
        "pipelineConfigId" => text(execution.pipeline_config_id.as_deref()),
        "status" => Val::Status(execution.status),
        "buildTime" => time(execution.build_time),
        "startTime" => time(execution.start_time),
        "endTime" => time(execution.end_time),
        "startTimeExpiry" => time(execution.start_time_expiry),
        "canceled" => Val::Bool(execution.canceled),
        "canceledBy" => text(execution.canceled_by.as_deref()),
        "cancellationReason" => text(execution.cancellation_reason.as_deref()),
        "limitConcurrent" => Val::Bool(execution.limit_concurrent),
        "keepWaitingPipelines" => Val::Bool(execution.keep_waiting_pipelines),
        "maxConcurrentExecutions" => Val::length(execution.max_concurrent_executions as usize),
        "stages" => Val::list(execution.stages.iter().map(Val::Stage).collect()),
        "origin" => Val::borrowed(&execution.origin),
        "trigger" => Val::JsonMap(&execution.trigger),
        "context" => Val::from_owned_json(Value::Object(crate::context::merged_outputs(execution))),
        "notifications" => Val::JsonList(&execution.notifications),
        "systemNotifications" => Val::JsonList(&execution.system_notifications),
        "initialConfig" => Val::JsonMap(&execution.initial_config),
        "spelEvaluator" => text(execution.spel_evaluator.as_deref()),
        "templateVariables" => execution
            .template_variables
            .as_ref()
            .map_or(Val::Null, Val::JsonMap),
        "paused" => structure(execution.paused.as_ref()),
        "authentication" => Val::map(vec![
            (
                Text::Borrowed("user"),
                Val::borrowed(&execution.authentication.user),
            ),
            (
                Text::Borrowed("allowedAccounts"),
                texts(&execution.authentication.allowed_accounts),
            ),
        ]),
        _ => return None,
    })
}

/// Members of a stage. Its place in its parent and who changed it last are of types that expressions
/// may not see.
fn of_stage<'a>(evaluator: &Evaluator<'a>, stage: &'a Stage, name: &str) -> Option<Val<'a>> {
    Some(match name {
        "id" => Val::text(stage.id.to_string()),
        "refId" => Val::borrowed(&stage.ref_id),
        "type" => Val::borrowed(&stage.kind),
        "name" => Val::borrowed(&stage.name),
        "status" => Val::Status(stage.status),
        "startTime" => time(stage.start_time),
        "endTime" => time(stage.end_time),
        "startTimeExpiry" => time(stage.start_time_expiry),
        "context" => Val::StageContext(stage),
        "outputs" => Val::JsonMap(&stage.outputs),
        "tasks" => Val::list(stage.tasks.iter().map(Val::Task).collect()),
        "requisiteStageRefIds" => texts(&stage.requisite_stage_ref_ids),
        "parentStageId" => stage
            .parent_stage_id
            .as_ref()
            .map_or(Val::Null, |id| Val::text(id.to_string())),
        "parent" | "parentStage" => {
            let parent = stage.parent_stage_id.as_ref();
            let found = evaluator
                .scope
                .execution
                .stages
                .iter()
                .find(|s| Some(&s.id) == parent);
            found.map_or(Val::Null, Val::Stage)
        }
        "execution" => Val::Execution(evaluator.scope.execution),
        _ => return None,
    })
}

fn of_task<'a>(task: &'a Task, name: &str) -> Option<Val<'a>> {
    match name {
        "status" => Some(Val::Status(task.status)),
        "name" => Some(Val::borrowed(&task.name)),
        "id" => Some(Val::borrowed(&task.id)),
        _ => match serde_json::to_value(task) {
            Ok(Value::Object(mut map)) => map.remove(name).map(Val::from_owned_json),
            _ => None,
        },
    }
}

fn structure<'a>(value: Option<&impl serde::Serialize>) -> Val<'a> {
    value
        .and_then(|value| serde_json::to_value(value).ok())
        .map_or(Val::Null, Val::from_owned_json)
}

/// `target[index]`.
pub(super) fn index<'a>(
    evaluator: &Evaluator<'a>,
    target: &Val<'a>,
    index: &Val<'a>,
) -> Result<Val<'a>> {
    if target.is_null() {
        return Err(ExpressionError::evaluation("null has no elements"));
    }
    if is_map(target) {
        let key = match index {
            Val::Text(key) => key.clone(),
            other => Text::Owned(Rc::from(other.java_string())),
        };
        return lookup(evaluator, target, &key).map(Val::or_null);
    }
    if let Val::Text(text) = target {
        let at = position(index)?;
        let units: Vec<u16> = text.encode_utf16().collect();
        evaluator.spend(units.len())?;
        let unit = units.get(at..=at).ok_or_else(|| outside(at, units.len()))?;
        return Ok(Val::text(String::from_utf16_lossy(unit)));
    }
    let out = |at: usize, length: usize| Err(outside(at, length));
    match (target, index) {
        (Val::JsonList(items), _) => {
            let at = position(index)?;
            items
                .get(at)
                .map_or_else(|| out(at, items.len()), |item| Ok(Val::from_json(item)))
        }
        (Val::List(items) | Val::Array(items), _) => {
            let at = position(index)?;
            items
                .get(at)
                .cloned()
                .map_or_else(|| out(at, items.len()), Ok)
        }
        (_, Val::Text(name)) => read(evaluator, target, name),
        _ => {
            let text = format!("{} has no elements", target.type_name());
            Err(ExpressionError::evaluation(text))
        }
    }
}

fn position(index: &Val<'_>) -> Result<usize> {
    let number = match index {
        Val::Int(at) => Some(i64::from(*at)),
        Val::Long(at) => Some(*at),
        Val::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    let Some(number) = number else {
        let text = format!("{} is not the position of an element", index.type_name());
        return Err(ExpressionError::evaluation(text));
    };
    usize::try_from(number)
        .map_err(|_| ExpressionError::evaluation(format!("there is no element {number}")))
}

fn outside(at: usize, length: usize) -> ExpressionError {
    ExpressionError::evaluation(format!("there is no element {at}: the length is {length}"))
}
