//! Following one execution: read again whenever the event stream mentions it.

use std::time::Duration;

use kork_model::Execution;
use tokio::sync::mpsc;

use super::{Client, EventStream, Failure};

/// Without an event the execution is read again after this time, so that a lost event only delays.
const READ_AGAIN_MS: u64 = 2_000;
/// Events that come within this time are answered by one read.
const GATHER_MS: u64 = 25;
/// Failed reads in a row after which following gives up.
const FAILED_READS_MAX: u32 = 10;
/// Changes that wait for a slow reader.
const CHANGES_WAITING_MAX: usize = 16;

/// Follows an execution: its state now, then after every change. The channel closes when it ended.
pub(crate) fn follow(client: &Client, id: &str) -> mpsc::Receiver<Result<Execution, Failure>> {
    let (changes, receiver) = mpsc::channel(CHANGES_WAITING_MAX);
    let (client, id) = (client.clone(), id.to_owned());
    tokio::spawn(async move {
        // The stream is opened before the first read: no change falls between the two.
        // Without it the execution is read from time to time, and the first read tells what is wrong.
        let mut events = EventStream::open(&client).await.ok();
        let mut last: Option<Execution> = None;
        let mut failed = 0;
        loop {
            match client.execution(&id).await {
                Ok(execution) => {
                    failed = 0;
                    let ended = execution.status.is_complete();
                    if last.as_ref() != Some(&execution)
                        && changes.send(Ok(execution.clone())).await.is_err()
                        || ended
                    {
                        return;
                    }
                    last = Some(execution);
                }
                Err(failure) => {
                    failed += 1;
                    // The id may be known before the execution is; later the connection may break.
                    let may_pass = failure.may_pass() && last.is_some();
                    if !may_pass || failed >= FAILED_READS_MAX {
                        changes.send(Err(failure)).await.ok();
                        return;
                    }
                }
            }
            let again = tokio::time::sleep(Duration::from_millis(READ_AGAIN_MS));
            tokio::select! {
                () = again => {}
                () = mentioned(&mut events, &id) => {
                    tokio::time::sleep(Duration::from_millis(GATHER_MS)).await;
                }
                () = changes.closed() => return,
            }
        }
    });
    receiver
}

/// Returns when an event mentions the id; never when there is no stream.
async fn mentioned(events: &mut Option<EventStream>, id: &str) {
    let Some(events) = events else {
        return std::future::pending().await;
    };
    while !events.next().await.data.contains(id) {}
}
