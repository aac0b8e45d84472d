//! Functions that look at the execution and its stages, and at the known pipelines.

use kork_model::{Execution, Stage, Status};
use serde_json::Value;

use super::super::error::{ErrorKind, ExpressionError, Result};
use super::super::eval::Evaluator;
use super::super::value::{Text, Val};
use super::{failed, one_text, wrong_arguments};

/// Every function of this file.
pub(super) const NAMES: [&str; 14] = [
    "stage",
    "stageByRefId",
    "stageExists",
    "currentStage",
    "currentUser",
    "judgment",
    "judgement",
    "manifestLabelValue",
    "deployedServerGroups",
    "cfServiceKey",
    "pipelineId",
    "pipelineIdOrNull",
    "pipelineIdInApplication",
    "canaryConfigNameToId",
];

/// Stage types whose results `#deployedServerGroups` shows.
const DEPLOY_TYPES: [&str; 5] = [
    "createServerGroup",
    "cloneServerGroup",
    "deploy",
    "rollingPush",
    "copyLastAsg",
];

/// Calls one of [`NAMES`].
pub(super) fn call<'a>(
    evaluator: &Evaluator<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Val<'a>> {
    let execution = evaluator.scope.execution;
    evaluator.spend(execution.stages.len())?;
    Ok(match name {
        "stage" => Val::Stage(stage(execution, name, &one_text(name, arguments)?)?),
        "stageByRefId" => {
            let wanted = one_text(name, arguments)?;
            let found = execution.stages.iter().find(|stage| stage.ref_id == wanted);
            Val::Stage(found.ok_or_else(|| missing(execution, name, &wanted))?)
        }
        "stageExists" => {
            let wanted = one_text(name, arguments)?;
            Val::Bool(find(execution, &wanted).is_some())
        }
        "currentStage" => match evaluator.scope.stage {
            Some(stage) => Val::Stage(stage),
            None => return Err(failed("#currentStage: no stage is being evaluated")),
        },
        "currentUser" => match execution.authentication.user.as_str() {
            "" => Val::Text(Text::Borrowed("anonymous")),
            user => Val::borrowed(user),
        },
        "judgment" | "judgement" => judgment(execution, name, &one_text(name, arguments)?)?,
        "manifestLabelValue" => manifest_label_value(execution, arguments)?,
        "deployedServerGroups" => deployed_server_groups(execution, arguments),
        "cfServiceKey" => {
            let wanted = one_text(name, arguments)?;
            let key = stage(execution, name, &wanted)?.outputs.get("serviceKey");
            let key = key.or(stage(execution, name, &wanted)?.context.get("serviceKey"));
            Val::or_null(key.map(Val::from_json))
        }
        "canaryConfigNameToId" => {
            return Err(failed(
                "#canaryConfigNameToId: canary analysis is not part of this engine",
            ));
        }
        _ => pipeline_id(evaluator, name, arguments)?,
    })
}

fn find<'a>(execution: &'a Execution, wanted: &str) -> Option<&'a Stage> {
    execution
        .stages
        .iter()
        .find(|stage| stage.name == wanted || stage.id.as_str() == wanted)
}

fn missing(execution: &Execution, function: &str, wanted: &str) -> ExpressionError {
    let names: Vec<_> = execution
        .stages
        .iter()
        .map(|s| format!("'{}'", s.name))
        .collect();
    failed(format!(
        "#{function}: execution {} has no stage '{wanted}'; it has {}",
        execution.id,
        names.join(", ")
    ))
}

fn stage<'a>(execution: &'a Execution, function: &str, wanted: &str) -> Result<&'a Stage> {
    find(execution, wanted).ok_or_else(|| missing(execution, function, wanted))
}

fn judgment<'a>(execution: &'a Execution, function: &str, wanted: &str) -> Result<Val<'a>> {
    let mut named = execution
        .stages
        .iter()
        .filter(|stage| stage.kind == "manualJudgment" && stage.name == wanted)
        .peekable();
    if named.peek().is_none() {
        return Err(failed(format!(
            "#{function}: there is no manual judgment stage '{wanted}'"
        )));
    }
    // Of several with this name, the first that was given an input.
    let input = named.find_map(|s| s.context.get("judgmentInput").filter(|i| !i.is_null()));
    input.map(Val::from_json).ok_or_else(|| {
        failed(format!(
            "#{function}: no input was given in the stage '{wanted}'"
        ))
    })
}

fn manifest_label_value<'a>(execution: &'a Execution, arguments: &[Val<'a>]) -> Result<Val<'a>> {
    const NAME: &str = "manifestLabelValue";
    let [Val::Text(stage), Val::Text(kind), Val::Text(label)] = arguments else {
        return Err(wrong_arguments(
            NAME,
            "the name of a stage, a kind and a label",
        ));
    };
    if !["Deployment", "ReplicaSet"].contains(&&**kind) {
        let message = format!(
            "#{NAME}: the kind is Deployment or ReplicaSet, not '{}'",
            &**kind
        );
        return Err(ExpressionError::new(ErrorKind::IllegalArgument, message));
    }
    let found = execution.stages.iter().find(|candidate| {
        candidate.kind == "deployManifest"
            && candidate.name == **stage
            && candidate.status == Status::Succeeded
    });
    let found = found.ok_or_else(|| {
        failed(format!(
            "#{NAME}: no deployManifest stage '{}' has succeeded",
            &**stage
        ))
    })?;
    let manifests = found.context.get("manifests").and_then(Value::as_array);
    let of_kind: Vec<_> = manifests
        .into_iter()
        .flatten()
        .filter(|manifest| manifest.get("kind").and_then(Value::as_str) == Some(&**kind))
        .collect();
    let [manifest] = of_kind.as_slice() else {
        return Err(ExpressionError::new(
            ErrorKind::IllegalArgument,
            format!(
                "#{NAME}: the stage has {} manifests of that kind, not one",
                of_kind.len()
            ),
        ));
    };
    let labels = manifest
        .pointer("/spec/template/metadata/labels")
        .and_then(Value::as_object);
    labels
        .and_then(|labels| labels.get(&**label))
        .map(Val::from_json)
        .ok_or_else(|| failed(format!("#{NAME}: the manifest has no label '{}'", &**label)))
}

fn deployed_server_groups<'a>(execution: &'a Execution, arguments: &[Val<'a>]) -> Val<'a> {
    let wanted: Vec<&str> = arguments.iter().filter_map(Val::as_text).collect();
    let deployed = execution.stages.iter().filter(|stage| {
        DEPLOY_TYPES.contains(&stage.kind.as_str())
            && stage.status == Status::Succeeded
            && (wanted.is_empty()
                || wanted.contains(&stage.name.as_str())
                || wanted.contains(&stage.id.as_str()))
    });
    Val::list(
        deployed
            .flat_map(|stage| of_stage(execution, stage))
            .collect(),
    )
}

/// One entry per region with a deployed server group.
fn of_stage<'a>(execution: &'a Execution, stage: &'a Stage) -> Vec<Val<'a>> {
    let read = |key: &str| stage.context.get(key).or_else(|| stage.outputs.get(key));
    let Some(groups) = read("deploy.server.groups").and_then(Value::as_object) else {
        return Vec::new();
    };
    let details = read("deploymentDetails").and_then(Value::as_array);
    let parent = execution
        .stages
        .iter()
        .find(|s| Some(&s.id) == stage.parent_stage_id.as_ref());
    let in_region = |(region, names): (&'a String, &'a Value)| {
        let mut entries = vec![
            (
                Text::Borrowed("account"),
                Val::or_null(account(stage).map(Val::from_json)),
            ),
            (
                Text::Borrowed("capacity"),
                Val::or_null(stage.context.get("capacity").map(Val::from_json)),
            ),
            (
                Text::Borrowed("parentStage"),
                Val::or_null(parent.map(|parent| Val::borrowed(parent.id.as_str()))),
            ),
            (Text::Borrowed("region"), Val::borrowed(region)),
        ];
        let matching = details.into_iter().flatten().filter_map(Value::as_object);
        for detail in matching.filter(|d| d.get("region").and_then(Value::as_str) == Some(region)) {
            for (key, value) in detail {
                if !entries.iter().any(|(known, _)| **known == **key) {
                    entries.push((Text::Borrowed(key), Val::from_json(value)));
                }
            }
        }
        let first = names
            .as_array()
            .and_then(|names| names.first())
            .unwrap_or(names);
        entries.push((Text::Borrowed("serverGroup"), Val::from_json(first)));
        let deployments = stage
            .outputs
            .get("deployments")
            .or_else(|| stage.context.get("deployments"));
        let deployments = deployments.map_or_else(|| Val::list(Vec::new()), Val::from_json);
        entries.push((Text::Borrowed("deployments"), deployments));
        Val::map(entries)
    };
    groups
        .iter()
        .filter(|(_, names)| !names.is_null())
        .map(in_region)
        .collect()
}

fn account(stage: &Stage) -> Option<&Value> {
    stage
        .context
        .get("account")
        .or_else(|| stage.context.get("credentials"))
}

fn pipeline_id<'a>(
    evaluator: &Evaluator<'a>,
    name: &str,
    arguments: &[Val<'a>],
) -> Result<Val<'a>> {
    let (pipeline, application) = match arguments {
        [Val::Text(pipeline)] if name != "pipelineIdInApplication" => {
            (pipeline, evaluator.scope.execution.application.as_str())
        }
        [Val::Text(pipeline), Val::Text(application)] if name == "pipelineIdInApplication" => {
            (pipeline, &**application)
        }
        _ => {
            return Err(wrong_arguments(
                name,
                "the name of a pipeline (and of its application)",
            ));
        }
    };
    let known = evaluator.scope.pipelines;
    evaluator.spend(known.len())?;
    let found = known
        .iter()
        .find(|p| p.name == **pipeline && p.application == application);
    match found {
        Some(found) => Ok(Val::borrowed(&found.id)),
        None if name == "pipelineIdOrNull" => Ok(Val::Null),
        None => Err(failed(format!(
            "#{name}: application {application} has no pipeline '{}'",
            &**pipeline
        ))),
    }
}
