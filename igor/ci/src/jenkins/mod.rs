//! The client of one Jenkins controller.

mod board;
mod builds;
mod files;
mod jobs;
mod session;
mod shapes;
mod trigger;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use kork::ports::Clock;
use serde_json::Value;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

pub use jobs::{JobInfo, JobSummary, ParameterDefinition};

use crate::{
    CiError, Controller, JobPath,
    calls::{Bound, Calls, JSON_BYTES_MAX, Reply},
};
use board::Board;
use session::{Credentials, Crumb, Session};

pub(crate) use shapes::{BUILD_TREE, flag, list, number, text};

/// A client. Share one per controller: limits, breaker, crumb and grouped reads belong to it.
pub struct Jenkins {
    controller: Controller,
    base: Url,
    calls: Calls,
    credentials: Credentials,
    session: Mutex<Session>,
    board: Board,
    /// This release gives the end of a log without being told where that is.
    knows_tails: AtomicBool,
}

/// What a POST is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It starts a build.
    Start,
    CancelItem,
    Other,
}

impl Change {
    /// Statuses that are no sign of a broken server: of an item that left the queue a moment ago Jenkins says 500.
    const fn expected(self) -> &'static [u16] {
        match self {
            Self::CancelItem => &[500],
            Self::Start | Self::Other => &[],
        }
    }
}

impl Jenkins {
    /// A client of `controller`, whose time comes from `clock`.
    pub fn new(controller: &Controller, clock: Arc<dyn Clock>) -> Result<Self, CiError> {
        if let Some(problem) = controller.problems().into_iter().next() {
            return Err(CiError::Invalid(problem));
        }
        Ok(Self {
            base: controller.base().map_err(CiError::Invalid)?,
            calls: Calls::new(controller, clock)?,
            credentials: Credentials::new(controller),
            session: Mutex::default(),
            board: Board::default(),
            knows_tails: AtomicBool::new(true),
            controller: controller.clone(),
        })
    }

    /// Its settings.
    pub const fn controller(&self) -> &Controller {
        &self.controller
    }

    /// `path` is relative and percent-encoded.
    fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, CiError> {
        let url = self.base.join(path);
        let mut url = url.map_err(|e| CiError::Invalid(format!("{path:?} is no path: {e}")))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// JSON below `path`, cut down to `tree`.
    pub(crate) async fn json(&self, path: &str, tree: &str) -> Result<Value, CiError> {
        let url = self.url(&format!("{path}api/json"), &[("tree", tree)])?;
        let what = self.named(path);
        let request = self.credentials.sign(self.calls.get(url))?;
        let reply = self
            .calls
            .send(&what, request, Bound::Refuse(JSON_BYTES_MAX))
            .await?;
        self.session.lock().await.seen(&reply.headers);
        reply.json(&what)
    }

    /// A page of text or a file below `path`. An answer with an `expected` status is the caller's to judge, and
    /// no sign of a broken server.
    async fn bytes(
        &self,
        path: &str,
        query: &[(&str, &str)],
        bound: Bound,
        expected: &[u16],
    ) -> Result<Reply, CiError> {
        let url = self.url(path, query)?;
        let what = self.named(path);
        let request = self.credentials.sign(self.calls.download(url))?;
        let calls = &self.calls;
        let reply = calls
            .send_expecting(&what, request, bound, expected)
            .await?;
        self.session.lock().await.seen(&reply.headers);
        if expected.contains(&reply.status) {
            return Ok(reply);
        }
        reply.good(&what)
    }

    /// A change. An answer of any status is an answer; a crumb that became worthless is replaced once.
    async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        form: &BTreeMap<String, String>,
        change: Change,
    ) -> Result<Reply, CiError> {
        let what = self.named(path);
        let url = self.url(path, query)?;
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut crumb = self.session.lock().await.crumb();
        if crumb.is_none() && self.controller.csrf {
            crumb = self.new_crumb().await?;
        }
        let mut renewed = false;
        loop {
            let request = match change {
                Change::Start => self.calls.trigger(url.clone()),
                Change::CancelItem | Change::Other => self.calls.post(url.clone()),
            };
            let request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body.clone());
            let mut request = self.credentials.sign(request)?;
            if let Some(crumb) = &crumb {
                request = crumb.sign(request);
            }
            let reply = self
                .calls
                .send_expecting(&what, request, Bound::Cut(64 * 1024), change.expected())
                .await?;
            self.session.lock().await.seen(&reply.headers);
            let refused = reply.status == 403
                && String::from_utf8_lossy(&reply.body).contains("No valid crumb");
            if !refused || renewed {
                return Ok(reply);
            }
            renewed = true;
            self.session.lock().await.forget();
            crumb = self.new_crumb().await?;
        }
    }

    /// A fresh crumb with its cookie; `None` where CSRF protection is off.
    async fn new_crumb(&self) -> Result<Option<Crumb>, CiError> {
        let what = self.named("crumbIssuer/");
        let request = self.calls.get(self.url("crumbIssuer/api/json", &[])?);
        let request = self.credentials.sign(request)?;
        let reply = self
            .calls
            .send(&what, request, Bound::Refuse(64 * 1024))
            .await?;
        let mut session = self.session.lock().await;
        session.seen(&reply.headers);
        if reply.status == 404 {
            return Ok(None);
        }
        let headers = reply.headers.clone();
        let crumb = Crumb::read(&reply.json(&what)?, &headers);
        session.keep(crumb.clone());
        Ok(crumb)
    }

    /// How errors name a thing of this controller.
    fn named(&self, path: &str) -> String {
        format!(
            "{} of the controller {}",
            path.trim_end_matches('/'),
            self.controller.name
        )
    }

    /// A job by its text.
    fn job_path(text: &str) -> Result<JobPath, CiError> {
        JobPath::parse(text).map_err(|e| CiError::Invalid(e.to_string()))
    }
}
