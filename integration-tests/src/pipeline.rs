//! The definitions that the tests run.

use camino::Utf8Path;
use serde_json::{Value, json};

/// A definition with these stages, of which no two share an id by accident: the name is the id.
pub fn pipeline(application: &str, name: &str, stages: &[Value]) -> Value {
    json!({
        "application": application, "name": name, "id": format!("{application}-{name}"),
        "keepWaitingPipelines": true, "limitConcurrent": false, "triggers": [], "stages": stages,
    })
}

/// A stage that waits this many seconds.
pub fn wait(reference: &str, after: &[&str], seconds: u64) -> Value {
    json!({"refId": reference, "requisiteStageRefIds": after, "type": "wait",
           "name": format!("wait {reference}"), "waitTime": seconds})
}

/// A stage that waits for a person.
pub fn judgment(reference: &str, after: &[&str]) -> Value {
    json!({"refId": reference, "requisiteStageRefIds": after, "type": "manualJudgment",
           "name": format!("judge {reference}"), "judgmentInputs": []})
}

/// A stage that fails unless this expression is true.
pub fn precondition(reference: &str, after: &[&str], expression: &str) -> Value {
    json!({"refId": reference, "requisiteStageRefIds": after, "type": "checkPreconditions",
           "name": format!("check {reference}"),
           "preconditions": [{"type": "expression", "failPipeline": true,
                              "context": {"expression": expression}}]})
}

/// What is deployed: the sample service with one instance behind a load balancer of the cluster's name.
#[derive(Debug, Clone)]
pub struct Deployment<'a> {
    pub application: &'a str,
    pub stack: &'a str,
    pub version: &'a str,
    /// The service appends a line at each start.
    pub starts_file: &'a Utf8Path,
}

impl Deployment<'_> {
    /// Name of the cluster and of its load balancer.
    pub fn cluster(&self) -> String {
        format!("{}-{}", self.application, self.stack)
    }

    /// A stage that deploys it as red/black.
    pub fn stage(&self, reference: &str, after: &[&str]) -> Value {
        json!({
            "refId": reference, "requisiteStageRefIds": after, "type": "deploy",
            "name": format!("deploy {reference}"),
            "clusters": [{
                "account": "local", "cloudProvider": "local",
                "application": self.application, "stack": self.stack,
                "strategy": "redblack", "maxRemainingAsgs": 4,
                "capacity": {"min": 1, "max": 1, "desired": 1},
                "command": ["$GENNAKER", "sample-service", "--version-name", self.version,
                            "--starts-file", self.starts_file],
                "health": {"path": "/health", "periodMs": 100, "deadlineMs": 60_000},
                "drainMs": 2_000, "stopGraceMs": 2_000,
                "loadBalancers": [self.cluster()],
            }],
        })
    }
}
