//! Request and reply between services.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::Problem;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// No instance of that service is there.
    #[error("nobody answers {service}.{endpoint}")]
    NoResponder { service: String, endpoint: String },
    /// It did not answer in time; it may have done the work.
    #[error("{service}.{endpoint} did not answer within {timeout_ms} ms")]
    Timeout {
        service: String,
        endpoint: String,
        timeout_ms: u64,
    },
    /// It answered with an error.
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    #[error("{what} has {size} bytes, at most {max} are allowed")]
    TooLarge {
        what: String,
        size: usize,
        max: usize,
    },
    #[error("the bus is not available: {reason}")]
    Unavailable { reason: String },
}

/// Answers the requests of one endpoint.
#[async_trait]
pub trait RpcHandler: Send + Sync {
    async fn handle(&self, request: Bytes) -> Result<Bytes, Problem>;
}

/// One endpoint of a service, with what it did so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    pub requests: u64,
    pub errors: u64,
    /// Sum of the time in handlers, microseconds.
    pub busy_us: u64,
}

/// A service that can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInfo {
    pub name: String,
    pub instances: usize,
    pub endpoints: Vec<Endpoint>,
}

/// Serving ends when this is dropped.
pub trait Registration: Send + Sync {}

/// Calls to named endpoints. Several instances of a service share the requests.
#[async_trait]
pub trait Rpc: Send + Sync {
    async fn call(
        &self,
        service: &str,
        endpoint: &str,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, RpcError>;

    async fn serve(
        &self,
        service: &str,
        endpoint: &str,
        handler: Arc<dyn RpcHandler>,
    ) -> Result<Box<dyn Registration>, RpcError>;

    /// Services that answer at the moment, sorted by name.
    async fn discover(&self) -> Result<Vec<ServiceInfo>, RpcError>;
}
