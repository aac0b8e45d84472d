//! What the trigger of an execution tells of the one that started it.
//!
//! Spinnaker puts the whole parent there, with its own parents. Here it is what expressions ask for, bounded:
//! who and what it was, and its trigger, so that `trigger.parentExecution.trigger.parameters` and the build at
//! the top of a chain of pipelines are found; and the stages of the direct parent with their outputs and
//! contexts, without their tasks. Of those further up there are no stages.

use kork_model::{Context, Execution, Stage};
use serde::Serialize;
use serde_json::{Value, json};

/// Pipelines that may start each other in a row.
pub(crate) const DEPTH_MAX: u64 = orca_engine::limits::CHILD_DEPTH_MAX as u64;
/// Bytes of the trigger of a parent, with those of its own parents.
const TRIGGER_BYTES_MAX: usize = 96 * 1024;
/// What a trigger that is too large goes without, in this order.
const LEFT_OUT: [&str; 4] = ["payload", "artifacts", "parentExecution", "properties"];
/// Bytes of the stages of a parent: the execution that it starts has them in one message with its definition.
const STAGES_BYTES_MAX: usize = 96 * 1024;
/// What tells what a stage is. Without it for all of them no stage is shown.
const BARE_BYTES_MAX: usize = STAGES_BYTES_MAX / 2;

/// The execution as those name it that it starts; none when too many are above it already.
pub(crate) fn shown(execution: &Execution) -> Option<Context> {
    let above = execution.trigger.get("parentExecution");
    let depth = above.and_then(|p| p.get("depth")).and_then(Value::as_u64);
    let depth = 1 + depth.unwrap_or(0);
    let Value::Object(mut parent) = json!({
        "id": execution.id, "name": execution.name, "application": execution.application,
        "type": execution.kind, "status": execution.status, "depth": depth,
        "pipelineConfigId": execution.pipeline_config_id, "buildTime": execution.build_time,
        "startTime": execution.start_time, "endTime": execution.end_time,
        "authentication": {"user": execution.trigger.get("user")},
    }) else {
        return None;
    };
    if let Some(trigger) = bounded(&execution.trigger) {
        parent.insert("trigger".to_owned(), Value::Object(trigger));
    }
    parent.retain(|_, value| !value.is_null());
    (depth <= DEPTH_MAX).then_some(parent)
}

/// Puts the stages of the parent into the `parentExecution` of a trigger.
pub(crate) fn put_stages(trigger: &mut Context, stages: Vec<Value>) {
    if let Some(Value::Object(parent)) = trigger.get_mut("parentExecution") {
        parent.insert("stages".to_owned(), Value::Array(stages));
    }
}

/// The stages of an execution as those see them that it starts. All outputs come before a context, and what is small
/// before what is large. A part that does not fit is empty, and `leftOut` of the stage names it.
pub(crate) fn stages(execution: &Execution) -> Vec<Value> {
    let bare = |stage: &Stage| Stage {
        context: Context::new(),
        outputs: Context::new(),
        tasks: Vec::new(),
        ..stage.clone()
    };
    let mut shown: Vec<Value> = execution.stages.iter().map(|s| json!(bare(s))).collect();
    let mut bytes: usize = shown.iter().map(bytes_of).sum();
    if bytes > BARE_BYTES_MAX {
        return Vec::new();
    }
    let parts = |name: &'static str, of: fn(&Stage) -> &Context| {
        let all = execution.stages.iter().map(of).enumerate();
        let filled = all.filter(|(_, part)| !part.is_empty());
        let sized = filled.map(|(at, part)| (json!(part), at));
        let mut sized: Vec<_> = sized
            .map(|(part, at)| (bytes_of(&part), at, part))
            .collect();
        sized.sort_by_key(|(size, ..)| *size);
        sized.into_iter().map(move |part| (name, part))
    };
    let all = parts("outputs", |s| &s.outputs).chain(parts("context", |s| &s.context));
    for (name, (size, at, part)) in all {
        if bytes + size <= STAGES_BYTES_MAX {
            bytes += size;
            shown[at][name] = part;
        } else if let Some(names) = shown[at]["leftOut"].as_array_mut() {
            names.push(json!(name));
        } else {
            shown[at]["leftOut"] = json!([name]);
        }
    }
    shown
}

fn bytes_of(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX / 2, |text| text.len())
}

/// The trigger without what stands in it twice, and as much of the rest as may be kept.
fn bounded(trigger: &Context) -> Option<Context> {
    let mut trigger = trigger.clone();
    for twice in ["expectedArtifacts", "resolvedExpectedArtifacts"] {
        trigger.remove(twice);
    }
    if let Some(Value::Object(above)) = trigger.get_mut("parentExecution") {
        above.remove("stages");
    }
    for large in LEFT_OUT {
        if is_small(&trigger) {
            return Some(trigger);
        }
        trigger.remove(large);
    }
    is_small(&trigger).then_some(trigger)
}

fn is_small(trigger: &Context) -> bool {
    bytes_of(trigger) <= TRIGGER_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(parent: Context, payload: &str) -> Execution {
        Execution {
            id: "e".into(),
            trigger: Context::from_iter([
                ("type".to_owned(), json!("pipeline")),
                ("payload".to_owned(), json!(payload)),
                ("parentExecution".to_owned(), Value::Object(parent)),
            ]),
            ..Execution::default()
        }
    }

    fn stage(id: usize, outputs: usize, context: usize) -> Stage {
        let text =
            |bytes: usize| Context::from_iter([("text".to_owned(), json!("x".repeat(bytes)))]);
        Stage {
            id: id.to_string().as_str().into(),
            ref_id: id.to_string(),
            outputs: text(outputs),
            context: text(context),
            ..Stage::default()
        }
    }

    #[test]
    fn the_stages_of_a_parent_are_there_as_far_as_they_fit_and_outputs_come_first() {
        let execution = Execution {
            id: "parent".into(),
            stages: vec![
                stage(1, 10, STAGES_BYTES_MAX / 2),
                stage(2, STAGES_BYTES_MAX / 2, 10),
                stage(3, 0, STAGES_BYTES_MAX),
            ],
            ..Execution::default()
        };
        let mut trigger = below(shown(&execution).unwrap(), "").trigger;
        put_stages(&mut trigger, stages(&execution));
        let shown_stages = &trigger["parentExecution"]["stages"];
        assert!(bytes_of(shown_stages) <= STAGES_BYTES_MAX + 256);
        let text = |at: usize, part: &str| shown_stages[at][part]["text"].as_str().map(str::len);
        assert_eq!(text(0, "outputs"), Some(10));
        assert_eq!(text(1, "outputs"), Some(STAGES_BYTES_MAX / 2));
        assert_eq!(text(1, "context"), Some(10));
        assert_eq!(text(0, "context"), None);
        assert_eq!(shown_stages[0]["leftOut"], json!(["context"]));
        assert_eq!(shown_stages[1].get("leftOut"), None);
        assert_eq!(shown_stages[2]["refId"], "3");
        // One more level down, they are gone.
        let child = Execution {
            trigger,
            ..Execution::default()
        };
        let grandchild = shown(&child).unwrap();
        let above = &grandchild["trigger"]["parentExecution"];
        assert_eq!(above["id"], "parent");
        assert_eq!(above.get("stages"), None);
        let many = (0..1_000).map(|id| stage(id, 1, 1)).collect();
        let many = Execution {
            stages: many,
            ..Execution::default()
        };
        assert!(stages(&many).is_empty());
    }

    #[test]
    fn a_chain_of_parents_keeps_the_build_at_its_top_and_stays_small() {
        let mut first = Execution::default();
        let build = json!({"number": 7});
        first.trigger.insert("buildInfo".to_owned(), build.clone());
        let mut parent = shown(&first).unwrap();
        for _ in 1..DEPTH_MAX {
            parent = shown(&below(parent, &"x".repeat(20_000))).unwrap();
            assert!(is_small(parent["trigger"].as_object().unwrap()));
        }
        assert_eq!(shown(&below(parent, "")), None, "it is too deep");
        let second = shown(&below(shown(&first).unwrap(), "p")).unwrap();
        assert_eq!(second["trigger"]["payload"], "p");
        assert_eq!(
            second["trigger"]["parentExecution"]["trigger"]["buildInfo"],
            build
        );
        let large = shown(&below(
            shown(&first).unwrap(),
            &"x".repeat(TRIGGER_BYTES_MAX),
        ))
        .unwrap();
        assert_eq!(large["trigger"].get("payload"), None);
        assert_eq!(
            large["trigger"]["parentExecution"]["trigger"]["buildInfo"],
            build
        );
    }
}
