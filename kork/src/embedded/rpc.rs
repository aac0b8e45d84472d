//! Calls inside one process: a map from endpoint to handlers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::store::lock;
use crate::{
    ports::{Endpoint, Registration, Rpc, RpcError, RpcHandler, ServiceInfo, limit},
    trace,
};

/// Requests of one endpoint that are worked on at the same moment; more are refused.
const IN_FLIGHT_MAX: usize = 4096;

#[derive(Default)]
pub(super) struct EmbeddedRpc {
    services: Arc<Mutex<Services>>,
}

/// (service, endpoint) -> who answers.
type Services = BTreeMap<(String, String), Responders>;

#[derive(Default)]
struct Responders {
    handlers: Vec<(u64, Arc<dyn RpcHandler>)>,
    next: usize,
    last_registration: u64,
    stats: Arc<Stats>,
}

#[derive(Default)]
struct Stats {
    requests: AtomicU64,
    errors: AtomicU64,
    busy_us: AtomicU64,
    in_flight: AtomicUsize,
}

struct Registered {
    services: Arc<Mutex<Services>>,
    key: (String, String),
    number: u64,
}

impl Registration for Registered {}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut services = lock(&self.services);
        if let Some(responders) = services.get_mut(&self.key) {
            responders
                .handlers
                .retain(|(number, _)| *number != self.number);
            if responders.handlers.is_empty() {
                services.remove(&self.key);
            }
        }
    }
}

/// Counts a request that is worked on, however it ends.
struct InFlight {
    stats: Arc<Stats>,
    started: Instant,
}

impl InFlight {
    fn enter(stats: Arc<Stats>) -> Option<Self> {
        stats.requests.fetch_add(1, Ordering::Relaxed);
        let entered = Self {
            started: Instant::now(),
            stats,
        };
        let before = entered.stats.in_flight.fetch_add(1, Ordering::Relaxed);
        (before < IN_FLIGHT_MAX).then_some(entered)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
        let busy_us = self.started.elapsed().as_micros() as u64;
        self.stats.busy_us.fetch_add(busy_us, Ordering::Relaxed);
    }
}

impl EmbeddedRpc {
    /// The next handler in turn.
    fn responder(
        &self,
        service: &str,
        endpoint: &str,
    ) -> Option<(Arc<dyn RpcHandler>, Arc<Stats>)> {
        let mut services = lock(&self.services);
        let responders = services.get_mut(&(service.to_owned(), endpoint.to_owned()))?;
        responders.next = (responders.next + 1) % responders.handlers.len();
        let (_, handler) = responders.handlers.get(responders.next)?;
        Some((Arc::clone(handler), Arc::clone(&responders.stats)))
    }
}

#[async_trait]
impl Rpc for EmbeddedRpc {
    async fn call(
        &self,
        service: &str,
        endpoint: &str,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, RpcError> {
        let name = format!("{service}.{endpoint}");
        if let Some((what, size, max)) =
            limit::oversized(limit::RPC_BYTES_MAX, &name, request.len())
        {
            return Err(RpcError::TooLarge {
                what: format!("the request {what}"),
                size,
                max,
            });
        }
        let Some((handler, stats)) = self.responder(service, endpoint) else {
            let (service, endpoint) = (service.to_owned(), endpoint.to_owned());
            return Err(RpcError::NoResponder { service, endpoint });
        };
        let Some(in_flight) = InFlight::enter(Arc::clone(&stats)) else {
            stats.errors.fetch_add(1, Ordering::Relaxed);
            let reason = format!("{name} works on {IN_FLIGHT_MAX} requests already, try again");
            return Err(RpcError::Unavailable { reason });
        };
        // A task of its own: a caller that gives up does not stop the work half-way, and a panic
        // stays where it is.
        let asked = trace::current();
        let endpoint_name = name.clone();
        let work = tokio::spawn(async move {
            let _in_flight = in_flight;
            crate::rpc::answered(&endpoint_name, asked, handler.handle(request)).await
        });
        let outcome = match tokio::time::timeout(timeout, work).await {
            Err(_) => Err(RpcError::Timeout {
                service: service.to_owned(),
                endpoint: endpoint.to_owned(),
                timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            }),
            Ok(Err(ended)) if ended.is_panic() => {
                Err(Box::new(crate::rpc::panicked(&name, ended)).into())
            }
            Ok(Err(_)) => Err(RpcError::Unavailable {
                reason: format!("{name} is shutting down"),
            }),
            Ok(Ok(answer)) => answer.map_err(|problem| RpcError::from(Box::new(problem))),
        };
        let outcome = outcome.and_then(|answer| {
            match limit::oversized(limit::RPC_BYTES_MAX, &name, answer.len()) {
                Some((what, size, max)) => Err(RpcError::TooLarge {
                    what: format!("the answer {what}"),
                    size,
                    max,
                }),
                None => Ok(answer),
            }
        });
        if outcome.is_err() {
            stats.errors.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    async fn serve(
        &self,
        service: &str,
        endpoint: &str,
        handler: Arc<dyn RpcHandler>,
    ) -> Result<Box<dyn Registration>, RpcError> {
        let key = (service.to_owned(), endpoint.to_owned());
        let number = {
            let mut services = lock(&self.services);
            let responders = services.entry(key.clone()).or_default();
            responders.last_registration += 1;
            responders
                .handlers
                .push((responders.last_registration, handler));
            responders.last_registration
        };
        Ok(Box::new(Registered {
            services: Arc::clone(&self.services),
            key,
            number,
        }))
    }

    async fn discover(&self) -> Result<Vec<ServiceInfo>, RpcError> {
        let mut found: Vec<ServiceInfo> = Vec::new();
        for ((service, endpoint), responders) in &*lock(&self.services) {
            if found.last().is_none_or(|info| info.name != *service) {
                found.push(ServiceInfo {
                    name: service.clone(),
                    instances: 0,
                    endpoints: Vec::new(),
                });
            }
            if let Some(info) = found.last_mut() {
                info.instances = info.instances.max(responders.handlers.len());
                info.endpoints.push(Endpoint {
                    name: endpoint.clone(),
                    requests: responders.stats.requests.load(Ordering::Relaxed),
                    errors: responders.stats.errors.load(Ordering::Relaxed),
                    busy_us: responders.stats.busy_us.load(Ordering::Relaxed),
                });
            }
        }
        Ok(found)
    }
}
