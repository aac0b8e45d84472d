//! One request from a client to an instance and back.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::{Body, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{
    HEAD_BYTES_MAX, HEAD_TIMEOUT, HEADERS_MAX,
    body::{self, AnswerBody, Guarded, OutgoingBody},
    routes::{InFlight, Routes},
};

/// Pause after the system refused a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Instances that one request is tried on.
const TRIES_MAX: usize = 3;
/// Seconds after which a client may try again when no instance is ready.
const RETRY_AFTER_S: u64 = 1;
/// Headers that speak about one connection only.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Takes connections until `stop`; connections that are open go on.
pub(super) async fn accept(
    routes: Arc<Routes>,
    name: String,
    socket: TcpListener,
    stop: CancellationToken,
) {
    let limit = routes.connections();
    loop {
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = name, %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (routes, name) = (Arc::clone(&routes), name.clone());
        tokio::spawn(async move {
            connection(routes, name, stream, peer).await;
            drop(permit);
        });
    }
}

async fn connection(routes: Arc<Routes>, name: String, stream: TcpStream, peer: SocketAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "a client left at once");
        return;
    }
    let name = Arc::new(name);
    let service = service_fn(move |request| {
        let (routes, name) = (Arc::clone(&routes), Arc::clone(&name));
        async move { Ok::<_, Infallible>(answer(&routes, &name, peer, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a connection of a client ended early");
    }
}

/// A request that can be sent to more than one instance.
struct Passed {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<OutgoingBody>,
    /// It has no body and repeating it changes nothing.
    repeatable: bool,
    upgrade: Option<(HeaderValue, hyper::upgrade::OnUpgrade)>,
}

async fn answer(
    routes: &Routes,
    name: &str,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let mut passed = take_apart(request, peer);
    let mut avoid = None;
    for attempt in 1..=TRIES_MAX {
        let Some(mut in_flight) = routes.choose(name, avoid) else {
            break;
        };
        let Some(outgoing) = passed.next(in_flight.target.address) else {
            break;
        };
        let cut = in_flight.target.cut.clone();
        let sent = tokio::select! {
            sent = in_flight.client.request(outgoing) => sent,
            () = cut.cancelled() => {
                in_flight.was_cut();
                in_flight.answered(StatusCode::GATEWAY_TIMEOUT.as_u16());
                return refusal(StatusCode::GATEWAY_TIMEOUT, "CLOUDDRIVER-0015", "the instance left before it answered");
            }
        };
        match sent {
            Ok(response) => {
                in_flight.answered(response.status().as_u16());
                return pass_back(response, in_flight, passed.upgrade.take());
            }
            Err(error) if passed.repeatable && attempt < TRIES_MAX => {
                tracing::debug!(instance = %in_flight.target.address, %error, "tried on another instance");
                // A refused connection is the instance's; a broken one may be an old connection's,
                // and then the same instance answers on a new one.
                if error.is_connect() {
                    avoid = Some(in_flight.target.address);
                }
                in_flight.moved_on();
            }
            Err(error) => {
                let text = format!("the instance did not answer: {}", causes(&error));
                return refusal(StatusCode::BAD_GATEWAY, "CLOUDDRIVER-0014", &text);
            }
        }
    }
    refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "CLOUDDRIVER-0013",
        "no healthy instance takes requests",
    )
}

fn take_apart(mut request: Request<Incoming>, peer: SocketAddr) -> Passed {
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let upgrade = upgrade.map(|to| (to, hyper::upgrade::on(&mut request)));
    let (head, body) = request.into_parts();
    let mut headers = head.headers;
    for name in connection_names(&headers).into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
    let forwarded = match headers.get("x-forwarded-for").and_then(|v| v.to_str().ok()) {
        Some(before) => format!("{before}, {}", peer.ip()),
        None => peer.ip().to_string(),
    };
    if let Ok(value) = HeaderValue::from_str(&forwarded) {
        headers.insert("x-forwarded-for", value);
    }
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.entry("x-forwarded-host").or_insert(host);
    }
    headers
        .entry("x-forwarded-proto")
        .or_insert(HeaderValue::from_static("http"));
    let ended = body.is_end_stream();
    Passed {
        repeatable: ended && upgrade.is_none() && head.method.is_idempotent(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string),
        method: head.method,
        headers,
        body: Some(if ended {
            body::empty()
        } else {
            body::passed_on(body)
        }),
        upgrade,
    }
}

/// Headers that the `Connection` header names.
fn connection_names(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).into_iter();
    let names = values
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    names.filter_map(|n| n.trim().parse().ok()).collect()
}

impl Passed {
    /// The request for this instance; `None` when its body has gone already.
    fn next(&mut self, to: SocketAddr) -> Option<Request<OutgoingBody>> {
        let body = match self.body.take() {
            Some(body) => body,
            None if self.repeatable => body::empty(),
            None => return None,
        };
        let uri: Uri = format!("http://{to}{}", self.path).parse().ok()?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
        if let Some((protocol, _)) = &self.upgrade {
            request
                .headers_mut()
                .insert(header::UPGRADE, protocol.clone());
            request
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        Some(request)
    }
}

fn pass_back(
    mut response: Response<Incoming>,
    in_flight: InFlight,
    upgrade: Option<(HeaderValue, hyper::upgrade::OnUpgrade)>,
) -> Response<AnswerBody> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some((_, client_side)) = upgrade
    {
        let instance_side = hyper::upgrade::on(&mut response);
        tokio::spawn(join(client_side, instance_side, in_flight));
        return response.map(|_| body::text(String::new()));
    }
    for name in connection_names(response.headers())
        .into_iter()
        .chain(HOP_BY_HOP)
    {
        response.headers_mut().remove(name);
    }
    response.map(|body| {
        if body.is_end_stream() {
            drop(in_flight);
            return body.map_err(body::BodyError::Instance).boxed_unsync();
        }
        Guarded::body(body, in_flight)
    })
}

/// Carries bytes both ways after an upgrade, until an end closes or the drain ends.
async fn join(
    client: hyper::upgrade::OnUpgrade,
    instance: hyper::upgrade::OnUpgrade,
    in_flight: InFlight,
) {
    let carried = async {
        let (client, instance) =
            tokio::try_join!(client, instance).map_err(std::io::Error::other)?;
        tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(instance)).await
    };
    tokio::select! {
        carried = carried => {
            if let Err(error) = carried {
                tracing::debug!(%error, "an upgraded connection ended early");
            }
        }
        () = in_flight.target.cut.cancelled() => in_flight.was_cut(),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn refusal(status: StatusCode, code: &str, detail: &str) -> Response<AnswerBody> {
    let problem = json!({
        "type": format!("/problems/{code}"), "title": status.canonical_reason(),
        "status": status.as_u16(), "detail": detail, "code": code,
    });
    let mut response = Response::new(body::text(problem.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}
