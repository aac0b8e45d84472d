//! The HTTP API as a client sees it, with the few things that every test does.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::{Suite, within};

/// Time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Statuses of an execution that has ended.
const ENDED: [&str; 6] = [
    "SUCCEEDED",
    "TERMINAL",
    "CANCELED",
    "STOPPED",
    "FAILED_CONTINUE",
    "SKIPPED",
];

/// Why a call gave nothing of use.
#[derive(Debug)]
pub enum Trouble {
    /// No answer at all: the suite does not run.
    NoAnswer(String),
    /// An answer that is no success.
    Refused(Answer),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAnswer(reason) => write!(f, "no answer: {reason}"),
            Self::Refused(answer) => write!(f, "{}: {}", answer.status, answer.body),
        }
    }
}

/// Status, media type and body of an answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    /// Without parameters; empty when there is none.
    pub media_type: String,
    /// The JSON, or the text as a JSON string; null without a body.
    pub body: Value,
}

impl Answer {
    /// The body of a success.
    pub fn success(self) -> Result<Value, Trouble> {
        if self.status.is_success() {
            Ok(self.body)
        } else {
            Err(Trouble::Refused(self))
        }
    }

    /// The id at the end of the `ref` of a success.
    pub fn reference(self) -> Result<String, Trouble> {
        let reference = self.body["ref"].as_str();
        let id = reference.and_then(|r| r.rsplit('/').next());
        match id.map(str::to_owned) {
            Some(id) if self.status.is_success() => Ok(id),
            _ => Err(Trouble::Refused(self)),
        }
    }
}

/// A client of one gate.
#[derive(Debug, Clone)]
pub struct Gate {
    base: String,
    http: Client,
}

impl Gate {
    /// A client of the gate at this address, such as `http://127.0.0.1:8084`.
    pub fn new(base: &str) -> Self {
        let http = kork_http::client()
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            .build()
            .expect("a client without certificates can be made");
        Self {
            base: base.to_owned(),
            http,
        }
    }

    /// The address, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request with a body as it is.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Answer, Trouble> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("accept", "application/json");
        if let Some((media_type, bytes)) = body {
            request = request.header("content-type", media_type).body(bytes);
        }
        let failed = |e: reqwest::Error| Trouble::NoAnswer(chain(&e));
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let media_type = response.headers().get("content-type");
        let media_type = media_type.and_then(|m| m.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().to_owned();
        let text = response.text().await.map_err(failed)?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Ok(Answer {
            status,
            media_type,
            body,
        })
    }

    async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Answer, Trouble> {
        let bytes = body.to_string().into_bytes();
        self.send(method, path, Some(("application/json", bytes)))
            .await
    }

    pub async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.send(Method::GET, path, None).await?.success()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, Trouble> {
        self.json(Method::POST, path, body).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer, Trouble> {
        self.json(Method::PUT, path, body).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer, Trouble> {
        self.json(Method::PATCH, path, body).await
    }

    /// Starts a pipeline as it is; the id of the execution.
    pub async fn start(&self, pipeline: &Value) -> Result<String, Trouble> {
        self.post("/pipelines/start", pipeline).await?.reference()
    }

    /// One execution.
    pub async fn execution(&self, id: &str) -> Result<Value, Trouble> {
        self.get(&format!("/pipelines/{id}")).await
    }

    /// The execution once it has ended.
    pub async fn ended(&self, id: &str, deadline: Duration) -> Value {
        let look = async || {
            let execution = self.execution(id).await.map_err(|t| t.to_string())?;
            if has_ended(&execution) {
                return Ok(execution);
            }
            Err(summary(&execution))
        };
        within(deadline, look)
            .await
            .unwrap_or_else(|last| panic!("execution {id} does not end: {last}"))
    }

    /// The execution once the stage with this refId is in this status.
    pub async fn stage(&self, id: &str, reference: &str, status: &str) -> Value {
        let look = async || {
            let execution = self.execution(id).await.map_err(|t| t.to_string())?;
            let found = stage_of(&execution, reference).cloned();
            match found {
                Some(stage) if stage["status"] == status => Ok(stage),
                _ => Err(summary(&execution)),
            }
        };
        within(Suite::PATIENCE, look).await.unwrap_or_else(|last| {
            panic!("stage {reference} of execution {id} does not become {status}: {last}")
        })
    }

    /// Runs jobs as a task; the task when it has ended.
    pub async fn task(&self, application: &str, jobs: &Value) -> Value {
        let body = serde_json::json!({"application": application, "description": "a task of a test", "job": jobs});
        let started = self.post("/tasks", &body).await;
        let id = started
            .and_then(Answer::reference)
            .unwrap_or_else(|t| panic!("the task does not start: {t}"));
        let look = async || {
            let task = self.get(&format!("/tasks/{id}")).await;
            let task = task.map_err(|t| t.to_string())?;
            if has_ended(&task) {
                return Ok(task);
            }
            Err(task["status"].to_string())
        };
        within(Suite::PATIENCE, look)
            .await
            .unwrap_or_else(|last| panic!("task {id} does not end: {last}"))
    }

    /// Destroys every server group of an application.
    pub async fn destroy_all(&self, application: &str) {
        let path = format!("/applications/{application}/serverGroups");
        let groups = self.get(&path).await;
        let groups = groups.unwrap_or_else(|t| panic!("the server groups cannot be listed: {t}"));
        let jobs: Vec<Value> = groups
            .as_array()
            .into_iter()
            .flatten()
            .map(|group| {
                serde_json::json!({
                    "type": "destroyServerGroup", "application": application,
                    "account": group["account"], "credentials": group["account"],
                    "region": group["region"], "cloudProvider": group["cloudProvider"],
                    "serverGroupName": group["name"],
                })
            })
            .collect();
        if !jobs.is_empty() {
            let task = self.task(application, &Value::Array(jobs)).await;
            assert_eq!(task["status"], "SUCCEEDED", "server groups stay: {task:#}");
        }
    }
}

/// True when nothing more happens by itself.
pub(super) fn has_ended(execution: &Value) -> bool {
    let status = execution["status"].as_str().unwrap_or_default();
    ENDED.contains(&status)
}

fn stage_of<'a>(execution: &'a Value, reference: &str) -> Option<&'a Value> {
    let stages = execution["stages"].as_array()?;
    stages.iter().find(|s| s["refId"] == reference)
}

/// Status of an execution and of its stages, in a line.
fn summary(execution: &Value) -> String {
    let stages = execution["stages"].as_array().into_iter().flatten();
    let stages: Vec<String> = stages
        .map(|s| format!("{} {}", s["refId"], s["status"]))
        .collect();
    format!("{} ({})", execution["status"], stages.join(", "))
}

/// The error with its causes.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
