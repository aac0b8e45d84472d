//! Removing what the demo deployed.

use serde_json::Value;

use super::{APPLICATION, items};
use crate::{
    client::{Client, Failure, run_task},
    leftovers,
};

/// Destroys every server group of the demo; how many there were.
pub(super) async fn destroy_all(client: &Client) -> Result<usize, Failure> {
    let all = client
        .get(&["applications", APPLICATION, "serverGroups"], &[])
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
