//! Calls that may be asked twice. An instance that stands still takes requests and answers none; nobody
//! knows which one that is before it is asked. So a question without an answer is soon asked again, most
//! likely another instance takes it, and the first answer counts.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use crate::ports::{Rpc, RpcError};

/// How long each question waits before the next one is asked beside it.
const PATIENCE: [Duration; 6] = [
    Duration::from_millis(300),
    Duration::from_millis(300),
    Duration::from_millis(400),
    Duration::from_millis(500),
    Duration::from_millis(750),
    EVERY,
];
/// After those, one each.
const EVERY: Duration = Duration::from_secs(1);

/// Questions of this process that are asked beside others, at most. Where everything is slow, asking more
/// makes it slower; an instance that stands still is found with a few.
const BESIDE_MAX: usize = 32;

static BESIDE: Semaphore = Semaphore::const_new(BESIDE_MAX);

/// Asks until somebody answers, or `timeout` is over.
pub(super) async fn call(
    rpc: &dyn Rpc,
    (service, endpoint): (&str, &str),
    request: Bytes,
    timeout: Duration,
) -> Result<Bytes, RpcError> {
    let mut asked = FuturesUnordered::new();
    let mut left = timeout;
    let mut patience = PATIENCE.into_iter();
    loop {
        let beside = (!asked.is_empty()).then(|| BESIDE.try_acquire());
        if !matches!(beside, Some(Err(_))) {
            let question = rpc.call(service, endpoint, request.clone(), left);
            asked.push(async move {
                let outcome = question.await;
                drop(beside);
                outcome
            });
        }
        let wait = patience.next().unwrap_or(EVERY).min(left);
        let answered = async {
            loop {
                let outcome = asked.next().await?;
                if is_answer(&outcome) || asked.is_empty() {
                    return Some(outcome);
                }
            }
        };
        let answered = if wait < left {
            tokio::time::timeout(wait, answered).await.unwrap_or(None)
        } else {
            // The questions have their own end, a moment from now.
            answered.await
        };
        if let Some(outcome) = answered {
            return outcome.map_err(|error| whole(error, timeout));
        }
        left -= wait;
    }
}

/// What the caller hears of a question that nobody answered: how long it waited, not the last try.
fn whole(error: RpcError, timeout: Duration) -> RpcError {
    match error {
        RpcError::Timeout {
            service, endpoint, ..
        } => RpcError::Timeout {
            service,
            endpoint,
            timeout_ms: timeout.as_millis() as u64,
        },
        other => other,
    }
}

/// Somebody heard the question, and would say the same again.
const fn is_answer(outcome: &Result<Bytes, RpcError>) -> bool {
    matches!(
        outcome,
        Ok(_) | Err(RpcError::Problem(_) | RpcError::TooLarge { .. })
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use async_trait::async_trait;

    use super::*;
    use crate::ports::{Registration, ServiceInfo};

    /// The first so many questions are heard by nobody who can answer.
    struct Silent {
        first: usize,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Rpc for Silent {
        async fn call(
            &self,
            service: &str,
            endpoint: &str,
            request: Bytes,
            timeout: Duration,
        ) -> Result<Bytes, RpcError> {
            if self.asked.fetch_add(1, Ordering::Relaxed) >= self.first {
                return Ok(request);
            }
            tokio::time::sleep(timeout).await;
            Err(RpcError::Timeout {
                service: service.to_owned(),
                endpoint: endpoint.to_owned(),
                timeout_ms: 0,
            })
        }

        async fn serve(
            &self,
            _: &str,
            _: &str,
            _: Arc<dyn crate::ports::RpcHandler>,
        ) -> Result<Box<dyn Registration>, RpcError> {
            unreachable!("nobody serves in this test")
        }

        async fn discover(&self) -> Result<Vec<ServiceInfo>, RpcError> {
            unreachable!("nobody discovers in this test")
        }
    }

    async fn asks(silent: usize, timeout_ms: u64) -> (bool, usize, u128) {
        let rpc = Silent {
            first: silent,
            asked: AtomicUsize::new(0),
        };
        let began = tokio::time::Instant::now();
        let timeout = Duration::from_millis(timeout_ms);
        let answer = call(&rpc, ("orca", "executions.get"), Bytes::new(), timeout).await;
        let took_ms = began.elapsed().as_millis();
        (answer.is_ok(), rpc.asked.into_inner(), took_ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_instance_costs_a_moment() {
        assert_eq!(asks(0, 10_000).await, (true, 1, 0));
        assert_eq!(asks(1, 10_000).await, (true, 2, 300));
        assert_eq!(asks(3, 10_000).await, (true, 4, 1_000));
        assert_eq!(asks(9, 10_000).await, (true, 10, 6_250));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_asked_for() {
        assert_eq!(asks(99, 10_000).await, (false, 13, 10_000));
        assert_eq!(asks(99, 500).await, (false, 2, 500));
        assert_eq!(asks(99, 100).await, (false, 1, 100));
    }
}
