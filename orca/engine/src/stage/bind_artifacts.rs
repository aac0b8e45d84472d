//! The last task of a stage that expects artifacts: each is bound to the nearest one that matches.

use kork_model::{Context, Status};
use serde_json::Value;

use super::{Outcome, StageView, exception};
use crate::artifact;

/// The task's name, and its kind of work.
pub(super) const TASK: &str = "bindProducedArtifacts";

/// True when the stage asks for it, even with an empty list.
pub(super) fn is_asked(context: &Context) -> bool {
    context.contains_key("expectedArtifacts")
}

/// Looks at the stage's own artifacts, those of its ancestors, then the trigger's. Several may match.
pub(super) fn run(view: &StageView<'_>) -> Outcome {
    let stage = view.stage;
    let expected = stage.context.get("expectedArtifacts");
    let expected: Vec<&Context> = expected
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .collect();
    if expected.is_empty() {
        return Outcome::succeeded();
    }
    let own = stage
        .context
        .get("artifacts")
        .or(stage.outputs.get("artifacts"));
    let before = Value::Array(artifact::artifacts_before(view.execution, stage));
    let all = artifact::all(own.into_iter().chain([&before]));
    let (mut artifacts, mut resolved) = (Vec::new(), Vec::new());
    for expected in expected {
        let found = artifact::matching(expected, &all).first().copied().cloned();
        let Some(found) = found.or_else(|| artifact::default_of(expected)) else {
            let name = artifact::name_of(expected);
            let text = format!("Unmatched expected artifact {name} could not be resolved");
            return Outcome::failed(exception("InvalidRequestException", TASK, &text));
        };
        resolved.push(artifact::bound(expected, found.clone()));
        if !artifacts.contains(&found) {
            artifacts.push(found);
        }
    }
    let published = Context::from_iter([
        ("artifacts".to_owned(), Value::Array(artifacts)),
        (
            "resolvedExpectedArtifacts".to_owned(),
            Value::Array(resolved),
        ),
    ]);
    Outcome::Done {
        status: Status::Succeeded,
        context: published.clone(),
        outputs: published,
    }
}
