//! Any other CI server: builds are started and looked at with calls that its account describes.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use kork::ports::Clock;
use kork_model::Context;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{
    Build, BuildRequest, BuildResult, BuildServer, CiError, Controller, PropertiesError,
    PropertyFileError,
    breaker::BreakerState,
    config::{self, Method},
    path::encoded,
    rest::Rest,
    server::{Located, LogPage, LogStart, Prepared, Started},
};

/// A client of one server.
pub struct Generic {
    rest: Rest,
    how: config::Generic,
}

/// What placeholders stand for.
struct Asked<'a> {
    request: Option<&'a BuildRequest>,
    job: &'a str,
    number: Option<u64>,
}

impl Generic {
    /// A client of `controller`, whose time comes from `clock`.
    pub fn new(controller: &Controller, clock: Arc<dyn Clock>) -> Result<Self, CiError> {
        let rest = Rest::new(
            controller,
            clock,
            |request, token| request.bearer_auth(token),
            false,
        );
        Ok(Self {
            rest: rest?,
            how: controller.generic.clone().unwrap_or_default(),
        })
    }

    fn with_headers(&self, mut request: RequestBuilder) -> RequestBuilder {
        for (name, value) in &self.how.headers {
            request = request.header(name, value);
        }
        request
    }

    async fn get(&self, path: &str) -> Result<Value, CiError> {
        let request = self.rest.calls.get(self.rest.url(path)?);
        self.rest.read(path, self.with_headers(request)).await
    }

    fn change(&self, method: Method, path: &str, body: &Value) -> Result<RequestBuilder, CiError> {
        let method = match method {
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let request = self.rest.calls.change(method, self.rest.url(path)?);
        let request = self.with_headers(request);
        Ok(if body.is_null() {
            request
        } else {
            request.json(body)
        })
    }

    fn result(&self, shown: &Value) -> Option<BuildResult> {
        let status = &self.how.status;
        let word = shown.pointer(&status.result).and_then(text)?;
        let known = status
            .results
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(&word));
        BuildResult::parse(known?.1)
    }
}

impl Asked<'_> {
    /// A path with what was asked in its places.
    fn path(&self, template: &str) -> String {
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
    fn body(&self, template: &Value) -> Value {
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

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    text(value)?.parse().ok()
}

#[async_trait]
impl BuildServer for Generic {
    fn sender(&self) -> &'static str {
        "generic"
    }

    fn name(&self) -> &str {
        &self.rest.controller.name
    }

    fn clock(&self) -> &dyn Clock {
        self.rest.calls.clock()
    }

    fn breaker(&self) -> BreakerState {
        self.rest.calls.breaker()
    }

    async fn prepare(&self, request: &BuildRequest) -> Result<Prepared, CiError> {
        Ok(Prepared {
            parameters: request.parameters.clone(),
            is_unique: true,
            has_parameters: true,
            at_ms: self.now().millis(),
            branch: request.branch.clone(),
            ..Prepared::default()
        })
    }

    async fn start(
        &self,
        request: &BuildRequest,
        _prepared: &Prepared,
    ) -> Result<Started, CiError> {
        let start = &self.how.start;
        let asked = Asked {
            request: Some(request),
            job: &request.job,
            number: None,
        };
        let path = asked.path(&start.path);
        let call = self
            .change(start.method, &path, &asked.body(&start.body))?
            .header("Idempotency-Key", &request.unique_key)
            .timeout(self.rest.calls.trigger_timeout());
        let what = self.rest.named(&path);
        let shown = self.rest.change(&path, call).await?.good(&what)?;
        let shown: Value = serde_json::from_slice(&shown.body).unwrap_or_default();
        match shown.pointer(&start.number).and_then(number) {
            Some(number) => Ok(Started::Build {
                number,
                url: self.url_of(&shown),
                shared: false,
            }),
            None if self.how.find.is_some() => Ok(Started::Accepted),
            None => Err(CiError::Malformed {
                what,
                reason: format!("it has no number of a build at {:?}", start.number),
            }),
        }
    }

    async fn look_for(
        &self,
        request: &BuildRequest,
        _prepared: &Prepared,
    ) -> Result<Option<Started>, CiError> {
        let Some(find) = &self.how.find else {
            if self.how.start.repeatable {
                return Ok(None);
            }
            return Err(CiError::Invalid(format!(
                "it is not known whether a build of {} was started: the account of {} says neither how to find it nor \
                 that its start may be repeated",
                request.job,
                self.name()
            )));
        };
        let asked = Asked {
            request: Some(request),
            job: &request.job,
            number: None,
        };
        let shown = match self.get(&asked.path(&find.path)).await {
            Err(error) if error.is_not_found() => return Ok(None),
            shown => shown?,
        };
        let number = shown.pointer(&find.number).and_then(number);
        Ok(number.map(|number| Started::Build {
            number,
            url: String::new(),
            shared: false,
        }))
    }

    /// There is no queue outside of builds.
    async fn locate(&self, _job: &str, _item: u64) -> Result<Located, CiError> {
        Ok(Located::Lost)
    }

    async fn watch(&self, job: &str, number: u64, _age_ms: u64) -> Result<Build, CiError> {
        self.build(job, number).await
    }

    async fn build(&self, job: &str, number: u64) -> Result<Build, CiError> {
        let shown = self.shown(job, number).await?;
        let result = self.result(&shown);
        Ok(Build {
            number,
            url: self.url_of(&shown),
            display_name: format!("#{number}"),
            full_display_name: format!("{job} #{number}"),
            running: result.is_none(),
            result,
            ..Build::default()
        })
    }

    async fn stop(
        &self,
        job: &str,
        _item: Option<u64>,
        number: Option<u64>,
    ) -> Result<(), CiError> {
        let Some(number) = number else { return Ok(()) };
        let Some(stop) = &self.how.stop else {
            let controller = self.name();
            tracing::warn!(
                controller,
                job,
                number,
                "a build goes on: it is not said how to stop it"
            );
            return Ok(());
        };
        let asked = Asked {
            request: None,
            job,
            number: Some(number),
        };
        let path = asked.path(&stop.path);
        let call = self.change(stop.method, &path, &asked.body(&stop.body))?;
        let reply = self.rest.change(&path, call).await?;
        if matches!(reply.status, 401 | 403) {
            return Err(reply.error(&self.rest.named(&path)));
        }
        // Any other refusal may mean that it has ended.
        self.rest.await_end(|| self.build(job, number)).await
    }

    /// Its shape is not known.
    async fn log(&self, _job: &str, _number: u64, _start: LogStart) -> Result<LogPage, CiError> {
        Ok(LogPage::default())
    }

    /// From the status of the build; `file` only names them in errors.
    async fn properties(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        let shown = self.shown(job, build.number).await?;
        let pointer = self.how.status.properties.as_ref();
        match pointer.and_then(|pointer| shown.pointer(pointer)) {
            Some(Value::Object(values)) => Ok(values.clone()),
            _ => Err(PropertyFileError::Missing {
                file: file.to_owned(),
                archived: "nothing where generic.status.properties points to".to_owned(),
            }
            .into()),
        }
    }
}

impl Generic {
    async fn shown(&self, job: &str, number: u64) -> Result<Value, CiError> {
        let asked = Asked {
            request: None,
            job,
            number: Some(number),
        };
        self.get(&asked.path(&self.how.status.path)).await
    }

    fn url_of(&self, shown: &Value) -> String {
        let url = shown.pointer(&self.how.status.url).and_then(text);
        url.unwrap_or_default()
    }
}
