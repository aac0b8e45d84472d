//! Evaluates every `${...}` of a JSON value, one pass or until nothing changes any more.

use std::{cell::Cell, collections::BTreeSet};

use kork_model::Context;
use serde_json::Value;

use super::Scope;
use super::error::{ErrorKind, ExpressionError, Result};
use super::eval::Evaluator;
use super::limits::{
    MAX_PASS_BYTES, MAX_PASS_STEPS, MAX_PASSES, MAX_RESULT_BYTES, MAX_TEMPLATES_PER_PASS,
    MAX_VALUE_DEPTH,
};
use super::parser;
use super::summary::Summary;
use super::template::{self, Part};
use super::value::Val;
use crate::context::json_bytes;

/// One pass over a value.
struct Pass<'a, 's> {
    scope: &'a Scope<'a>,
    own: Option<&'a Context>,
    summary: Summary,
    templates: usize,
    /// Bytes of all results so far.
    bytes: usize,
    /// Units of work so far.
    steps: Cell<u64>,
    /// Key of the outermost map that is under evaluation.
    top: String,
    /// Outermost keys whose evaluation met a limit.
    overgrown: BTreeSet<String>,
    /// Paths of texts that `#doNotEval` made; they are left alone.
    frozen: &'s mut BTreeSet<String>,
}

/// What became of one text.
enum Outcome<'a> {
    Value(Val<'a>),
    /// Some part is null; the text keeps that part in its raw form.
    NotFound(Value),
}

/// Evaluates once; see [`super::process`].
pub(super) fn once(value: &Value, scope: &Scope<'_>) -> (Value, Summary) {
    let mut frozen = BTreeSet::new();
    let mut pass = Pass::new(scope, None, &mut frozen);
    let result = pass.value(value, "value", &mut String::new(), 0);
    (result, pass.summary)
}

/// Evaluates one text that is a whole expression and reports it under a key.
pub(super) fn condition(key: &str, text: &str, scope: &Scope<'_>) -> (Value, Summary) {
    let mut summary = Summary::new(scope.now);
    let raw = || Value::String(text.to_owned());
    let value = match super::evaluate(text, scope) {
        Ok(Value::Null) => {
            summary.not_found(key, text);
            raw()
        }
        Ok(value) => value,
        Err(error) => {
            summary.fail(key, text, &error);
            raw()
        }
    };
    (value, summary)
}

/// Evaluates until nothing changes; see [`super::process_stage_context`].
pub(super) fn to_fixed_point(context: &Context, scope: &Scope<'_>) -> (Context, Summary) {
    let mut frozen = BTreeSet::new();
    let mut current = context.clone();
    let mut restless = Vec::new();
    for _ in 0..MAX_PASSES {
        let (next, summary, overgrown) = {
            let mut pass = Pass::new(scope, Some(&current), &mut frozen);
            let next = pass.map(&current, &mut String::new(), 0);
            (next, pass.summary, pass.overgrown)
        };
        // A value that grew into a limit stands still there, and refers to itself all the same.
        let settled = next == current;
        restless = current
            .iter()
            .filter(|(key, value)| {
                next.get(*key) != Some(value)
                    || (overgrown.contains(*key) && context.get(*key) != Some(value))
            })
            .map(|(key, _)| key.clone())
            .collect();
        if settled && restless.is_empty() {
            return (current, summary);
        }
        if settled {
            break;
        }
        current = next;
    }
    restore(context, current, restless, scope, &mut frozen)
}

/// What never settles goes back to what its author wrote; the rest stays as it is.
fn restore(
    context: &Context,
    mut settled: Context,
    restless: Vec<String>,
    scope: &Scope<'_>,
    frozen: &mut BTreeSet<String>,
) -> (Context, Summary) {
    let mut unsettled = Summary::new(scope.now);
    let mut originals = Vec::new();
    for key in restless {
        settled.remove(&key);
        if let Some(original) = context.get(&key) {
            unsettled.unsettled(&key, &raw_text(original));
            originals.push((key, original.clone()));
        }
    }
    let mut pass = Pass::new(scope, Some(&settled), frozen);
    pass.map(&settled, &mut String::new(), 0);
    let mut summary = pass.summary;
    summary.merge(unsettled);
    settled.extend(originals);
    (settled, summary)
}

fn raw_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

impl<'a, 's> Pass<'a, 's> {
    fn new(
        scope: &'a Scope<'a>,
        own: Option<&'a Context>,
        frozen: &'s mut BTreeSet<String>,
    ) -> Self {
        Self {
            scope,
            own,
            summary: Summary::new(scope.now),
            templates: 0,
            bytes: 0,
            steps: Cell::new(0),
            top: String::new(),
            overgrown: BTreeSet::new(),
            frozen,
        }
    }

    fn value(&mut self, value: &Value, key: &str, path: &mut String, depth: usize) -> Value {
        match value {
            Value::String(text) if text.contains(template::PREFIX) => {
                if self.frozen.contains(path.as_str()) {
                    return value.clone();
                }
                self.text(text, key, path)
            }
            Value::Array(items) if depth < MAX_VALUE_DEPTH => {
                let length = path.len();
                let mut evaluated = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    path.push('/');
                    path.push_str(&at.to_string());
                    evaluated.push(self.value(item, key, path, depth + 1));
                    path.truncate(length);
                }
                Value::Array(evaluated)
            }
            Value::Object(map) if depth < MAX_VALUE_DEPTH => {
                Value::Object(self.map(map, path, depth + 1))
            }
            other => other.clone(),
        }
    }

    fn map(&mut self, map: &Context, path: &mut String, depth: usize) -> Context {
        let length = path.len();
        let mut evaluated = Context::new();
        for (key, value) in map {
            let key = if key.contains(template::PREFIX) {
                match self.text(key, key, "") {
                    Value::String(text) => text,
                    Value::Array(_) | Value::Object(_) => key.clone(),
                    scalar => scalar.to_string(),
                }
            } else {
                key.clone()
            };
            if depth == 0 {
                self.top.clone_from(&key);
            }
            path.push('/');
            path.push_str(&key);
            let value = self.value(value, &key, path, depth);
            path.truncate(length);
            evaluated.insert(key, value);
        }
        evaluated
    }

    fn text(&mut self, raw: &str, key: &str, path: &str) -> Value {
        self.templates += 1;
        let kept = || Value::String(raw.to_owned());
        if self.templates > MAX_TEMPLATES_PER_PASS {
            let message = format!("more than {MAX_TEMPLATES_PER_PASS} expressions at once");
            self.summary
                .fail(key, raw, &ExpressionError::limit(message));
            return kept();
        }
        match self.within_the_pass(|pass| pass.evaluate(raw)) {
            Ok(Outcome::NotFound(text)) => {
                self.summary.not_found(key, raw);
                self.bytes += json_bytes(&text);
                text
            }
            Ok(Outcome::Value(value)) => {
                if matches!(value, Val::Literal(_)) {
                    self.frozen.insert(path.to_owned());
                }
                match value.to_json() {
                    Ok(value) => {
                        self.bytes += json_bytes(&value);
                        value
                    }
                    Err(error) => {
                        // It may have taken as much as the largest that is allowed.
                        self.bytes += MAX_RESULT_BYTES;
                        self.summary.fail(key, raw, &error);
                        kept()
                    }
                }
            }
            Err(error) => {
                if error.kind == ErrorKind::Limit {
                    self.overgrown.insert(self.top.clone());
                }
                self.summary.fail(key, raw, &error);
                kept()
            }
        }
    }

    /// What is left to one pass, however many expressions it has.
    fn within_the_pass<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        if self.bytes > MAX_PASS_BYTES {
            let message = format!("all values together have more than {MAX_PASS_BYTES} bytes");
            return Err(ExpressionError::limit(message));
        }
        if self.steps.get() > MAX_PASS_STEPS {
            let message = format!("all expressions take more than {MAX_PASS_STEPS} steps");
            return Err(ExpressionError::limit(message));
        }
        work(self)
    }

    fn evaluate(&self, raw: &str) -> Result<Outcome<'a>> {
        let parts = template::parts(raw)?;
        let run = |text: &str| {
            let node = parser::parse(text)?;
            let evaluator = Evaluator::new(self.scope, self.own);
            let value = evaluator.run(&node);
            self.steps
                .set(self.steps.get().saturating_add(evaluator.spent()));
            value
        };
        if let [Part::Expression(expression)] = parts.as_slice() {
            return Ok(match run(expression)? {
                Val::Null => Outcome::NotFound(Value::String(raw.to_owned())),
                value => Outcome::Value(value),
            });
        }
        let mut text = String::new();
        let mut complete = true;
        for part in parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Expression(expression) => match run(expression)? {
                    Val::Null => {
                        complete = false;
                        text.push_str(template::PREFIX);
                        text.push_str(expression);
                        text.push('}');
                    }
                    value => text.push_str(&value.joined_text().ok_or_else(|| {
                        ExpressionError::evaluation(format!(
                            "{} cannot be a part of a text; use #toJson",
                            value.type_name()
                        ))
                    })?),
                },
            }
            if text.len() > MAX_RESULT_BYTES {
                return Err(ExpressionError::limit(format!(
                    "the text would be longer than {MAX_RESULT_BYTES} bytes"
                )));
            }
        }
        Ok(if complete {
            Outcome::Value(Val::text(text))
        } else {
            Outcome::NotFound(Value::String(text))
        })
    }
}
