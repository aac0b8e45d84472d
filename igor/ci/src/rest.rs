//! What the clients of GitLab and GitHub have in common: a token, JSON, and logs that hold properties.

use std::sync::Arc;

use kork::ports::Clock;
use kork_model::Context;
use reqwest::RequestBuilder;
use serde_json::Value;
use url::Url;

use crate::{
    Build, BuildRequest, CiError, Controller, PropertiesError, PropertyFileError,
    calls::{Bound, Calls, JSON_BYTES_MAX, Reply},
    jenkins::text,
    properties::logged,
    secret::SecretSource,
    server::Prepared,
};

/// Largest log that properties are looked for in; of a longer one, the beginning.
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Jobs of a build whose logs are read.
pub(crate) const LOGS_MAX: usize = 100;
/// Bytes of a default branch that a server tells; a longer one is none.
const BRANCH_BYTES_MAX: usize = 1024;
/// How long a cancelled build has to end, in looks and in milliseconds between them.
const STOP_LOOKS: usize = 5;
const STOP_MS: u64 = 2_000;

pub(crate) struct Rest {
    pub controller: Controller,
    pub calls: Calls,
    base: Url,
    token: Option<SecretSource>,
    /// How the token is shown.
    sign: fn(RequestBuilder, &str) -> RequestBuilder,
    /// Logs may be elsewhere. Only for a token in the header that is not sent on to other hosts.
    follows: bool,
}

impl Rest {
    pub(crate) fn new(
        controller: &Controller,
        clock: Arc<dyn Clock>,
        sign: fn(RequestBuilder, &str) -> RequestBuilder,
        follows: bool,
    ) -> Result<Self, CiError> {
        if let Some(problem) = controller.problems().into_iter().next() {
            return Err(CiError::Invalid(problem));
        }
        Ok(Self {
            calls: Calls::new(controller, clock)?,
            base: controller.base().map_err(CiError::Invalid)?,
            token: controller.token().or_else(|| controller.password()),
            controller: controller.clone(),
            sign,
            follows,
        })
    }

    pub(crate) fn url(&self, path: &str) -> Result<Url, CiError> {
        self.base
            .join(path)
            .map_err(|e| CiError::Invalid(format!("{path:?} is no path: {e}")))
    }

    fn signed(&self, request: RequestBuilder) -> Result<RequestBuilder, CiError> {
        match &self.token {
            Some(token) => Ok((self.sign)(request, token.get()?.reveal())),
            None => Ok(request),
        }
    }

    pub(crate) fn named(&self, path: &str) -> String {
        format!("{path} of the controller {}", self.controller.name)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CiError> {
        self.read(path, self.calls.get(self.url(path)?)).await
    }

    /// As [`Self::get`], with a request of the caller's.
    pub(crate) async fn read(&self, path: &str, request: RequestBuilder) -> Result<Value, CiError> {
        let request = self.signed(request)?;
        let what = self.named(path);
        let reply = self
            .calls
            .send(&what, request, Bound::Refuse(JSON_BYTES_MAX))
            .await?;
        limited(&what, reply)?.json(&what)
    }

    /// A change; the answer of any status below 500 that is no refusal for the number of calls.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &Value,
        starts: bool,
    ) -> Result<Reply, CiError> {
        let url = self.url(path)?;
        let request = if starts {
            self.calls.trigger(url)
        } else {
            self.calls.post(url)
        };
        self.change(path, request.json(body)).await
    }

    /// As [`Self::post`], with a request of the caller's.
    pub(crate) async fn change(
        &self,
        path: &str,
        request: RequestBuilder,
    ) -> Result<Reply, CiError> {
        let request = self.signed(request)?;
        let what = self.named(path);
        let reply = self
            .calls
            .send(&what, request, Bound::Refuse(JSON_BYTES_MAX))
            .await?;
        let reply = limited(&what, reply)?;
        if reply.status >= 500 {
            let said = reply.error(&what).to_string();
            return Err(CiError::Unanswered {
                what,
                said,
                source: None,
            });
        }
        Ok(reply)
    }

    /// The properties in the logs at these paths, of jobs that ran.
    pub(crate) async fn logged(
        &self,
        paths: &[String],
        build: &Build,
        file: &str,
    ) -> Result<Context, PropertiesError> {
        let mut values = Context::new();
        for path in paths.iter().take(LOGS_MAX) {
            let what = self.named(path);
            let url = self.url(path)?;
            let request = if self.follows {
                self.calls.download(url)
            } else {
                self.calls.get(url)
            };
            let request = self.signed(request)?;
            let reply = self
                .calls
                .send(&what, request, Bound::Cut(LOG_BYTES_MAX))
                .await?;
            // A log may be there only some seconds after the end: what is not found is asked for again.
            let log = limited(&what, reply)?.good(&what)?.body;
            let read = logged::collect(&String::from_utf8_lossy(&log), &mut values);
            read.map_err(|reason| PropertyFileError::Broken {
                file: file.to_owned(),
                reason: format!("in the log of a job: {reason}"),
                archived: archived(build),
            })?;
        }
        if values.is_empty() {
            let file = format!("{file} (lines SPINNAKER_PROPERTY_<NAME>=<value> of the log)");
            return Err(PropertyFileError::Empty {
                file,
                archived: archived(build),
            }
            .into());
        }
        Ok(values)
    }

    /// Waits for the end of a build that was told to stop.
    pub(crate) async fn await_end<F>(&self, look: impl Fn() -> F) -> Result<(), CiError>
    where
        F: Future<Output = Result<Build, CiError>>,
    {
        for _ in 0..STOP_LOOKS {
            if look().await?.finished().is_some() {
                return Ok(());
            }
            self.calls.rest(STOP_MS).await;
        }
        Err(CiError::NotBuildable {
            what: self.named("a build"),
            said: "it goes on although it was told to stop".to_owned(),
        })
    }
}

fn archived(build: &Build) -> String {
    let names: Vec<_> = build
        .artifacts
        .iter()
        .map(|a| a.relative_path.as_str())
        .collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// GitHub refuses with 403 what came too often.
fn limited(what: &str, reply: Reply) -> Result<Reply, CiError> {
    let exhausted = reply.header("x-ratelimit-remaining") == Some("0");
    if reply.status == 429
        || (reply.status == 403 && (exhausted || reply.header("retry-after").is_some()))
    {
        return Err(CiError::Unavailable {
            what: what.to_owned(),
            said: "too many calls were made with this token".to_owned(),
            source: None,
        });
    }
    Ok(reply)
}

/// The branch that a request names; else the default branch of its `repository`, as GitLab and GitHub show it.
pub(crate) fn branch(request: &BuildRequest, repository: &Value) -> Result<String, CiError> {
    let named = request.branch.clone().filter(|branch| !branch.is_empty());
    let own = || text(repository, "default_branch").filter(|name| name.len() <= BRANCH_BYTES_MAX);
    let branch = named.or_else(own);
    branch.ok_or_else(|| {
        CiError::Invalid(format!(
            "the build of {} needs a branch or tag: its repository has no default branch",
            request.job
        ))
    })
}

/// The branch that was chosen when the request was prepared.
pub(crate) fn prepared_branch<'a>(request: &'a BuildRequest, prepared: &'a Prepared) -> &'a str {
    let branch = prepared.branch.as_ref().or(request.branch.as_ref());
    branch.map_or("", String::as_str)
}

/// Milliseconds since the epoch; 0 for what is no time.
pub(crate) fn millis(value: &Value, key: &str) -> u64 {
    let time = value
        .get(key)
        .and_then(Value::as_str)
        .and_then(|t| t.parse::<jiff::Timestamp>().ok());
    time.map_or(0, |t| u64::try_from(t.as_millisecond()).unwrap_or(0))
}
