//! `checkPreconditions`: one synthetic stage for each precondition, all at the same time.

use kork_model::{Context, Stage, Status};
use serde_json::Value;

use super::{Definition, NewStage, Outcome, Plan, PlanError, StageView, exception};
use crate::{context::text, expression};

/// A cloud that does not say how large a cluster is within this time fails the precondition.
const CLOUD_TIMEOUT_MS: u64 = 60_000;

pub(super) struct CheckPreconditions;

impl Definition for CheckPreconditions {
    fn names(&self) -> &'static [&'static str] {
        &["checkPreconditions"]
    }

    fn description(&self) -> &'static str {
        "checks preconditions: [{type, context}] of type expression, stageStatus or clusterSize"
    }

    fn plan(&self, view: &StageView<'_>) -> Result<Plan, PlanError> {
        let context = &view.stage.context;
        if view.stage.parent_stage_id.is_some() {
            return plan_check(text(context, "preconditionType").unwrap_or("null"));
        }
        let Some(Value::Array(preconditions)) = context.get("preconditions") else {
            return Err(PlanError {
                exception: "IllegalArgumentException",
                message: "preconditions must be a list".to_owned(),
            });
        };
        let before = preconditions.iter().map(|p| check_stage(context, p));
        Ok(Plan {
            tasks: Vec::new(),
            before: before.collect::<Result<_, _>>()?,
        })
    }

    fn run(&self, kind: &str, view: &StageView<'_>) -> Outcome {
        let context = &view.stage.context;
        match text(context, "preconditionType").unwrap_or_default() {
            "expression" => expression_holds(view),
            "stageStatus" => stage_has_status(view),
            _ => {
                let mut payload = inner(context).clone();
                payload.insert("preconditionType".to_owned(), Value::from("clusterSize"));
                Outcome::Dispatch {
                    service: "clouddriver".to_owned(),
                    kind: kind.to_owned(),
                    payload,
                    timeout_ms: Some(CLOUD_TIMEOUT_MS),
                }
            }
        }
    }

    fn timeout_ms(&self, _: &str, view: &StageView<'_>) -> Option<u64> {
        let asks = text(&view.stage.context, "preconditionType") == Some("clusterSize");
        asks.then_some(CLOUD_TIMEOUT_MS)
    }
}

fn plan_check(kind: &str) -> Result<Plan, PlanError> {
    match kind {
        "expression" | "stageStatus" | "clusterSize" => Ok(Plan {
            tasks: vec![("checkPrecondition", "checkPrecondition")],
            before: Vec::new(),
        }),
        other => Err(PlanError {
            exception: "IllegalStateException",
            message: format!(
                "there is no precondition of type {other}; there are expression, stageStatus and \
                 clusterSize"
            ),
        }),
    }
}

/// Keys of the parent that a precondition's own context falls back to.
const SHARED: [&str; 3] = ["cluster", "regions", "credentials"];

/// The child takes over its parent's context, and the precondition's own keys over it: what it says
/// of failing wins.
fn check_stage(parent: &Context, precondition: &Value) -> Result<NewStage, PlanError> {
    let unreadable = |what: &str| PlanError {
        exception: "IllegalArgumentException",
        message: format!("each of preconditions must be {{type, context}}: {what}"),
    };
    let own = precondition
        .as_object()
        .ok_or_else(|| unreadable("one is no object"))?;
    let mut context = parent.clone();
    context.remove("preconditions");
    context.extend(own.iter().map(|(k, v)| (k.clone(), v.clone())));
    let kind = text(own, "type");
    context.remove("preconditionType");
    if let Some(kind) = kind {
        context.insert("preconditionType".to_owned(), Value::from(kind));
    }
    context.insert("type".to_owned(), Value::from("checkPreconditions"));
    let mut inner = match own.get("context") {
        None | Some(Value::Null) => Context::new(),
        Some(Value::Object(inner)) => inner.clone(),
        Some(_) => return Err(unreadable("one has a context that is no object")),
    };
    for key in SHARED {
        if let Some(value) = parent.get(key) {
            inner.entry(key).or_insert_with(|| value.clone());
        }
    }
    context.insert("context".to_owned(), Value::Object(inner));
    Ok(NewStage {
        kind: "checkPreconditions".to_owned(),
        name: format!("Check precondition ({})", kind.unwrap_or("null")),
        context,
    })
}

fn inner(context: &Context) -> &Context {
    static EMPTY: std::sync::LazyLock<Context> = std::sync::LazyLock::new(Context::new);
    context
        .get("context")
        .and_then(Value::as_object)
        .unwrap_or(&EMPTY)
}

fn expression_holds(view: &StageView<'_>) -> Outcome {
    let mut context = inner(&view.stage.context).clone();
    // Without an expression nothing holds.
    let source = match context.get("expression") {
        None | Some(Value::Null) => "false".to_owned(),
        Some(Value::String(source)) => source.clone(),
        Some(other) => other.to_string(),
    };
    let root = crate::scope_root(view.execution, view.stage);
    let scope = crate::decide::scope(view.now, view.execution, Some(view.stage), &root);
    let (result, failure): (Value, Option<String>) = match expression::evaluate(&source, &scope) {
        Ok(value) => (value, None),
        Err(error) => (Value::from(source.clone()), Some(error.to_string())),
    };
    let holds = expression::is_true(&result);
    let shown = match &result {
        Value::Null => source.clone(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    context.insert("expressionResult".to_owned(), Value::from(shown));
    let mut set = Context::from_iter([("context".to_owned(), Value::from(context))]);
    if let Some(message) = failure {
        let (summary, exception) = crate::decide::failed_expression(&source, &message);
        set.insert("expressionEvaluationSummary".to_owned(), summary);
        set.insert("exception".to_owned(), exception);
    }
    let status = if holds {
        Status::Succeeded
    } else {
        Status::Terminal
    };
    Outcome::Done {
        status,
        context: set,
        outputs: Context::new(),
    }
}

fn stage_has_status(view: &StageView<'_>) -> Outcome {
    let context = inner(&view.stage.context);
    let name = text(context, "stageName").unwrap_or_default();
    let wanted = text(context, "stageStatus").unwrap_or_default();
    let found: Option<&Stage> = view.execution.stages.iter().find(|s| s.name == name);
    match found {
        Some(stage) if stage.status.name() == wanted => Outcome::succeeded(),
        Some(stage) => {
            let text = format!("stage {name} is {}, not {wanted}", stage.status);
            Outcome::failed(exception(
                "ConfigurationException",
                "checkPrecondition",
                &text,
            ))
        }
        None => {
            let text = format!(
                "there is no stage {name} in this execution; give the name of one of its stages"
            );
            Outcome::failed(exception(
                "ConfigurationException",
                "checkPrecondition",
                &text,
            ))
        }
    }
}
