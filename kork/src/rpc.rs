//! Typed calls: a request type names its endpoint, so that caller and server cannot disagree.

mod hedged;

use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use kork_model::{Kind, Problem, api::Call};

use crate::{
    ports::{Registration, Rpc, RpcError, RpcHandler},
    trace::{self, TraceContext},
};

/// How long a call between services may take unless the caller says otherwise.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls an endpoint and waits for its answer, at most [`CALL_TIMEOUT`].
pub async fn call<C: Call>(rpc: &dyn Rpc, request: &C) -> Result<C::Answer, Problem> {
    call_within(rpc, request, CALL_TIMEOUT).await
}

/// Calls an endpoint with a time-out of the caller's choice.
pub async fn call_within<C: Call>(
    rpc: &dyn Rpc,
    request: &C,
    timeout: Duration,
) -> Result<C::Answer, Problem> {
    let body = serde_json::to_vec(request).map_err(|e| {
        Problem::new("KORK-0003", Kind::Bug, "a request cannot be written").because(&e)
    })?;
    let (body, name) = (Bytes::from(body), (C::SERVICE, C::ENDPOINT));
    let answer = if C::MAY_REPEAT {
        hedged::call(rpc, name, body, timeout).await
    } else {
        rpc.call(C::SERVICE, C::ENDPOINT, body, timeout).await
    };
    let answer = answer.map_err(|e| problem_of(C::SERVICE, e))?;
    serde_json::from_slice(&answer).map_err(|e| {
        let text = format!(
            "the answer of {}.{} cannot be read",
            C::SERVICE,
            C::ENDPOINT
        );
        Problem::new("KORK-0003", Kind::Bug, text).because(&e)
    })
}

fn problem_of(service: &str, error: RpcError) -> Problem {
    match error {
        RpcError::Problem(problem) => *problem,
        RpcError::NoResponder { .. } | RpcError::Unavailable { .. } => {
            let text = format!("the service {service} is not there");
            Problem::new("KORK-0001", Kind::Unavailable, text)
                .because(&error)
                .retry_after(1)
        }
        RpcError::Timeout { .. } => {
            let text = format!("the service {service} took too long");
            Problem::new("KORK-0002", Kind::Timeout, text)
                .because(&error)
                .retry_after(1)
        }
        RpcError::TooLarge { .. } => {
            let text = format!("a message to or from {service} is too large");
            Problem::new("KORK-0004", Kind::TooLarge, text).because(&error)
        }
    }
}

struct Typed<C, F> {
    answer: F,
    request: PhantomData<fn() -> C>,
}

#[async_trait]
impl<C, F, Fut> RpcHandler for Typed<C, F>
where
    C: Call,
    F: Fn(C) -> Fut + Send + Sync,
    Fut: Future<Output = Result<C::Answer, Problem>> + Send,
{
    async fn handle(&self, request: Bytes) -> Result<Bytes, Problem> {
        let request: C = serde_json::from_slice(&request).map_err(|e| {
            let text = format!(
                "the request to {}.{} cannot be read",
                C::SERVICE,
                C::ENDPOINT
            );
            Problem::new("KORK-0003", Kind::Invalid, text).because(&e)
        })?;
        let answer = (self.answer)(request).await?;
        serde_json::to_vec(&answer).map(Bytes::from).map_err(|e| {
            Problem::new("KORK-0003", Kind::Bug, "an answer cannot be written").because(&e)
        })
    }
}

/// Serves one endpoint with a function of its request type, until the registration is dropped.
pub async fn serve<C, F, Fut>(rpc: &dyn Rpc, answer: F) -> Result<Box<dyn Registration>, RpcError>
where
    C: Call,
    F: Fn(C) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<C::Answer, Problem>> + Send + 'static,
{
    let handler = Typed::<C, F> {
        answer,
        request: PhantomData,
    };
    rpc.serve(C::SERVICE, C::ENDPOINT, Arc::new(handler)).await
}

/// Runs a handler under the span that its caller sent, as a span of its own.
pub async fn answered<F>(name: &str, asked: Option<TraceContext>, answer: F) -> F::Output
where
    F: Future<Output = Result<Bytes, Problem>>,
{
    let Some(asked) = asked else {
        return answer.await;
    };
    let mut work = trace::Work::begin("rpc", trace::Kind::Server, asked);
    work.about("rpc.system", || "nats".to_owned());
    work.about("rpc.method", || name.to_owned());
    let outcome = trace::within(Some(work.context()), answer).await;
    let error = outcome.as_ref().err().map(ToString::to_string);
    work.end(Some(name.to_owned()), error);
    outcome
}

/// What a caller hears of a handler that panicked.
pub fn panicked(name: &str, ended: tokio::task::JoinError) -> Problem {
    let panic = ended.into_panic();
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message");
    tracing::error!(endpoint = name, panic = text, "a handler panicked");
    let mut problem = Problem::new(
        "KORK-0010",
        Kind::Bug,
        format!("{name} stopped with a panic"),
    );
    problem.causes.push(text.to_owned());
    problem
}
