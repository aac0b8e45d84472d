//! The contract of [`Rpc`](crate::ports::Rpc).

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;

use super::checks;
use crate::{
    model::{Kind, Problem},
    ports::{Ports, Registration, Rpc, RpcError, RpcHandler, limit},
};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Everything calls between services guarantee.
pub async fn rpc<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Ports>,
{
    checks!(make:
        a_call_reaches_its_endpoint_and_brings_the_answer,
        a_problem_comes_back_whole,
        nobody_there_is_said_at_once,
        a_slow_answer_is_a_timeout,
        a_caller_that_gives_up_does_not_stop_the_work,
        a_panic_is_a_bug_and_the_endpoint_goes_on,
        instances_share_the_requests,
        what_is_too_large_is_refused_both_ways,
        services_are_discovered_with_their_figures,
    );
}

/// Answers by what the request says.
struct Echo {
    name: &'static str,
    done: Arc<tokio::sync::Notify>,
}

#[async_trait]
impl RpcHandler for Echo {
    async fn handle(&self, request: Bytes) -> Result<Bytes, Problem> {
        match &request[..] {
            b"fail" => Err(
                Problem::new("KORK-0009", Kind::Conflict, "somebody was first")
                    .field("/a", "is taken")
                    .retry_after(3),
            ),
            b"panic" => panic!("told to"),
            b"slow" => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                self.done.notify_one();
                Ok(Bytes::new())
            }
            b"big" => Ok(Bytes::from(vec![0; limit::RPC_BYTES_MAX + 1])),
            b"who" => Ok(Bytes::from_static(self.name.as_bytes())),
            _ => Ok(request),
        }
    }
}

async fn serve(
    ports: &Ports,
    name: &'static str,
) -> (Box<dyn Registration>, Arc<tokio::sync::Notify>) {
    let done = Arc::new(tokio::sync::Notify::new());
    let handler = Arc::new(Echo {
        name,
        done: Arc::clone(&done),
    });
    let registration = ports
        .rpc
        .serve("echo", "say", handler)
        .await
        .expect("serve");
    (registration, done)
}

async fn say(rpc: &dyn Rpc, request: &'static str) -> Result<Bytes, RpcError> {
    rpc.call(
        "echo",
        "say",
        Bytes::from_static(request.as_bytes()),
        TIMEOUT,
    )
    .await
}

/// Request and reply.
async fn a_call_reaches_its_endpoint_and_brings_the_answer(ports: Ports) {
    let _served = serve(&ports, "one").await;
    let answers = join_all((0..50).map(|_| say(&*ports.rpc, "hello"))).await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.expect("an answer") == "hello")
    );
}

/// Code, kind, fields and all.
async fn a_problem_comes_back_whole(ports: Ports) {
    let _served = serve(&ports, "one").await;
    let Err(RpcError::Problem(problem)) = say(&*ports.rpc, "fail").await else {
        panic!("a problem was expected");
    };
    let expected = Problem::new("KORK-0009", Kind::Conflict, "somebody was first")
        .field("/a", "is taken")
        .retry_after(3);
    assert_eq!(*problem, expected);
}

/// Not after a time-out.
async fn nobody_there_is_said_at_once(ports: Ports) {
    let (registration, _) = serve(&ports, "one").await;
    for (service, endpoint) in [("nobody", "say"), ("echo", "sing")] {
        let answer = ports
            .rpc
            .call(service, endpoint, Bytes::new(), TIMEOUT)
            .await;
        assert!(
            matches!(answer, Err(RpcError::NoResponder { .. })),
            "{answer:?}"
        );
    }
    drop(registration);
    let answer = say(&*ports.rpc, "hello").await;
    assert!(
        matches!(answer, Err(RpcError::NoResponder { .. })),
        "serving has ended: {answer:?}"
    );
}

/// The time-out is the caller's.
async fn a_slow_answer_is_a_timeout(ports: Ports) {
    let _served = serve(&ports, "one").await;
    let timeout = Duration::from_millis(20);
    let answer = ports
        .rpc
        .call("echo", "say", Bytes::from_static(b"slow"), timeout)
        .await;
    let Err(RpcError::Timeout { timeout_ms: 20, .. }) = answer else {
        panic!("a time-out was expected: {answer:?}");
    };
}

/// It may have done the work: a time-out is no cancellation.
async fn a_caller_that_gives_up_does_not_stop_the_work(ports: Ports) {
    let (_registration, done) = serve(&ports, "one").await;
    let timeout = Duration::from_millis(20);
    let answer = ports
        .rpc
        .call("echo", "say", Bytes::from_static(b"slow"), timeout)
        .await;
    assert!(answer.is_err());
    done.notified().await;
}

/// A handler's mistake is an answer.
async fn a_panic_is_a_bug_and_the_endpoint_goes_on(ports: Ports) {
    let _served = serve(&ports, "one").await;
    let Err(RpcError::Problem(problem)) = say(&*ports.rpc, "panic").await else {
        panic!("a problem was expected");
    };
    assert_eq!(problem.kind, Kind::Bug);
    assert_eq!(say(&*ports.rpc, "hello").await.expect("an answer"), "hello");
}

/// Several instances of a service share the requests; one that ends is left out.
async fn instances_share_the_requests(ports: Ports) {
    let one = serve(&ports, "one").await;
    let _two = serve(&ports, "two").await;
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..100 {
        *counts
            .entry(say(&*ports.rpc, "who").await.expect("an answer"))
            .or_insert(0) += 1;
    }
    assert!(
        counts.len() == 2 && counts.values().all(|count| *count >= 10),
        "{counts:?}"
    );
    drop(one);
    for _ in 0..10 {
        assert_eq!(say(&*ports.rpc, "who").await.expect("an answer"), "two");
    }
}

/// The limits of every adapter are the same.
async fn what_is_too_large_is_refused_both_ways(ports: Ports) {
    let _served = serve(&ports, "one").await;
    let more = Bytes::from(vec![0; limit::RPC_BYTES_MAX + 1]);
    for answer in [
        ports.rpc.call("echo", "say", more, TIMEOUT).await,
        say(&*ports.rpc, "big").await,
    ] {
        assert!(
            matches!(answer, Err(RpcError::TooLarge { .. })),
            "{:?}",
            answer.err()
        );
    }
}

/// Names, instances, requests and errors.
async fn services_are_discovered_with_their_figures(ports: Ports) {
    assert!(ports.rpc.discover().await.expect("discover").is_empty());
    let (registration, _) = serve(&ports, "one").await;
    for request in ["hello", "fail", "hello"] {
        drop(say(&*ports.rpc, request).await);
    }
    let services = ports.rpc.discover().await.expect("discover");
    assert_eq!(services.len(), 1);
    assert_eq!(
        (services[0].name.as_str(), services[0].instances),
        ("echo", 1)
    );
    let endpoint = &services[0].endpoints[0];
    assert_eq!(
        (endpoint.name.as_str(), endpoint.requests, endpoint.errors),
        ("say", 3, 1)
    );
    drop(registration);
    assert!(ports.rpc.discover().await.expect("discover").is_empty());
}
