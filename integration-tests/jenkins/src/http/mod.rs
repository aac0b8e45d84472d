//! The HTTP edge: connections, faults, access, and counters.

mod access;
mod faults;
mod routes;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};

pub use access::User;
pub use faults::{Fault, Rule};

use crate::state::State;
use access::{Caller, Sessions};
pub(crate) use routes::decoded;

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What was seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    pub calls: usize,
    /// Most calls that were under way at once.
    pub simultaneous_max: usize,
    pub notifications: usize,
}

/// What the edge shares between connections.
pub(crate) struct Shared {
    pub inner: Mutex<Inner>,
    pub base: String,
    pub under_way: AtomicUsize,
    pub simultaneous_max: AtomicUsize,
    /// Nobody listens, and connections that are open end.
    pub away: watch::Sender<bool>,
    /// Something may have to be told to receivers of notifications.
    pub happened: Notify,
}

pub(crate) struct Inner {
    pub state: State,
    pub sessions: Sessions,
    pub users: Vec<User>,
    pub csrf: bool,
    pub rules: Vec<Rule>,
    /// Getting ready until this moment of the double's clock.
    pub ready_ms: u64,
    pub stats: Stats,
    /// `METHOD /path?query` of the first calls.
    pub log: Vec<String>,
    /// Every call takes so long, in real milliseconds.
    pub latency_ms: u64,
}

/// So many calls are remembered.
const LOG_MAX: usize = 10_000;

impl Inner {
    pub(crate) fn new(options: &crate::Options) -> Self {
        Self {
            state: State::default(),
            sessions: Sessions::default(),
            users: options.users.clone(),
            csrf: options.csrf,
            rules: Vec::new(),
            ready_ms: 0,
            stats: Stats::default(),
            log: Vec::new(),
            latency_ms: options.latency_ms,
        }
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request whose body was read.
pub(crate) struct Ask {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: hyper::HeaderMap,
    pub body: Bytes,
}

pub(crate) type Reply = Response<Full<Bytes>>;

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
struct Closed;

/// Serves until the task is dropped. While it is away nobody listens: connections are refused.
pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
) -> std::io::Result<Infallible> {
    let address = listener.local_addr()?;
    let mut away = shared.away.subscribe();
    let mut free = Some(listener);
    loop {
        if *away.borrow_and_update() {
            drop(free.take());
            away.changed().await.map_err(std::io::Error::other)?;
            continue;
        }
        let listener = match free.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address).await?,
        };
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, peer)) = accepted {
                    tokio::spawn(connection(stream, peer, Arc::clone(&shared)));
                }
            }
            _ = away.changed() => {}
        }
        free = Some(listener);
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { exchange(&shared, request).await }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

async fn exchange(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Reply, Closed> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let ask = Ask {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.map_err(|_| Closed)?.to_bytes(),
    };
    if *shared.away.borrow() {
        return Err(Closed);
    }
    if ask.path.starts_with("/double/") {
        return Ok(routes::admin(shared, &ask));
    }
    let now = shared.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    shared.simultaneous_max.fetch_max(now, Ordering::SeqCst);
    let reply = answer(shared, ask).await;
    shared.under_way.fetch_sub(1, Ordering::SeqCst);
    reply
}

async fn answer(shared: &Arc<Shared>, ask: Ask) -> Result<Reply, Closed> {
    let line = format!("{} {}?{}", ask.method, ask.path, ask.query);
    let (fault, latency_ms) = {
        let mut inner = shared.lock();
        inner.stats.calls += 1;
        if inner.log.len() < LOG_MAX {
            inner.log.push(line.clone());
        }
        (faults::next(&mut inner.rules, &line), inner.latency_ms)
    };
    if latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
    }
    match fault {
        Some(Fault::DropRequest) => return Err(Closed),
        Some(Fault::Status { status }) => return Ok(page(status, "Oops! A problem occurred")),
        Some(Fault::DropReply | Fault::Slow { .. } | Fault::Late { .. }) | None => {}
    }
    let late_ms = match fault {
        Some(Fault::Late { ms }) => ms,
        _ => 0,
    };
    let mut reply = late(Arc::clone(shared), ask, late_ms).await?;
    shared.happened.notify_one();
    let headers = reply.headers_mut();
    let run = format!("run-{}", shared.lock().sessions.run);
    headers.insert("X-Jenkins", header::HeaderValue::from_static("2.528.1"));
    if let Ok(run) = run.parse() {
        headers.insert("X-Jenkins-Session", run);
    }
    match fault {
        Some(Fault::DropReply) => Err(Closed),
        Some(Fault::Slow { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(reply)
        }
        Some(Fault::DropRequest | Fault::Status { .. } | Fault::Late { .. }) | None => Ok(reply),
    }
}

/// Takes effect after a while, whoever waits for it.
async fn late(shared: Arc<Shared>, ask: Ask, ms: u64) -> Result<Reply, Closed> {
    let effect = async move {
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        admitted(&shared, &ask)
    };
    tokio::spawn(effect).await.map_err(|_| Closed)
}

/// Readiness, authentication and crumb come before every route.
fn admitted(shared: &Shared, ask: &Ask) -> Reply {
    let mut inner = shared.lock();
    if inner.state.now_ms < inner.ready_ms {
        return page(503, "Please wait while Jenkins is getting ready to work");
    }
    let Some(caller) = inner.sessions.caller(&inner.users, &ask.headers) else {
        return page(401, "Invalid password/token for user");
    };
    let crumb_needed = inner.csrf && ask.method == Method::POST && !caller.by_token;
    if crumb_needed && !inner.sessions.is_crumb(&caller, &ask.headers) {
        return page(403, "No valid crumb was included in the request");
    }
    routes::route(&mut inner, &shared.base, &caller, ask)
}

fn is_allowed(caller: &Caller) -> bool {
    !caller.read_only
}

/// An HTML page, as Jenkins answers whatever went wrong.
fn page(status: u16, text: &str) -> Reply {
    let body = format!(
        "<html><head><title>Error {status}</title></head>\n<body><h2>HTTP ERROR {status} {text}</h2></body></html>\n"
    );
    reply(status, "text/html;charset=utf-8", body)
}

fn reply(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    reply
}
