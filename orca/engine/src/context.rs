//! What a stage can see: its own context, then the outputs of its ancestors, the nearest first.

use std::collections::BTreeSet;

use kork_model::{Context, Execution, Stage, StageId, StageOwner};

use crate::graph;

/// The ancestors of a stage, nearest first: its requisites with their synthetic children, for a
/// synthetic stage the parent's before-stages (if it stands after) and the parent, and so on.
/// Never an unrelated or later stage.
pub fn ancestors<'a>(execution: &'a Execution, stage: &'a Stage) -> Vec<&'a Stage> {
    let mut seen: BTreeSet<&StageId> = BTreeSet::from([&stage.id]);
    let mut found: Vec<&Stage> = Vec::new();
    let mut level: Vec<&Stage> = vec![stage];
    while !level.is_empty() {
        let mut next: Vec<&Stage> = Vec::new();
        for current in level {
            for candidate in before(execution, current) {
                if seen.insert(&candidate.id) {
                    found.push(candidate);
                    next.push(candidate);
                }
            }
        }
        level = next;
    }
    found
}

fn before<'a>(execution: &'a Execution, stage: &'a Stage) -> Vec<&'a Stage> {
    let mut near = graph::upstream(execution, stage);
    let inner: Vec<&Stage> = near
        .iter()
        .flat_map(|upstream| {
            execution
                .stages
                .iter()
                .filter(|s| s.parent_stage_id.as_ref() == Some(&upstream.id))
        })
        .collect();
    near.extend(inner);
    if let Some(parent) = stage
        .parent_stage_id
        .as_ref()
        .and_then(|id| execution.stage(id))
    {
        if stage.synthetic_stage_owner == Some(StageOwner::StageAfter) {
            near.extend(execution.stages.iter().filter(|s| {
                s.parent_stage_id.as_ref() == Some(&parent.id)
                    && s.synthetic_stage_owner == Some(StageOwner::StageBefore)
            }));
        }
        near.push(parent);
    }
    near
}

/// The map that bare names of expressions are looked up in: outputs of all ancestors, nearer ones
/// over farther ones, the stage's own context over all.
pub fn scope_root(execution: &Execution, stage: &Stage) -> Context {
    let mut root = Context::new();
    for ancestor in ancestors(execution, stage).into_iter().rev() {
        root.extend(ancestor.outputs.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    root.extend(stage.context.iter().map(|(k, v)| (k.clone(), v.clone())));
    root
}

/// Outputs of all stages in order of the graph, later ones over earlier ones: what a parent
/// pipeline gets from its child.
pub(crate) fn merged_outputs(execution: &Execution) -> Context {
    let mut ended: Vec<&Stage> = execution
        .stages
        .iter()
        .filter(|s| s.status.is_complete())
        .collect();
    ended.sort_by_key(|s| s.end_time);
    let mut all = Context::new();
    for stage in ended {
        all.extend(stage.outputs.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    all
}

/// Reads a flag as Spinnaker's users write it: a boolean, or the texts "true" and "false".
pub(crate) fn flag(context: &Context, key: &str) -> Option<bool> {
    match context.get(key)? {
        serde_json::Value::Bool(value) => Some(*value),
        serde_json::Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        serde_json::Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A text, if there is one.
pub(crate) fn text<'a>(context: &'a Context, key: &str) -> Option<&'a str> {
    context.get(key).and_then(serde_json::Value::as_str)
}
