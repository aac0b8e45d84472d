//! Calls and answers, counted.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    model::{Kind, Problem},
    ports::{Registration, Rpc, RpcError, RpcHandler, ServiceInfo},
    service::{Histogram, Metrics},
};

pub(super) struct MeasuredRpc {
    inner: Arc<dyn Rpc>,
    called: Histogram,
    answered: Histogram,
}

impl MeasuredRpc {
    pub(super) fn new(inner: Arc<dyn Rpc>, metrics: &Metrics) -> Self {
        Self {
            inner,
            called: metrics.histogram(
                "gennaker_rpc_client_duration_seconds",
                "calls of other services, by endpoint and outcome (ok, refused, failed, absent, timeout)",
            ),
            answered: metrics.histogram(
                "gennaker_rpc_server_duration_seconds",
                "answers to other services, by endpoint and outcome (ok, refused, failed)",
            ),
        }
    }
}

#[async_trait]
impl Rpc for MeasuredRpc {
    async fn call(
        &self,
        service: &str,
        endpoint: &str,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, RpcError> {
        let began = Instant::now();
        let outcome = self.inner.call(service, endpoint, request, timeout).await;
        let word = match &outcome {
            Ok(_) => "ok",
            Err(RpcError::Problem(problem)) => of(problem),
            Err(RpcError::TooLarge { .. }) => "refused",
            Err(RpcError::NoResponder { .. }) => "absent",
            Err(RpcError::Timeout { .. }) => "timeout",
            Err(RpcError::Unavailable { .. }) => "failed",
        };
        let name = format!("{service}.{endpoint}");
        let took_s = began.elapsed().as_secs_f64();
        self.called
            .observe(&[("endpoint", &name), ("outcome", word)], took_s);
        outcome
    }

    async fn serve(
        &self,
        service: &str,
        endpoint: &str,
        handler: Arc<dyn RpcHandler>,
    ) -> Result<Box<dyn Registration>, RpcError> {
        let measured = Measured {
            name: format!("{service}.{endpoint}"),
            handler,
            answered: self.answered.clone(),
        };
        self.inner
            .serve(service, endpoint, Arc::new(measured))
            .await
    }

    async fn discover(&self) -> Result<Vec<ServiceInfo>, RpcError> {
        self.inner.discover().await
    }
}

struct Measured {
    name: String,
    handler: Arc<dyn RpcHandler>,
    answered: Histogram,
}

#[async_trait]
impl RpcHandler for Measured {
    async fn handle(&self, request: Bytes) -> Result<Bytes, Problem> {
        let began = Instant::now();
        let outcome = self.handler.handle(request).await;
        let word = outcome.as_ref().map_or_else(of, |_| "ok");
        let took_s = began.elapsed().as_secs_f64();
        let labels = [("endpoint", self.name.as_str()), ("outcome", word)];
        self.answered.observe(&labels, took_s);
        outcome
    }
}

/// What the caller asked for cannot be, or the service could not do it.
const fn of(problem: &Problem) -> &'static str {
    match problem.kind {
        Kind::Unavailable | Kind::Timeout | Kind::Bug => "failed",
        _ => "refused",
    }
}
