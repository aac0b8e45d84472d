//! What stands in the places of paths and bodies.

use serde_json::{Value, json};

use crate::{BuildRequest, path::encoded};

/// What placeholders stand for.
pub(super) struct Asked<'a> {
    pub request: Option<&'a BuildRequest>,
    pub job: &'a str,
    pub number: Option<u64>,
}

impl Asked<'_> {
    /// A path with what was asked in its places.
    pub(super) fn path(&self, template: &str) -> String {
        self.filled(template, encoded)
    }

    fn filled(&self, template: &str, written: impl Fn(&str) -> String) -> String {
        let mut all = vec![("{job}".to_owned(), self.job.to_owned())];
        if let Some(number) = self.number {
            all.push(("{number}".to_owned(), number.to_string()));
        }
        if let Some(request) = self.request {
            let branch = request.branch.clone().unwrap_or_default();
            all.push(("{branch}".to_owned(), branch));
            all.push(("{key}".to_owned(), request.unique_key.clone()));
            let parameters = request.parameters.iter();
            all.extend(parameters.map(|(k, v)| (format!("{{parameters.{k}}}"), v.clone())));
        }
        let mut filled = String::new();
        let mut rest = template;
        // In one pass: a value with braces in it stands for nothing.
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            if let Some((name, value)) = all.iter().find(|(name, _)| from.starts_with(name)) {
                filled.push_str(&written(value));
                rest = &from[name.len()..];
            } else {
                filled.push('{');
                rest = &from[1..];
            }
        }
        filled + rest
    }

    /// A body with what was asked in its places.
    pub(super) fn body(&self, template: &Value) -> Value {
        match template {
            Value::String(text) if text == "{parameters}" => {
                json!(self.request.map(|request| &request.parameters))
            }
            Value::String(text) => self.filled(text, str::to_owned).into(),
            Value::Array(list) => list.iter().map(|value| self.body(value)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), self.body(value)))
                .collect(),
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain.clone(),
        }
    }
}
