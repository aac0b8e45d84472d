//! `evaluateVariables` publishes values under names: `variables: [{key, value}]`.

use kork_model::{Context, Status};
use serde_json::Value;

use super::{Definition, Outcome, Plan, PlanError, StageView, exception};
use crate::{
    context::{is_v4, spelled},
    expression::{self, Summary},
};

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
            let Some(key) = key_of(variable) else {
                let message = format!("variables[{at}] has no key");
                return Outcome::failed(exception("IllegalArgumentException", kind, &message));
            };
            if let Some(value) = variable.get("value").filter(|v| !v.is_null()) {
                outputs.insert(key, value.clone());
            }
        }
        let context = if is_v4(view.execution.spel_evaluator.as_deref()) {
            Context::new()
        } else {
            seen_again(view, variables, &outputs)
        };
        Outcome::Done {
            status: Status::Succeeded,
            context,
            outputs,
        }
    }

    /// What was evaluated one after the other is evaluated anew.
    fn prepare_restart(&self, context: &mut Context) {
        let variables = context.get_mut("variables").and_then(Value::as_array_mut);
        for variable in variables.into_iter().flatten() {
            let Some(variable) = variable.as_object_mut() else {
                continue;
            };
            if let Some(Value::String(source)) = variable.remove(SOURCE) {
                variable.insert("value".to_owned(), Value::from(with_dollars(&source)));
            }
        }
    }
}

/// Key of a variable that keeps what its author wrote, without the dollars, so that it is never
/// evaluated itself.
const SOURCE: &str = "sourceValue";

/// The name of a variable; numbers and booleans as they are written.
fn key_of(variable: &Value) -> Option<String> {
    variable.as_object().and_then(|v| spelled(v, "key"))
}

/// Version v4: the variables one after the other, so that a later one sees the earlier. What fails
/// stays as it is and is not seen; values that are no texts are left alone.
pub(super) fn in_order(view: &StageView<'_>) -> (Context, Summary) {
    let mut rest = view.stage.context.clone();
    let variables = rest.remove("variables");
    let mut root = crate::scope_root(view.execution, view.stage);
    let (context, summary) = {
        let scope = crate::decide::scope(view.now, view.execution, Some(view.stage), &root);
        expression::process_stage_context(&rest, &scope)
    };
    let (mut context, mut summary) = (context, summary);
    root.extend(context.iter().map(|(k, v)| (k.clone(), v.clone())));
    let Some(mut variables) = variables else {
        return (context, summary);
    };
    for variable in variables.as_array_mut().into_iter().flatten() {
        let key = key_of(variable);
        let Some(variable) = variable.as_object_mut() else {
            continue;
        };
        let Some(Value::String(written)) = variable.get("value").cloned() else {
            continue;
        };
        variable
            .entry(SOURCE)
            .or_insert_with(|| Value::from(written.replace("${", "{")));
        let scope = crate::decide::scope(view.now, view.execution, Some(view.stage), &root);
        let text = variable.get("description").cloned().unwrap_or_default();
        let (value, mut failed) = expression::process(&Value::from(written), &scope);
        let (text, of_text) = expression::process(&text, &scope);
        failed.merge(of_text);
        if failed.is_empty() {
            if !text.is_null() {
                variable.insert("description".to_owned(), text);
            }
            variable.insert("value".to_owned(), value.clone());
            root.extend(key.map(|key| (key, value)));
        }
        summary.merge(failed);
    }
    context.insert("variables".to_owned(), variables);
    (context, summary)
}

/// Puts the dollars back: before every brace that is not inside of another.
fn with_dollars(source: &str) -> String {
    let mut depth = 0_usize;
    let mut text = String::with_capacity(source.len() + 8);
    for c in source.chars() {
        match c {
            '{' => {
                if depth == 0 {
                    text.push('$');
                }
                depth += 1;
            }
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        text.push(c);
    }
    text
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
