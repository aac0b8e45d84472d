//! Removing what the demo deployed, and what an interrupted demo left.

use std::time::Duration;

use serde_json::Value;

use super::{APPLICATION, items};
use crate::{
    client::{Client, Failure, run_task},
    leftovers,
    output::member,
};

/// Statuses of executions that are not over.
const OPEN: &str = "NOT_STARTED,RUNNING,PAUSED,SUSPENDED,BUFFERED";
/// Looks at executions that are being canceled.
const LOOKS_MAX: usize = 100;
/// Pause between two looks.
const LOOK_MS: u64 = 100;

/// Cancels what runs and destroys every server group of the demo; how many there were.
pub(super) async fn clear(client: &Client) -> Result<usize, Failure> {
    cancel_open(client).await?;
    let all = client
        .list(&["applications", APPLICATION, "serverGroups"], &[])
        .await?;
    let jobs: Vec<Value> = items(&all)
        .iter()
        .map(|group| leftovers::job(APPLICATION, group))
        .collect();
    if !jobs.is_empty() {
        run_task(
            client,
            APPLICATION,
            "Remove the demo's server groups",
            &jobs,
            |_| {},
        )
        .await?;
    }
    Ok(jobs.len())
}

/// The pipeline runs once at a time: an execution that waits for its judgment since an interrupted
/// demo would hold up all others.
async fn cancel_open(client: &Client) -> Result<(), Failure> {
    let path = ["applications", APPLICATION, "pipelines"];
    let query = [("statuses", OPEN), ("expand", "false"), ("limit", "100")];
    for look in 0..LOOKS_MAX {
        let open = client.list(&path, &query).await?;
        if items(&open).is_empty() {
            return Ok(());
        }
        if look == 0 {
            for execution in items(&open) {
                let id = member(execution, "id");
                let reason = [("reason", "left over from an interrupted demo")];
                client
                    .put(&["pipelines", &id, "cancel"], &reason, None)
                    .await?;
            }
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    Err(Failure::TimedOut {
        detail: "executions of an earlier demo do not end".to_owned(),
        next: format!("look at them: gennaker execution list {APPLICATION}"),
    })
}
