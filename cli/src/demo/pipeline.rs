//! The demo's pipeline, and where its production answers.

use serde_json::{Value, json};

use super::{APPLICATION, PIPELINE, items};
use crate::{
    client::{Client, Failure},
    output::member,
};

/// Load balancer in front of the test cluster.
const TEST: &str = "demo-test";
/// Load balancer in front of production.
const PROD: &str = "demo-prod";
/// A new server group that is not healthy by then has failed.
const HEALTHY_DEADLINE_MS: u64 = 5_000;
/// Time for the last requests, and again for a clean end, of an instance that leaves.
const LEAVE_MS: u64 = 2_000;
/// Seconds that the pipeline waits before it checks what it deployed.
const WAIT_S: u64 = 1;

/// Deploy to test -> wait -> check over HTTP -> manual judgment -> deploy to prod as red/black.
pub(super) fn definition(account: &str) -> Value {
    let after = |refs: &str| json!([refs]);
    let mut test = cluster(account, "test", 1, TEST);
    test["strategy"] = json!("highlander");
    test["command"] = command(&["--prices", "http://prices.test.example"]);
    let mut prod = cluster(account, "prod", 2, PROD);
    prod["strategy"] = json!("redblack");
    prod["maxRemainingAsgs"] = json!(2);
    prod["rollback"] = json!({"onFailure": true, "destroyLatest": true});
    json!({
        "application": APPLICATION,
        "name": PIPELINE,
        "description": "test, check, a person's yes, production",
        "limitConcurrent": true,
        "keepWaitingPipelines": false,
        "triggers": [],
        "parameterConfig": [
            {"name": "version", "required": true, "default": "1",
             "description": "version of the sample service"},
            {"name": "broken", "required": false, "default": "false",
             "description": "true: a release that does not work without its price list"},
        ],
        "stages": [
            {"refId": "deployTest", "requisiteStageRefIds": [], "type": "deploy",
             "name": "Deploy to test", "clusters": [test]},
            {"refId": "wait", "requisiteStageRefIds": after("deployTest"), "type": "wait",
             "name": "Let it settle", "waitTime": WAIT_S},
            {"refId": "check", "requisiteStageRefIds": after("wait"), "type": "webhook",
             "name": "Check test over HTTP", "method": "GET",
             "url": "http://${#stage('Deploy in test')['outputs']['loadBalancers'][0]['address']}/"},
            {"refId": "judge", "requisiteStageRefIds": after("check"), "type": "manualJudgment",
             "name": "Promote to production?", "judgmentInputs": [],
             "instructions": "version ${parameters.version} runs in test; shall it go to production?"},
            {"refId": "deployProd", "requisiteStageRefIds": after("judge"), "type": "deploy",
             "name": "Deploy to prod", "clusters": [prod]},
        ],
    })
}

fn cluster(account: &str, stack: &str, desired: u64, load_balancer: &str) -> Value {
    json!({
        "account": account,
        "cloudProvider": "local",
        "application": APPLICATION,
        "stack": stack,
        "capacity": {"min": desired, "max": desired, "desired": desired},
        "command": command(&[]),
        "health": {"path": "/health", "periodMs": 100, "deadlineMs": HEALTHY_DEADLINE_MS},
        "drainMs": LEAVE_MS,
        "stopGraceMs": LEAVE_MS,
        "loadBalancers": [load_balancer],
    })
}

fn command(more: &[&str]) -> Value {
    let mut words = vec![
        "$GENNAKER",
        "sample-service",
        "--version-name",
        "${parameters.version}",
        "--broken",
        "${parameters.broken}",
    ];
    words.extend(more);
    json!(words)
}

/// URL of the load balancer in front of production, without a slash at its end.
pub(super) async fn prod_address(client: &Client) -> Result<String, Failure> {
    let all = client
        .get(&["applications", APPLICATION, "loadBalancers"], &[])
        .await?;
    let found = items(&all).iter().find(|lb| member(lb, "name") == PROD);
    let address = found.map(|lb| member(lb, "address")).unwrap_or_default();
    if address.is_empty() {
        let detail = format!("the load balancer {PROD} has no address: {all}");
        let next = format!("ask gate: GET /applications/{APPLICATION}/loadBalancers");
        return Err(Failure::Ended { detail, next });
    }
    Ok(as_url(&address))
}

fn as_url(address: &str) -> String {
    let address = address.trim_end_matches('/');
    if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    }
}
