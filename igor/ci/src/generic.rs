//! Any other CI server: builds are started and looked at with calls that its account describes.

mod asked;
mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use kork::ports::Clock;
use kork_model::Context;
use reqwest::RequestBuilder;
use serde_json::Value;

use asked::Asked;
pub use report::Report;
use report::{number, text};

use crate::{
    Build, BuildRequest, BuildServer, CiError, Controller, PropertiesError,
    config::{self, Method},
    rest::Rest,
    server::{About, Located, LogPage, LogStart, NOT_NUMBERED, Prepared, Started},
};

/// A client of one server.
pub struct Generic {
    rest: Rest,
    how: config::Generic,
}

impl Generic {
    /// A client of `controller`, whose time comes from `clock`.
    pub fn new(controller: &Controller, clock: Arc<dyn Clock>) -> Result<Self, CiError> {
        let rest = Rest::new(controller, clock, |request, token| {
            request.bearer_auth(token)
        });
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
}

#[async_trait]
impl BuildServer for Generic {
    fn about(&self) -> About<'_> {
        self.rest.about("generic")
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
        let url = shown.pointer(&self.how.status.url).and_then(text);
        let build = |number| Started::Build {
            number,
            url: url.unwrap_or_default(),
            shared: false,
        };
        match shown.pointer(&start.number).and_then(number) {
            Some(number) => Ok(build(number)),
            None if self.how.find.is_some() => Ok(Started::Accepted),
            None if self.how.report.is_some() => Ok(build(NOT_NUMBERED)),
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
            let (job, name) = (&request.job, self.name());
            let told = "says neither how to find it nor that its start may be repeated";
            let said = format!(
                "it is not known whether a build of {job} was started: the account of {name} {told}"
            );
            return Err(if self.how.report.is_some() {
                CiError::Unknown(format!(
                    "{said}, and the server has posted nothing of it; let it post when a build begins, too, or set \
                     generic.find or generic.start.repeatable"
                ))
            } else {
                CiError::Invalid(said)
            });
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
        Ok(self.shown(job, number).await?.build(job, number))
    }

    async fn stop(
        &self,
        request: &BuildRequest,
        _item: Option<u64>,
        number: Option<u64>,
    ) -> Result<(), CiError> {
        if number.is_none() && self.how.report.is_none() {
            return Ok(());
        }
        let job = &request.job;
        let number = number.filter(|number| *number != NOT_NUMBERED);
        let stop = self.how.stop.as_ref();
        let Some(stop) = stop.filter(|stop| number.is_some() || !stop.needs_number()) else {
            let controller = self.name();
            let because = "it is not said how to stop it, or it has no number yet";
            tracing::warn!(controller, job, number, because, "a build goes on");
            return Ok(());
        };
        let asked = Asked {
            request: Some(request),
            job,
            number,
        };
        let path = asked.path(&stop.path);
        let call = self.change(stop.method, &path, &asked.body(&stop.body))?;
        let reply = self.rest.change(&path, call).await?;
        if matches!(reply.status, 401 | 403) {
            return Err(reply.error(&self.rest.named(&path)));
        }
        // Any other refusal may mean that it has ended.
        match number.filter(|_| self.how.is_asked()) {
            Some(number) => self.rest.await_end(|| self.build(job, number)).await,
            None => Ok(()),
        }
    }

    /// The end of it, where the status holds that.
    async fn log(&self, job: &str, number: u64, _start: LogStart) -> Result<LogPage, CiError> {
        let mut page = LogPage::default();
        if self.how.status.log.is_some() {
            page.text = self.shown(job, number).await?.log;
        }
        Ok(page)
    }

    /// From the status of the build; `file` only names them in errors.
    async fn properties(
        &self,
        job: &str,
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        let shown = self.shown(job, build.number).await?;
        Ok(shown.property_file(file)?)
    }
}

impl Generic {
    async fn shown(&self, job: &str, number: u64) -> Result<Report, CiError> {
        if !self.how.is_asked() {
            return Err(CiError::Invalid(format!(
                "the account of {} has no generic.status.path to ask how a build of {job} is",
                self.name()
            )));
        }
        let asked = Asked {
            request: None,
            job,
            number: Some(number),
        };
        let status = &self.how.status;
        let shown = self.get(&asked.path(&status.path)).await?;
        Ok(Report::shown(status, &shown))
    }
}
