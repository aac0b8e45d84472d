//! The calls to one CI server: at most so many at once, with time-outs, bounded answers and a breaker.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kork::ports::Clock;
use kork_model::Timestamp;
use reqwest::{Method, RequestBuilder, header::HeaderMap, redirect::Policy};
use serde_json::Value;
use tokio::sync::Semaphore;
use url::Url;

use crate::{CiError, Controller, breaker::Breaker, server::About};

/// Largest JSON answer.
pub(crate) const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most of the text of an error page that is kept.
const SAID_CHARS_MAX: usize = 300;
/// Redirects that a download follows; everything else follows none.
pub(crate) const REDIRECTS_MAX: usize = 5;

/// An answer whose body was read.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// There was more than what was read.
    pub cut: bool,
}

/// What to do with an answer that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Refuse(usize),
    Cut(usize),
    /// The last `keep` bytes of the first `read_max`.
    Tail {
        keep: usize,
        read_max: usize,
    },
}

pub(crate) struct Calls {
    still: reqwest::Client,
    following: reqwest::Client,
    places: Semaphore,
    breaker: Mutex<Breaker>,
    clock: Arc<dyn Clock>,
    read_timeout: Duration,
    trigger_timeout: Duration,
}

impl Calls {
    pub(crate) fn new(controller: &Controller, clock: Arc<dyn Clock>) -> Result<Self, CiError> {
        let client = |policy: Policy| {
            let made = kork_http::client()
                .connect_timeout(Duration::from_millis(controller.connect_timeout_ms))
                .redirect(policy)
                .user_agent(concat!("gennaker/", env!("CARGO_PKG_VERSION")))
                .build();
            made.map_err(|error| {
                CiError::Invalid(format!(
                    "no client can be made for {}: {error}",
                    controller.name
                ))
            })
        };
        Ok(Self {
            still: client(Policy::none())?,
            following: client(Policy::limited(REDIRECTS_MAX))?,
            places: Semaphore::new(controller.calls_max),
            breaker: Mutex::new(Breaker::new(controller.trigger_timeout_ms)),
            clock,
            read_timeout: Duration::from_millis(controller.read_timeout_ms),
            trigger_timeout: Duration::from_millis(controller.trigger_timeout_ms),
        })
    }

    /// Now, and the only way to wait.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) async fn rest(&self, ms: u64) {
        let until = self.clock.now().plus_ms(ms);
        self.clock.sleep_until(until).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What a client that makes these calls says of itself.
    pub(crate) fn about<'a>(
        &'a self,
        sender: &'static str,
        controller: &'a Controller,
    ) -> About<'a> {
        About {
            sender,
            name: &controller.name,
            clock: self.clock(),
            breaker: self.locked().state(),
        }
    }

    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        self.still.get(url).timeout(self.read_timeout)
    }

    /// A download that may be answered with an address elsewhere.
    pub(crate) fn download(&self, url: Url) -> RequestBuilder {
        self.following.get(url).timeout(self.read_timeout)
    }

    pub(crate) fn post(&self, url: Url) -> RequestBuilder {
        self.change(Method::POST, url)
    }

    /// A call that changes something.
    pub(crate) fn change(&self, method: Method, url: Url) -> RequestBuilder {
        self.still.request(method, url).timeout(self.read_timeout)
    }

    /// A call that starts something.
    pub(crate) fn trigger(&self, url: Url) -> RequestBuilder {
        self.post(url).timeout(self.trigger_timeout)
    }

    /// How long a call that starts something may take.
    pub(crate) const fn trigger_timeout(&self) -> Duration {
        self.trigger_timeout
    }

    /// Sends a request. `what` names it in errors.
    pub(crate) async fn send(
        &self,
        what: &str,
        request: RequestBuilder,
        bound: Bound,
    ) -> Result<Reply, CiError> {
        self.send_expecting(what, request, bound, &[]).await
    }

    /// Sends a request that the server may answer with these statuses without being broken.
    pub(crate) async fn send_expecting(
        &self,
        what: &str,
        request: RequestBuilder,
        bound: Bound,
        expected: &[u16],
    ) -> Result<Reply, CiError> {
        let place = self.places.acquire().await;
        let place = place.map_err(|_| CiError::Invalid("the client was closed".to_owned()))?;
        self.locked()
            .admit(self.now().millis())
            .map_err(|wait_ms| CiError::Unavailable {
                what: what.to_owned(),
                said: format!(
                    "the server failed several times in a row and is left alone for {wait_ms} ms"
                ),
                source: None,
            })?;
        let reply = exchange(what, request, bound).await;
        drop(place);
        let failed = match &reply {
            Ok(reply) => reply.status >= 500 && !expected.contains(&reply.status),
            Err(error) => error.is_passing(),
        };
        self.locked().record(self.now().millis(), !failed);
        reply
    }

    fn locked(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn exchange(what: &str, request: RequestBuilder, bound: Bound) -> Result<Reply, CiError> {
    let failed = |source: reqwest::Error| {
        let (what, said) = (what.to_owned(), chain(&source));
        let source = Some(source);
        if source.as_ref().is_some_and(reqwest::Error::is_connect) {
            CiError::Unavailable { what, said, source }
        } else {
            CiError::Unanswered { what, said, source }
        }
    };
    let mut response = request.send().await.map_err(failed)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (max, keep) = match bound {
        Bound::Refuse(max) | Bound::Cut(max) => (max, max),
        Bound::Tail { keep, read_max } => (read_max, keep),
    };
    let (mut body, mut read) = (Vec::new(), 0);
    let mut cut = false;
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        let room = max - read;
        let taken = &chunk[..chunk.len().min(room)];
        read += taken.len();
        body.extend_from_slice(taken);
        // Now and then: what is before the end is not kept.
        if body.len() > keep.saturating_mul(2) {
            body.drain(..body.len() - keep);
        }
        if chunk.len() > room {
            cut = true;
            break;
        }
    }
    body.drain(..body.len().saturating_sub(keep));
    if cut && matches!(bound, Bound::Refuse(_)) {
        return Err(CiError::TooLarge {
            what: what.to_owned(),
            max,
        });
    }
    Ok(Reply {
        status,
        headers,
        body,
        cut,
    })
}

/// An error with everything that caused it, without the address: it may hold parameters.
fn chain(error: &reqwest::Error) -> String {
    let mut text = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "it took too long".to_owned(),
        (false, true) => "no connection".to_owned(),
        (false, false) => "the exchange broke off".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

impl Reply {
    /// The answer when it is a good one, else the error that its status stands for.
    pub(crate) fn good(self, what: &str) -> Result<Self, CiError> {
        if (200..300).contains(&self.status) {
            Ok(self)
        } else {
            Err(self.error(what))
        }
    }

    /// The JSON of a good answer.
    pub(crate) fn json(self, what: &str) -> Result<Value, CiError> {
        let body = self.good(what)?.body;
        serde_json::from_slice(&body).map_err(|error| CiError::Malformed {
            what: what.to_owned(),
            reason: error.to_string(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub(crate) fn error(&self, what: &str) -> CiError {
        let (what, said, status) = (what.to_owned(), said(&self.body), self.status);
        match status {
            404 => CiError::NotFound { what },
            401 | 403 => CiError::Denied { what, status, said },
            409 => CiError::NotBuildable { what, said },
            429 | 500.. => CiError::Unavailable {
                what,
                said: format!("status {status}: {said}"),
                source: None,
            },
            _ => CiError::Rejected { what, status, said },
        }
    }
}

/// The first words of an answer that is a page for people.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(16 * 1024)]);
    let mut words = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                words.push('\n');
            }
            _ if in_tag => {}
            c => words.push(c),
        }
    }
    let mut lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("nothing");
    // The title of Jenkins' own pages says less than what follows it.
    let line = if first.starts_with("Error ") {
        lines.next().unwrap_or(first)
    } else {
        first
    };
    line.chars().take(SAID_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_is_cut_down_to_its_first_words() {
        let page = b"<html><head><title>Error 403 No valid crumb</title></head><body><h2>HTTP ERROR 403 No valid crumb</h2>";
        assert_eq!(said(page), "HTTP ERROR 403 No valid crumb");
        assert_eq!(said(b""), "nothing");
        assert_eq!(said(b"{\"message\":\"no\"}"), "{\"message\":\"no\"}");
        assert_eq!(said("x".repeat(1_000_000).as_bytes()).len(), SAID_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(said(&bytes).chars().count() <= SAID_CHARS_MAX);
        }
    }
}
