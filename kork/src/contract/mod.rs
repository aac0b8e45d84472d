//! One suite per port: what every adapter must do, each behaviour a check with the guarantee it
//! proves.
//!
//! A suite gets a function that makes new, empty ports. It panics with the name of the check that
//! does not hold. Times are short and real, so a suite also runs on a paused runtime.

mod cache;
mod clock;
mod journal;
mod objects;
mod queue;
mod rpc;
mod topic;

use std::{future::Future, time::Duration};

pub use self::{
    cache::cache, clock::clock, journal::journal, objects::objects, queue::queue, rpc::rpc,
    topic::topic,
};
use crate::ports::Ports;

/// Longest time one check may take.
const CHECK_MAX: Duration = Duration::from_mins(1);
/// How long something that must not happen is waited for.
const QUIET: Duration = Duration::from_millis(60);

/// Runs every suite.
pub async fn all<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Ports>,
{
    Box::pin(journal(&make)).await;
    Box::pin(queue(&make)).await;
    Box::pin(topic(&make)).await;
    Box::pin(rpc(&make)).await;
    Box::pin(cache(&make)).await;
    Box::pin(objects(&make)).await;
    Box::pin(clock(&make)).await;
}

/// A check that does not end fails by its name.
async fn within(name: &str, check: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(CHECK_MAX, check).await;
    assert!(ended.is_ok(), "{name} did not end within {CHECK_MAX:?}");
}

/// Asserts that a future stays pending for a while.
async fn stays_pending<T>(what: &str, future: impl Future<Output = T>) {
    let ended = tokio::time::timeout(QUIET, future).await;
    assert!(ended.is_err(), "{what}");
}

/// Runs the named checks, each on ports of its own.
macro_rules! checks {
    ($make:ident: $($check:ident),* $(,)?) => {
        $(
            $crate::contract::within(
                concat!(module_path!(), "::", stringify!($check)),
                Box::pin($check($make().await)),
            )
            .await;
        )*
    };
}
use checks;
