//! What a stage's expressions say before it starts: whether it runs, and with which context.

use kork_model::{Context, ExecutionType, Stage};
use serde_json::{Value, json};

use super::{Decider, scope};
use crate::{
    context::text,
    expression,
    stage::{self, PlanError, StageView},
};

impl Decider {
    /// `stageEnabled {type: "expression", expression}`: only true lets the stage run; a blank or
    /// missing expression runs. What stands inside `${}` is evaluated before the whole.
    pub(crate) fn is_switched_off(&self, stage: &Stage) -> Result<bool, PlanError> {
        let unreadable = || PlanError {
            exception: "IllegalArgumentException",
            message: "stageEnabled must be {type: \"expression\", expression}".to_owned(),
        };
        let execution = &self.state.execution;
        if execution.kind != ExecutionType::Pipeline || !stage.context.contains_key("stageEnabled")
        {
            return Ok(false);
        }
        let mut stage = stage.clone();
        stage.context = self.evaluated(&stage);
        let enabled = match stage.context.get("stageEnabled") {
            None | Some(Value::Null) => return Ok(false),
            Some(Value::Object(enabled)) => enabled,
            Some(_) => return Err(unreadable()),
        };
        if !text(enabled, "type").is_some_and(|t| t.eq_ignore_ascii_case("expression")) {
            return Ok(false);
        }
        let source = match enabled.get("expression") {
            None | Some(Value::Null) => return Ok(false),
            Some(Value::String(source)) if source.trim().is_empty() => return Ok(false),
            Some(Value::String(source)) => source.clone(),
            Some(Value::Array(_) | Value::Object(_)) => return Err(unreadable()),
            Some(scalar) => scalar.to_string(),
        };
        let root = crate::scope_root(execution, &stage);
        let scope = scope(self.now, execution, Some(&stage), &root);
        let runs = expression::evaluate(&source, &scope).is_ok_and(|v| expression::is_true(&v));
        Ok(!runs)
    }

    /// The stage's context with its expressions evaluated, and what failed noted in it.
    pub(crate) fn evaluated(&self, stage: &Stage) -> Context {
        let view = StageView {
            now: self.now,
            execution: &self.state.execution,
            stage,
        };
        let (mut context, summary) = stage::evaluated(&view);
        if !summary.is_empty() {
            context.insert("expressionEvaluationSummary".to_owned(), summary.to_json());
            let failures = summary.failures();
            let details = json!({"error": "Failed Expression Evaluation", "errors": failures});
            context.insert("exception".to_owned(), json!({ "details": details }));
        }
        context
    }
}
