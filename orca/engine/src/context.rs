//! What a stage can see: its own context, then the outputs of its ancestors, the nearest first.

use std::collections::{BTreeMap, BTreeSet};

use kork_model::{Context, Execution, Stage, StageId, StageOwner};
use serde_json::Value;

/// The ancestors of a stage, nearest first: its requisites with their synthetic children, for a
/// synthetic stage the parent's before-stages (if it stands after) and the parent, and so on.
/// Never an unrelated or later stage.
pub fn ancestors<'a>(execution: &'a Execution, stage: &'a Stage) -> Vec<&'a Stage> {
    let family = Family::of(execution);
    let mut seen: BTreeSet<&StageId> = BTreeSet::from([&stage.id]);
    let mut found: Vec<&Stage> = Vec::new();
    let mut level: Vec<&Stage> = vec![stage];
    while !level.is_empty() {
        let mut next: Vec<&Stage> = Vec::new();
        for current in level {
            for candidate in family.before(current) {
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

type Place<'a> = (Option<&'a StageId>, Option<StageOwner>, &'a str);

/// Who is whose child and whose requisite; made once, so that ancestors are linear in the edges.
struct Family<'a> {
    stages: BTreeMap<&'a StageId, &'a Stage>,
    places: BTreeMap<Place<'a>, Vec<&'a Stage>>,
    inside: BTreeMap<&'a StageId, Vec<&'a Stage>>,
}

impl<'a> Family<'a> {
    fn of(execution: &'a Execution) -> Self {
        let mut family = Self {
            stages: BTreeMap::new(),
            places: BTreeMap::new(),
            inside: BTreeMap::new(),
        };
        for stage in &execution.stages {
            family.stages.insert(&stage.id, stage);
            let place = (stage.parent_stage_id.as_ref(), stage.synthetic_stage_owner);
            let place = (place.0, place.1, stage.ref_id.as_str());
            family.places.entry(place).or_default().push(stage);
            if let Some(parent) = &stage.parent_stage_id {
                family.inside.entry(parent).or_default().push(stage);
            }
        }
        family
    }

    fn children(&self, parent: &StageId) -> impl Iterator<Item = &'a Stage> {
        self.inside.get(parent).into_iter().flatten().copied()
    }

    fn before(&self, stage: &'a Stage) -> Vec<&'a Stage> {
        let place = (stage.parent_stage_id.as_ref(), stage.synthetic_stage_owner);
        let requisites = stage.requisite_stage_ref_ids.iter();
        let mut near: Vec<&Stage> = requisites
            .filter_map(|r| self.places.get(&(place.0, place.1, r.as_str())))
            .flatten()
            .copied()
            .collect();
        let inner: Vec<&Stage> = near.iter().flat_map(|s| self.children(&s.id)).collect();
        near.extend(inner);
        if let Some(parent) = place.0.and_then(|id| self.stages.get(id)) {
            if place.1 == Some(StageOwner::StageAfter) {
                let first = |s: &&Stage| s.synthetic_stage_owner == Some(StageOwner::StageBefore);
                near.extend(self.children(&parent.id).filter(first));
            }
            near.push(parent);
        }
        near
    }
}

/// True when a text in the context holds an expression.
pub(crate) fn has_expression(context: &Context) -> bool {
    fn holds(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains("${"),
            Value::Array(list) => list.iter().any(holds),
            Value::Object(map) => has_expression(map),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    context
        .iter()
        .any(|(key, value)| key.contains("${") || holds(value))
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
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The version of expressions that evaluates a stage only when it starts.
pub(crate) fn is_v4(version: Option<&str>) -> bool {
    version.is_some_and(|v| v.eq_ignore_ascii_case("v4"))
}

/// A text, if there is one.
pub(crate) fn text<'a>(context: &'a Context, key: &str) -> Option<&'a str> {
    context.get(key).and_then(Value::as_str)
}

/// A text; numbers and booleans as they are written.
pub(crate) fn spelled(map: &Context, key: &str) -> Option<String> {
    match map.get(key)? {
        Value::String(text) => Some(text.clone()),
        scalar @ (Value::Number(_) | Value::Bool(_)) => Some(scalar.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Bytes of a value as JSON.
pub(crate) fn json_bytes(value: &impl serde::Serialize) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // What is held here is JSON already; a value that is not would be refused when it is stored.
    serde_json::to_writer(&mut counter, value).map_or(usize::MAX / 4, |()| counter.0)
}
