//! The one entry for every request: guards, routing, negotiation, the body, the handler, and what
//! every answer carries.

use std::{panic::AssertUnwindSafe, sync::Arc};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
    web,
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use kork::trace::{self, TraceContext};
use kork_model::{Kind, Problem};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    answer::Outcome,
    call::Call,
    connection::Connection,
    guard::{self, Source},
    negotiate,
    observed::Served,
    path,
    query::Query,
    refusal::Refusal,
    route::{BodyRule, Found, Gives, PathValues, Route, Verb},
};
use crate::{limit, server::Gate};

/// The header that names a request, in requests and in answers.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-spinnaker-request-id");

/// Serves one request.
pub(crate) async fn dispatch(
    request: HttpRequest,
    payload: web::Payload,
    gate: web::Data<Gate>,
) -> HttpResponse {
    let gate = gate.into_inner();
    let trace_id = trace_id(&request, &gate);
    let source = guard::source(request.headers(), &gate.config);
    let preflight = guard::is_preflight(request.method(), request.headers());
    let outcome = if preflight {
        answer_preflight(&request, &gate, &source)
    } else {
        serve(&request, payload, &gate, &source)
            .await
            .map(super::answer::Answer::response)
    };
    let mut response = outcome.unwrap_or_else(|refusal| {
        log(&request, &refusal, &trace_id);
        refusal.response(request.path(), &trace_id, gate.ports.clock.now())
    });
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&trace_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    guard::allow(headers, &source, preflight);
    response
}

fn answer_preflight(
    request: &HttpRequest,
    gate: &Gate,
    source: &Source,
) -> Result<HttpResponse, Refusal> {
    guard::check_host(request.headers(), &gate.config)?;
    // A preflight asks on behalf of the request that follows, so the strict rule is applied.
    guard::check_source(&Method::POST, source)?;
    Ok(HttpResponse::Ok().finish())
}

async fn serve(
    request: &HttpRequest,
    payload: web::Payload,
    gate: &Arc<Gate>,
    source: &Source,
) -> Outcome {
    guard::check_host(request.headers(), &gate.config)?;
    guard::check_source(request.method(), source)?;
    let (route, values) = route(request, gate)?;
    request.extensions_mut().insert(Served(route.path));
    let query = Query::parse(request.uri().query().unwrap_or_default())?;
    check_accept(request, route)?;
    let most = gate.config.limits.body_bytes_max;
    let is_delivery = matches!(route.body, BodyRule::Raw(_));
    let more = is_delivery.then_some(&gate.large_deliveries);
    // The turn of a large one is over when it is answered.
    let (body, left_out, _turn) = match read_body(request, payload, most, more).await? {
        Read::Whole(body, turn) => (body, None, turn),
        // Whoever reads such bodies also tells of those that are not read.
        Read::TooLarge(bytes) if is_delivery => (Bytes::new(), Some(bytes), None),
        Read::TooLarge(bytes) => {
            let detail = format!("the body has {bytes} bytes or more, at most {most} are allowed");
            return Err(Problem::new("GATE-0007", Kind::TooLarge, detail).into());
        }
    };
    check_content(request, route, &body)?;
    let call = Call {
        gate: Arc::clone(gate),
        path: values,
        query,
        headers: request.headers().clone(),
        body,
        left_out,
        connection: Connection::of(request),
    };
    AssertUnwindSafe((route.run)(call))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            let detail = format!("gate made a mistake in {}", route.id);
            Err(Problem::new("GATE-0018", Kind::Bug, detail).into())
        })
}

fn route(request: &HttpRequest, gate: &Gate) -> Result<(&'static Route, PathValues), Refusal> {
    let raw = request.uri().path();
    if raw.len() > limit::PATH_BYTES_MAX {
        return Err(Refusal::uri_too_long(
            "path",
            raw.len(),
            limit::PATH_BYTES_MAX,
        ));
    }
    let parts = path::parts(raw).map_err(|wrong| {
        Refusal::invalid("GATE-0009", format!("the path cannot be read: {wrong}"))
    })?;
    let method = request.method().as_str();
    match gate.router.find(Verb::of(method), &parts) {
        Found::Route(route, values) => Ok((route, values)),
        Found::Methods(verbs) => {
            let allow = verbs
                .iter()
                .map(|verb| verb.name())
                .collect::<Vec<_>>()
                .join(", ");
            Err(Refusal::method(method, raw, allow))
        }
        Found::Nothing => Err(Refusal::unknown_path(raw)),
    }
}

fn check_accept(request: &HttpRequest, route: &Route) -> Result<(), Refusal> {
    let accept = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let offered: &[&str] = match route.gives {
        Gives::Nothing | Gives::Redirect => return Ok(()),
        Gives::Json(_) | Gives::Health => &["application/json"],
        Gives::Media(media) => media,
    };
    if offered
        .iter()
        .any(|media| negotiate::accepts(accept, media))
    {
        return Ok(());
    }
    Err(Refusal::not_acceptable(
        accept.unwrap_or_default(),
        &offered.join(" or "),
    ))
}

fn check_content(request: &HttpRequest, route: &Route, body: &Bytes) -> Result<(), Refusal> {
    let text_too = match route.body {
        BodyRule::Ignored | BodyRule::Raw(_) => return Ok(()),
        BodyRule::Optional(_) if body.is_empty() => return Ok(()),
        BodyRule::Optional(_) | BodyRule::Required(_) => false,
        BodyRule::JsonOrText(_) => true,
    };
    let Some(sent) = request.headers().get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let sent = sent.to_str().unwrap_or("unreadable");
    if negotiate::is_json(sent) || (text_too && negotiate::media(sent) == "text/plain") {
        return Ok(());
    }
    let wanted = if text_too {
        "application/json or text/plain"
    } else {
        "application/json"
    };
    Err(Refusal::media_type(sent, wanted))
}

/// What came of reading a body.
enum Read<'a> {
    /// With its turn, when it is larger than bodies may be as a rule.
    Whole(Bytes, Option<SemaphorePermit<'a>>),
    /// It has so many bytes or more, and was not read on.
    TooLarge(usize),
}

/// Reads a body of at most so many bytes; of a delivery more, a few of which are read at the same time.
async fn read_body<'a>(
    request: &HttpRequest,
    mut payload: web::Payload,
    usual: usize,
    more: Option<&'a Semaphore>,
) -> Result<Read<'a>, Refusal> {
    let most = more.map_or(usual, |_| limit::DELIVERY_BYTES_MAX.max(usual));
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    if let Some(bytes) = announced.filter(|bytes| *bytes > most) {
        return Ok(Read::TooLarge(bytes));
    }
    let read = async {
        let mut body = BytesMut::new();
        let mut turn = None;
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|e| {
                let detail = "the body did not arrive whole";
                Refusal::from(Problem::new("GATE-0005", Kind::Invalid, detail).because(&e))
            })?;
            let bytes = body.len() + chunk.len();
            if bytes > most {
                return Ok(Read::TooLarge(bytes));
            }
            if let (None, Some(turns)) = (&turn, more.filter(|_| bytes > usual)) {
                turn = turns.acquire().await.ok();
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Read::Whole(body.freeze(), turn))
    };
    tokio::time::timeout(limit::BODY_WAIT, read)
        .await
        .unwrap_or_else(|_| Err(Refusal::too_slow(limit::BODY_WAIT.as_secs())))
}

/// The caller's id of the request when it is harmless, else a new one.
fn trace_id(request: &HttpRequest, gate: &Gate) -> String {
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match given.filter(|id| is_plain_id(id)) {
        Some(id) => id.to_owned(),
        None => trace::current().map_or_else(|| gate.ports.ids.uuid(), as_uuid),
    }
}

/// The id of a trace as requests are named, so that an answer leads to its trace.
fn as_uuid(context: TraceContext) -> String {
    let id = context.trace_id_hex();
    [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-")
}

/// True for ids that can go into headers, logs and subjects as they are.
pub(crate) fn is_plain_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= limit::REQUEST_ID_BYTES_MAX
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

fn log(request: &HttpRequest, refusal: &Refusal, trace_id: &str) {
    let (method, path, problem) = (request.method(), request.path(), refusal.problem());
    if refusal.status() >= 500 {
        tracing::error!(%method, path, trace_id, %problem, "a request failed");
    } else {
        tracing::debug!(%method, path, trace_id, %problem, "a request was refused");
    }
}
