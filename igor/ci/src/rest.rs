//! What the clients of GitLab and GitHub have in common: a token, JSON, and logs that hold properties.

use std::sync::Arc;

use kork::ports::Clock;
use kork_model::Context;
use reqwest::RequestBuilder;
use serde_json::Value;
use url::Url;

use crate::{
    Build, BuildRequest, CiError, Controller, PropertiesError, PropertyFileError,
    calls::{Bound, Calls, JSON_BYTES_MAX, REDIRECTS_MAX, Reply},
    console,
    jenkins::text,
    properties::{logged, named},
    secret::SecretSource,
    server::{About, LogPage, Prepared},
};

/// Largest log that properties are looked for in; of a longer one, the beginning.
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What is read of a log for its end: of a longer one, the end of that.
const LOG_READ_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most of an end.
const LOG_TAIL_BYTES_MAX: usize = 64 * 1024;
/// Largest property file.
pub(crate) const PROPERTY_FILE_BYTES_MAX: usize = 1024 * 1024;
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
}

impl Rest {
    pub(crate) fn new(
        controller: &Controller,
        clock: Arc<dyn Clock>,
        sign: fn(RequestBuilder, &str) -> RequestBuilder,
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
        })
    }

    pub(crate) fn about(&self, sender: &'static str) -> About<'_> {
        self.calls.about(sender, &self.controller)
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

    /// A file or a log, which may be elsewhere: another host than the server's is asked without the token.
    pub(crate) async fn download(&self, path: &str, bound: Bound) -> Result<Reply, CiError> {
        let what = self.named(path);
        let mut url = self.url(path)?;
        for _ in 0..=REDIRECTS_MAX {
            let mut request = self.calls.get(url.clone());
            if url.origin() == self.base.origin() {
                request = self.signed(request)?;
            }
            let reply = limited(&what, self.calls.send(&what, request, bound).await?)?;
            let elsewhere = reply.header("location").map(|to| url.join(to));
            match elsewhere.filter(|_| (300..400).contains(&reply.status)) {
                None => return Ok(reply),
                Some(Ok(to)) => url = to,
                Some(Err(error)) => {
                    let reason = format!("it is elsewhere, at no address: {error}");
                    return Err(CiError::Malformed { what, reason });
                }
            }
        }
        let reason = format!("it is elsewhere more than {REDIRECTS_MAX} times");
        Err(CiError::Malformed { what, reason })
    }

    /// The end of the log of a job, under its name; none when there is no log.
    pub(crate) async fn tail(
        &self,
        path: &str,
        name: &str,
        bytes: u64,
    ) -> Result<Option<LogPage>, CiError> {
        let head = format!("[{name}]\n");
        let keep = (bytes as usize).min(LOG_TAIL_BYTES_MAX);
        let bound = Bound::Tail {
            keep: keep.saturating_sub(head.len()),
            read_max: LOG_READ_BYTES_MAX,
        };
        let reply = self.download(path, bound).await?;
        if reply.status == 404 {
            return Ok(None);
        }
        let log = reply.good(&self.named(path))?.body;
        Ok(Some(LogPage {
            text: head + &console::plain(&String::from_utf8_lossy(&log)),
            ..LogPage::default()
        }))
    }

    /// The address of something below the server's.
    pub(crate) fn address(&self, path: &str) -> Option<String> {
        self.url(path).ok().map(String::from)
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
            let reply = self.download(path, Bound::Cut(LOG_BYTES_MAX)).await?;
            // A log may be there only some seconds after the end: what is not found is asked for again.
            let log = reply.good(&self.named(path))?.body;
            let read = logged::collect(&String::from_utf8_lossy(&log), &mut values);
            read.map_err(|reason| PropertyFileError::Broken {
                file: file.to_owned(),
                reason: format!("in the log of a job: {reason}"),
                archived: archived(build),
            })?;
        }
        if values.is_empty() {
            return Err(PropertyFileError::Nowhere {
                file: file.to_owned(),
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

/// What a build left, as far as the token may see it: a build is followed without that, too.
pub(crate) fn seen<T: Default>(left: Result<T, CiError>) -> Result<T, CiError> {
    match left {
        Err(error @ (CiError::NotFound { .. } | CiError::Denied { .. })) => {
            tracing::warn!(%error, "what a build left is not shown");
            Ok(T::default())
        }
        left => left,
    }
}

fn archived(build: &Build) -> String {
    named(&build.artifacts)
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
