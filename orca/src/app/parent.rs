//! What the trigger of an execution tells of the one that started it.
//!
//! Spinnaker puts the whole parent there, with its own parents. Here it is what expressions ask for, bounded:
//! who and what it was, and its trigger, so that `trigger.parentExecution.trigger.parameters` and the build at
//! the top of a chain of pipelines are found. Its stages are not there.

use kork_model::{Context, Execution};
use serde_json::{Value, json};

/// Pipelines that may start each other in a row.
pub(crate) const DEPTH_MAX: u64 = orca_engine::limits::CHILD_DEPTH_MAX as u64;
/// Bytes of the trigger of a parent, with those of its own parents.
const TRIGGER_BYTES_MAX: usize = 96 * 1024;
/// What a trigger that is too large goes without, in this order.
const LEFT_OUT: [&str; 4] = ["payload", "artifacts", "parentExecution", "properties"];

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

/// The trigger without what stands in it twice, and as much of the rest as may be kept.
fn bounded(trigger: &Context) -> Option<Context> {
    let mut trigger = trigger.clone();
    for twice in ["expectedArtifacts", "resolvedExpectedArtifacts"] {
        trigger.remove(twice);
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
    serde_json::to_vec(trigger).is_ok_and(|text| text.len() <= TRIGGER_BYTES_MAX)
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
