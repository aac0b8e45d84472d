//! For tests: a server whose answers are a function, and a clock that moves only when somebody waits.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use kork::{ports::Clock, service::config::Secret};
use kork_model::{Context, Timestamp};
use serde_json::Value;

use crate::{
    BuildOutcome, BuildRequest, BuildServer, Controller, Listener,
    config::Kind,
    follow::{Permit, Progress, run},
};

/// A request as the function sees it.
pub(crate) struct Asked {
    /// `METHOD /path?query`.
    pub line: String,
    pub body: Value,
    pub token: String,
    /// The header `Idempotency-Key`.
    pub key: String,
}

/// Status and body. 0 closes the connection; a text after `base64:` is bytes; that of a redirect is where to.
pub(crate) type Answer = (u16, Value);

pub(crate) struct Double {
    pub address: String,
    task: tokio::task::JoinHandle<()>,
}

impl Double {
    pub(crate) async fn start(answer: impl Fn(Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = Arc::clone(&answer);
                let service = service_fn(move |request| exchange(Arc::clone(&answer), request));
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    http.serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Self { address, task }
    }

    pub(crate) fn controller(&self, kind: Kind) -> Controller {
        Controller {
            name: "lab".to_owned(),
            kind,
            address: self.address.clone(),
            token: Secret::new("hush"),
            ..Controller::default()
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
struct Closed;

async fn exchange(
    answer: Arc<impl Fn(Asked) -> Answer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Closed> {
    let line = format!("{} {}", request.method(), request.uri());
    let headers = request.headers();
    let token = headers
        .get("PRIVATE-TOKEN")
        .or_else(|| headers.get("authorization"));
    let token = token.map_or_else(String::new, |t| t.to_str().unwrap().to_owned());
    let key = headers.get("idempotency-key");
    let key = key.map_or_else(String::new, |key| key.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let (status, body) = answer(Asked {
        line,
        body,
        token,
        key,
    });
    let place = body.as_str().filter(|_| (300..400).contains(&status));
    let place = place.map(|place| place.parse().unwrap());
    let body = match body {
        Value::String(text) => match text.strip_prefix("base64:") {
            Some(text) => STANDARD.decode(text).unwrap(),
            None => text.into_bytes(),
        },
        Value::Null => Vec::new(),
        other => other.to_string().into_bytes(),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    if let Some(place) = place {
        response.headers_mut().insert("location", place);
    }
    *response.status_mut() = hyper::StatusCode::from_u16(status).map_err(|_| Closed)?;
    Ok::<_, Infallible>(response).map_err(|never| match never {})
}

/// Moves when somebody waits.
#[derive(Clone, Default)]
pub(crate) struct Waiting(Arc<AtomicU64>);

#[async_trait]
impl Clock for Waiting {
    fn now(&self) -> Timestamp {
        Timestamp(1_788_240_000_000 + self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, moment: Timestamp) {
        self.0
            .fetch_add(moment.ms_since(self.now()), Ordering::SeqCst);
    }
}

/// Calls the work back after so many pauses.
pub(crate) struct Watcher {
    pub clock: Waiting,
    pub pauses_max: u64,
    pub seen: Mutex<Vec<Context>>,
}

impl Listener for Watcher {
    async fn progress(&self, context: Context) {
        self.seen.lock().unwrap().push(context);
    }

    async fn may_start(&self, _progress: &Progress) -> Permit {
        Permit::Given
    }

    async fn is_shared(&self, _progress: &Progress) -> Result<bool, String> {
        Ok(false)
    }

    async fn pause(&self, time: Duration) -> bool {
        self.clock
            .sleep_until(self.clock.now().plus_ms(time.as_millis() as u64))
            .await;
        self.seen.lock().unwrap().push(Context::new());
        let pauses = self
            .seen
            .lock()
            .unwrap()
            .iter()
            .filter(|c| c.is_empty())
            .count() as u64;
        assert!(pauses < 1_000, "it waits without an end");
        pauses <= self.pauses_max
    }

    fn now_ms(&self) -> u64 {
        self.clock.now().millis()
    }
}

/// Follows a build; it is called back after so many pauses.
pub(crate) async fn follow(
    ci: &dyn BuildServer,
    clock: &Waiting,
    request: &BuildRequest,
    pauses_max: u64,
) -> BuildOutcome {
    let watcher = Watcher {
        clock: clock.clone(),
        pauses_max,
        seen: Mutex::default(),
    };
    run(ci, request, Progress::default(), &watcher).await
}
