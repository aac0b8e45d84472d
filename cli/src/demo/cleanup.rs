//! Removing what the demo deployed.

use serde_json::{Value, json};

use super::{APPLICATION, items};
use crate::{
    client::{Client, Failure, run_task},
    output::member,
};

/// Destroys every server group of the demo; how many there were.
pub(super) async fn destroy_all(client: &Client) -> Result<usize, Failure> {
    let all = client
        .get(&["applications", APPLICATION, "serverGroups"], &[])
        .await?;
    let jobs: Vec<Value> = items(&all)
        .iter()
        .map(|group| {
            json!({
                "type": "destroyServerGroup",
                "account": member(group, "account"),
                "credentials": member(group, "account"),
                "region": member(group, "region"),
                "cloudProvider": "local",
                "application": APPLICATION,
                "serverGroupName": member(group, "name"),
            })
        })
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
