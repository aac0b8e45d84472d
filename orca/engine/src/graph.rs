//! The graph of stages: who comes before whom. Linear in the number of edges.

use std::collections::{BTreeMap, BTreeSet};

use kork_model::{Execution, Stage, StageId};

/// True when nothing has to end before this stage may start.
pub fn is_initial(stage: &Stage) -> bool {
    stage.requisite_stage_ref_ids.is_empty()
}

/// All top-level stages behind the given one, itself excluded, in the order of the definition.
pub fn downstream(execution: &Execution, from: &StageId) -> Vec<StageId> {
    let mut followers: BTreeMap<&str, Vec<&Stage>> = BTreeMap::new();
    let top_level = || {
        execution
            .stages
            .iter()
            .filter(|s| s.parent_stage_id.is_none())
    };
    for stage in top_level() {
        for requisite in &stage.requisite_stage_ref_ids {
            followers.entry(requisite).or_default().push(stage);
        }
    }
    let mut found: BTreeSet<&StageId> = BTreeSet::new();
    let mut open: Vec<&Stage> = top_level().filter(|s| &s.id == from).collect();
    while let Some(stage) = open.pop() {
        for next in followers.get(stage.ref_id.as_str()).into_iter().flatten() {
            if &next.id != from && found.insert(&next.id) {
                open.push(next);
            }
        }
    }
    top_level()
        .filter(|s| found.contains(&s.id))
        .map(|s| s.id.clone())
        .collect()
}

/// The top-level stage that a synthetic stage belongs to; a top-level stage is its own.
pub fn top_level_of<'a>(execution: &'a Execution, stage: &'a Stage) -> &'a Stage {
    let mut top = stage;
    for _ in 0..=crate::limits::SYNTHETIC_DEPTH_MAX {
        match top
            .parent_stage_id
            .as_ref()
            .and_then(|p| execution.stage(p))
        {
            Some(parent) => top = parent,
            None => break,
        }
    }
    top
}

/// Ids of all stages inside a stage, at any depth.
pub fn inside(execution: &Execution, parent: &StageId) -> Vec<StageId> {
    let mut found: Vec<StageId> = Vec::new();
    let mut open = vec![parent.clone()];
    while let Some(id) = open.pop() {
        for child in execution
            .stages
            .iter()
            .filter(|s| s.parent_stage_id.as_ref() == Some(&id))
        {
            found.push(child.id.clone());
            open.push(child.id.clone());
        }
    }
    found
}
