//! What is seen of a request from outside: its span, and its place among the figures.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use kork::trace::{self, Kind, TRACEPARENT, TraceContext, Work};

use super::dispatch::dispatch;
use crate::server::Gate;

/// The path of the route that serves a request, left with it by the router.
#[derive(Clone, Copy)]
pub(super) struct Served(pub(super) &'static str);

/// Serves one request, as a span under the caller's or at the head of a trace.
pub(crate) async fn observed(
    request: HttpRequest,
    payload: web::Payload,
    gate: web::Data<Gate>,
) -> HttpResponse {
    let began = tokio::time::Instant::now();
    let measures = gate.measures.clone();
    let mut work = begin(&request, &gate);
    let served = dispatch(request.clone(), payload, gate);
    let response = trace::within(Some(work.context()), served).await;
    // What no route serves has no name of its own: callers could make up any number of them.
    let route = request.extensions().get::<Served>().map(|served| served.0);
    let route = route.unwrap_or("none");
    let method = super::route::Verb::of(request.method().as_str()).map_or("other", |v| v.name());
    let status = response.status();
    measures.observe(
        &[
            ("method", method),
            ("route", route),
            ("status", status.as_str()),
        ],
        began.elapsed().as_secs_f64(),
    );
    work.about("http.request.method", || method.to_owned());
    work.about("http.route", || route.to_owned());
    work.about("http.response.status_code", || status.as_str().to_owned());
    let error = status.is_server_error().then(|| status.to_string());
    work.end(Some(format!("{method} {route}")), error);
    response
}

fn begin(request: &HttpRequest, gate: &Gate) -> Work {
    let given = request.headers().get(TRACEPARENT);
    let given = given.and_then(|value| TraceContext::parse(value.to_str().ok()?));
    if let Some(caller) = given {
        return Work::begin("gate.request", Kind::Server, caller);
    }
    let id = gate.ports.ids.uuid().replace('-', "");
    let id = u128::from_str_radix(&id, 16).unwrap_or(1);
    Work::root("gate.request", Kind::Server, trace::begin(id))
}
