//! Calls between services: core request and reply, discovered by the services protocol.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use async_nats::{HeaderMap, Subscriber, client::RequestErrorKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use kork::{
    model::{Kind, Problem},
    ports::{
        Endpoint, Registration, Rpc, RpcError, RpcHandler, ServiceInfo,
        limit::{RPC_BYTES_MAX, oversized},
    },
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Nats,
    micro::{Figures, GROUP, Service},
    names,
};

/// Requests of one endpoint that a process works on at the same moment; more are refused.
const IN_FLIGHT_MAX: usize = 4096;
/// Headers of an answer that is an error, by the services protocol.
const ERROR: &str = "Nats-Service-Error";
const ERROR_CODE: &str = "Nats-Service-Error-Code";
/// Services that were asked for their figures have answered when nothing came for this long.
const QUIET: Duration = Duration::from_millis(150);
/// Longest time that figures are waited for.
const DISCOVERY_MAX: Duration = Duration::from_secs(2);

pub(crate) struct NatsRpc {
    nats: Nats,
    services: Arc<Mutex<HashMap<String, Weak<Served>>>>,
}

/// A service of this process, while one of its endpoints is served.
struct Served {
    service: Arc<Service>,
    answering: tokio::task::AbortHandle,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

impl NatsRpc {
    pub(super) fn new(nats: Nats) -> Self {
        Self {
            nats,
            services: Arc::default(),
        }
    }

    fn subject(&self, service: &str, endpoint: &str) -> String {
        let (service, endpoint) = (names::word(service), names::subject(endpoint));
        format!("{}{service}.{endpoint}", self.nats.subjects("rpc"))
    }

    fn served(&self, name: &str) -> Arc<Served> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = services.get(name).and_then(Weak::upgrade) {
            return served;
        }
        let id = self.nats.client.new_inbox();
        let id = id.rsplit('.').next().unwrap_or(&id).to_owned();
        let service = Arc::new(Service::new(name, id, self.nats.clock.now()));
        let answering = tokio::spawn(Arc::clone(&service).answer(self.nats.client.clone()));
        let served = Arc::new(Served {
            service,
            answering: answering.abort_handle(),
        });
        services.insert(name.to_owned(), Arc::downgrade(&served));
        served
    }
}

/// Serving one endpoint. The subscription ends with it, in the moment in which it is dropped.
struct Registered {
    served: Arc<Served>,
    endpoint: String,
    requests: Arc<Mutex<Option<Subscriber>>>,
}

impl Registration for Registered {}

impl Drop for Registered {
    fn drop(&mut self) {
        self.served.service.remove(&self.endpoint);
        drop(
            self.requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

#[async_trait]
impl Rpc for NatsRpc {
    async fn call(
        &self,
        service: &str,
        endpoint: &str,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, RpcError> {
        let name = format!("{service}.{endpoint}");
        too_large("the request", &name, request.len())?;
        let ask = async_nats::Request::new()
            .payload(request)
            .timeout(Some(timeout));
        let sent = self
            .nats
            .client
            .send_request(self.subject(service, endpoint), ask);
        let answer = sent.await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => RpcError::NoResponder {
                service: service.to_owned(),
                endpoint: endpoint.to_owned(),
            },
            RequestErrorKind::TimedOut => RpcError::Timeout {
                service: service.to_owned(),
                endpoint: endpoint.to_owned(),
                timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            },
            _ => RpcError::Unavailable {
                reason: kork::problem::chain(&error),
            },
        })?;
        let code = answer.headers.as_ref().and_then(|h| h.get(ERROR_CODE));
        match code.map(async_nats::HeaderValue::as_str) {
            None => Ok(answer.payload),
            Some("413") => Err(RpcError::TooLarge {
                what: format!("the answer of {name}"),
                size: String::from_utf8_lossy(&answer.payload)
                    .parse()
                    .unwrap_or(0),
                max: RPC_BYTES_MAX,
            }),
            Some("503") => Err(RpcError::Unavailable {
                reason: String::from_utf8_lossy(&answer.payload).into_owned(),
            }),
            Some(_) => Err(RpcError::Problem(Box::new(problem(&name, &answer.payload)))),
        }
    }

    async fn serve(
        &self,
        service: &str,
        endpoint: &str,
        handler: Arc<dyn RpcHandler>,
    ) -> Result<Box<dyn Registration>, RpcError> {
        let unavailable = |reason: String| RpcError::Unavailable { reason };
        let subject = self.subject(service, endpoint);
        let client = &self.nats.client;
        let subscribed = client.queue_subscribe(subject.clone(), GROUP.to_owned());
        let requests = subscribed.await.map_err(|e| unavailable(e.to_string()))?;
        client
            .flush()
            .await
            .map_err(|e| unavailable(e.to_string()))?;
        let served = self.served(service);
        let figures = Arc::new(Figures::default());
        served.service.add(endpoint, &subject, Arc::clone(&figures));
        let requests = Arc::new(Mutex::new(Some(requests)));
        let worker = Worker {
            name: format!("{service}.{endpoint}"),
            nats: self.nats.clone(),
            handler,
            figures,
        };
        tokio::spawn(worker.run(Arc::clone(&requests)));
        Ok(Box::new(Registered {
            served,
            endpoint: endpoint.to_owned(),
            requests,
        }))
    }

    async fn discover(&self) -> Result<Vec<ServiceInfo>, RpcError> {
        let unavailable = |reason: String| RpcError::Unavailable { reason };
        let client = &self.nats.client;
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await;
        let mut answers = answers.map_err(|e| unavailable(e.to_string()))?;
        let asked = client.publish_with_reply("$SRV.STATS", inbox, Bytes::new());
        asked.await.map_err(|e| unavailable(e.to_string()))?;
        let until = Instant::now() + DISCOVERY_MAX;
        let mut found = BTreeMap::new();
        while let Ok(Some(answer)) = tokio::time::timeout(QUIET, answers.next()).await {
            // Nobody is there.
            if answer.status.is_some() || Instant::now() > until {
                break;
            }
            if let Ok(stats) = serde_json::from_slice(&answer.payload) {
                add(&mut found, &self.nats.subjects("rpc"), &stats);
            }
        }
        Ok(found.into_values().collect())
    }
}

/// Adds what one instance says of itself, unless it belongs to another suite.
fn add(found: &mut BTreeMap<String, ServiceInfo>, base: &str, stats: &Value) {
    let Some(name) = stats["name"].as_str() else {
        return;
    };
    let endpoints: Vec<&Value> = stats["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let ours = |e: &&Value| e["subject"].as_str().is_some_and(|s| s.starts_with(base));
    if !endpoints.iter().any(ours) {
        return;
    }
    let info = found.entry(name.to_owned()).or_insert_with(|| ServiceInfo {
        name: name.to_owned(),
        instances: 0,
        endpoints: Vec::new(),
    });
    info.instances += 1;
    for endpoint in endpoints {
        let number = |key: &str| endpoint[key].as_u64().unwrap_or(0);
        let name = endpoint["name"].as_str().unwrap_or_default();
        let known = info.endpoints.iter().position(|e| e.name == name);
        let at = known.unwrap_or_else(|| {
            info.endpoints.push(Endpoint {
                name: name.to_owned(),
                requests: 0,
                errors: 0,
                busy_us: 0,
            });
            info.endpoints.len() - 1
        });
        let total = &mut info.endpoints[at];
        total.requests += number("num_requests");
        total.errors += number("num_errors");
        total.busy_us += number("processing_time") / 1_000;
    }
}

fn too_large(what: &str, name: &str, bytes: usize) -> Result<(), RpcError> {
    match oversized(RPC_BYTES_MAX, name, bytes) {
        Some((of, size, max)) => Err(RpcError::TooLarge {
            what: format!("{what} {of}"),
            size,
            max,
        }),
        None => Ok(()),
    }
}

fn problem(name: &str, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|error| {
        let text = format!("{name} answers with an error that cannot be read");
        Problem::new("KORK-0003", Kind::Bug, text).because(&error)
    })
}

/// Answers the requests of one endpoint.
#[derive(Clone)]
struct Worker {
    name: String,
    nats: Nats,
    handler: Arc<dyn RpcHandler>,
    figures: Arc<Figures>,
}

impl Worker {
    async fn run(self, requests: Arc<Mutex<Option<Subscriber>>>) {
        loop {
            let next = std::future::poll_fn(|context| {
                let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
                match requests.as_mut() {
                    Some(requests) => Pin::new(requests).poll_next(context),
                    None => Poll::Ready(None),
                }
            });
            let Some(request) = next.await else { return };
            let Some(reply) = request.reply.clone() else {
                continue;
            };
            let worker = self.clone();
            tokio::spawn(async move {
                let (headers, body) = worker.answer(request.payload).await;
                let sent = worker
                    .nats
                    .client
                    .publish_with_headers(reply, headers, body)
                    .await;
                if let Err(error) = sent {
                    tracing::warn!(endpoint = worker.name, %error, "an answer could not be sent");
                }
            });
        }
    }

    async fn answer(&self, request: Bytes) -> (HeaderMap, Bytes) {
        let figures = &self.figures;
        figures.requests.fetch_add(1, Ordering::Relaxed);
        if figures.in_flight.fetch_add(1, Ordering::Relaxed) >= IN_FLIGHT_MAX {
            figures.in_flight.fetch_sub(1, Ordering::Relaxed);
            let text = format!(
                "{} works on {IN_FLIGHT_MAX} requests already, try again",
                self.name
            );
            return self.failure("503", "busy", Bytes::from(text));
        }
        let began = Instant::now();
        let handler = Arc::clone(&self.handler);
        // A panic stays where it is.
        let outcome = tokio::spawn(async move { handler.handle(request).await }).await;
        figures.in_flight.fetch_sub(1, Ordering::Relaxed);
        let busy_us = began.elapsed().as_micros() as u64;
        figures.busy_us.fetch_add(busy_us, Ordering::Relaxed);
        let problem = match outcome {
            Ok(Ok(answer)) if answer.len() <= RPC_BYTES_MAX => return (HeaderMap::new(), answer),
            Ok(Ok(answer)) => {
                let size = answer.len().to_string();
                return self.failure("413", "the answer is too large", Bytes::from(size));
            }
            Ok(Err(problem)) => problem,
            Err(ended) => kork::rpc::panicked(&self.name, ended),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        self.failure("500", &problem.code, Bytes::from(body))
    }

    fn failure(&self, code: &str, reason: &str, body: Bytes) -> (HeaderMap, Bytes) {
        self.figures.failed(reason);
        let mut headers = HeaderMap::new();
        headers.insert(ERROR_CODE, code);
        headers.insert(ERROR, reason);
        (headers, body)
    }
}
