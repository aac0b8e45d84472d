//! `evaluateVariables` publishes values under names: `variables: [{key, value}]`.

use kork_model::{Context, Status};
use serde_json::Value;

use super::{Definition, Outcome, Plan, PlanError, StageView, exception};
use crate::expression;

pub(super) struct EvaluateVariables;

impl Definition for EvaluateVariables {
    fn names(&self) -> &'static [&'static str] {
        &["evaluateVariables"]
    }

    fn description(&self) -> &'static str {
        "evaluates variables: [{key, value}] and publishes them to later stages"
    }

    fn plan(&self, _: &StageView<'_>) -> Result<Plan, PlanError> {
        Ok(Plan {
            tasks: vec![("evaluateVariables", "evaluateVariables")],
            before: Vec::new(),
        })
    }

    fn run(&self, kind: &str, view: &StageView<'_>) -> Outcome {
        let Some(Value::Array(variables)) = view.stage.context.get("variables") else {
            let message = "variables must be a list of {key, value}";
            return Outcome::failed(exception("IllegalArgumentException", kind, message));
        };
        let mut outputs = Context::new();
        for (at, variable) in variables.iter().enumerate() {
            let Some(key) = variable.get("key").and_then(Value::as_str) else {
                let message = format!("variables[{at}] has no key");
                return Outcome::failed(exception("IllegalArgumentException", kind, &message));
            };
            if let Some(value) = variable.get("value").filter(|v| !v.is_null()) {
                outputs.insert(key.to_owned(), value.clone());
            }
        }
        let context = seen_again(view, variables, &outputs);
        Outcome::Done {
            status: Status::Succeeded,
            context,
            outputs,
        }
    }
}

/// The stage's own list is evaluated once more when its values are known, as clients of the original
/// know it; what is published is what was known before.
fn seen_again(view: &StageView<'_>, variables: &[Value], outputs: &Context) -> Context {
    let mut root = crate::scope_root(view.execution, view.stage);
    root.extend(outputs.iter().map(|(k, v)| (k.clone(), v.clone())));
    let scope = crate::decide::scope(view.now, view.execution, Some(view.stage), &root);
    let list = Value::Array(variables.to_vec());
    let (seen, summary) = expression::process(&list, &scope);
    if seen == list {
        return Context::new();
    }
    Context::from_iter([
        ("variables".to_owned(), seen),
        ("expressionEvaluationSummary".to_owned(), summary.to_json()),
    ])
}
