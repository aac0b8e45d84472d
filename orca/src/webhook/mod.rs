//! Outbound calls of webhook stages: one guarded HTTP client, the call itself, and following a status.

mod guard;
mod monitor;

use std::time::Duration;

use kork_model::{Context, Status, WorkOrder, WorkResult};
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

pub use guard::GuardError;
pub use orca_triggers::json_path::find as find_path;

use crate::config::WebhookConfig;

/// The original's list, so that a server that chooses by it answers as it did.
const ACCEPT: &str = "application/json, application/cbor, application/*+json, text/plain, */*";

/// Makes the calls. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    client: reqwest::Client,
    config: WebhookConfig,
}

/// An answer, as the stage's context shows it.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Context,
    pub body: Option<Value>,
}

/// What the worker is told besides the end.
pub(crate) trait Listener: Send + Sync {
    /// Something to show while the work goes on.
    fn progress(&self, context: Context) -> impl Future<Output = ()> + Send;
    /// Waits; false when the work was called back.
    fn pause(&self, time: Duration) -> impl Future<Output = bool> + Send;
    /// Milliseconds since some fixed moment.
    fn now_ms(&self) -> u64;
}

impl Caller {
    /// A caller with its own connection pool.
    pub fn new(config: &WebhookConfig) -> Result<Self, reqwest::Error> {
        let client = guard::client(config)?;
        Ok(Self {
            client,
            config: config.clone(),
        })
    }

    /// The task `createWebhook`.
    pub(crate) async fn create(&self, order: &WorkOrder, listener: &impl Listener) -> WorkResult {
        let context = &order.payload;
        let fail_fast = codes(context.get("failFastStatusCodes"));
        let also_retried = codes(context.get("webhookRetryStatusCodes"));
        let started = listener.now_ms();
        let url = text(context, "url");
        loop {
            let call = self
                .call(context, "url", "method", "payload", &order.key.0)
                .await;
            let answer = match call {
                Ok(answer) => answer,
                Err(error) if error.is_passing() && self.may_retry(started, listener) => {
                    let said = format!("{error}, will retry");
                    listener.progress(shown(json!({ "error": said }))).await;
                    if !listener
                        .pause(Duration::from_millis(self.config.retry_ms))
                        .await
                    {
                        return canceled();
                    }
                    continue;
                }
                Err(error) => {
                    let said = format!(
                        "the webhook of execution {} failed: {error}",
                        order.execution
                    );
                    return ended(Status::Terminal, json!({ "error": said }));
                }
            };
            let mut webhook = answer.shown();
            if (200..400).contains(&answer.status) {
                return Self::created(context, &answer, webhook);
            }
            let code = answer.status;
            let said = format!(
                "the webhook of execution {} to {url} was answered with status {code}",
                order.execution
            );
            if fail_fast.contains(&code) {
                webhook["error"] = json!(format!("{said}, which is configured to fail fast"));
                return ended(Status::Terminal, webhook);
            }
            let retried = code == 429 || code >= 500 || also_retried.contains(&code);
            if !retried || !self.may_retry(started, listener) {
                webhook["error"] = json!(said);
                return ended(Status::Terminal, webhook);
            }
            webhook["error"] = json!(format!("{said}, will retry"));
            listener.progress(shown(webhook)).await;
            if !listener
                .pause(Duration::from_millis(self.config.retry_ms))
                .await
            {
                return canceled();
            }
        }
    }

    fn may_retry(&self, started: u64, listener: &impl Listener) -> bool {
        listener.now_ms().saturating_sub(started) + self.config.retry_ms < self.config.retry_for_ms
    }

    fn created(context: &Context, answer: &Answer, mut webhook: Value) -> WorkResult {
        if flag(context, "waitForCompletion") {
            return match monitor::status_url(context, answer) {
                Ok(url) => {
                    webhook["statusEndpoint"] = json!(url);
                    let mut result = ended(Status::Succeeded, webhook);
                    result
                        .context
                        .insert("statusEndpoint".to_owned(), json!(url));
                    result
                }
                Err(error) => {
                    webhook["error"] = json!(error);
                    ended(Status::Terminal, webhook)
                }
            };
        }
        if context
            .get("expectedArtifacts")
            .and_then(Value::as_array)
            .is_some_and(|e| !e.is_empty())
        {
            return bind_artifacts(context, answer, webhook);
        }
        ended(Status::Succeeded, webhook)
    }

    /// The task `monitorWebhook`.
    pub(crate) async fn monitor(&self, order: &WorkOrder, listener: &impl Listener) -> WorkResult {
        monitor::follow(self, &self.config, order, listener).await
    }

    /// Tells the other side that nobody waits any more (`signalCancellation`, `cancelEndpoint`).
    pub(crate) async fn cancel(&self, order: &WorkOrder) {
        let context = &order.payload;
        if text(context, "cancelEndpoint").is_empty() {
            return;
        }
        let key = format!("{}/cancel", order.key);
        let call = self
            .call(
                context,
                "cancelEndpoint",
                "cancelMethod",
                "cancelPayload",
                &key,
            )
            .await;
        if let Err(error) = call {
            tracing::warn!(execution.id = %order.execution, %error, "a cancelled webhook could not be told");
        }
    }

    /// One call; the names say where in the context the parts of the request are.
    pub(crate) async fn call(
        &self,
        context: &Context,
        url: &str,
        method: &str,
        payload: &str,
        key: &str,
    ) -> Result<Answer, GuardError> {
        let url = guard::checked(&text(context, url), &self.config)?;
        let method = text(context, method).to_ascii_uppercase();
        let default = if url.as_str().is_empty() {
            "GET"
        } else {
            "POST"
        };
        let method = if method.is_empty() {
            default.to_owned()
        } else {
            method
        };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| GuardError::Request {
            reason: format!("{method} is not a method"),
        })?;
        let mut request = self.client.request(method.clone(), url.clone());
        request = request
            .headers(headers(context)?)
            .header("Idempotency-Key", key)
            .header("accept", ACCEPT);
        if let Some(span) = kork::trace::current() {
            request = request.header(kork::trace::TRACEPARENT, span.to_string());
        }
        match context.get(payload).filter(|p| !p.is_null()) {
            Some(_) if method == Method::GET => {
                let reason = "a GET request cannot have a payload".to_owned();
                return Err(GuardError::Request { reason });
            }
            Some(Value::String(body)) => {
                request = request.header("content-type", "text/plain;charset=ISO-8859-1");
                request = request.body(body.clone());
            }
            Some(body) => request = request.json(body),
            None => {}
        }
        let response = request.send().await.map_err(|source| GuardError::Call {
            url: url.to_string(),
            source,
        })?;
        self.read(response).await
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Answer, GuardError> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let url = response.url().to_string();
        let mut bytes = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|source| GuardError::Call {
                url: url.clone(),
                source,
            })?;
            let Some(chunk) = chunk else { break };
            bytes.extend_from_slice(&chunk);
            if bytes.len() > self.config.answer_bytes_max {
                let max = self.config.answer_bytes_max;
                return Err(GuardError::Request {
                    reason: format!("the answer of {url} has more than {max} bytes"),
                });
            }
        }
        let as_text = |_| Value::from(String::from_utf8_lossy(&bytes).into_owned());
        let body =
            (!bytes.is_empty()).then(|| serde_json::from_slice(&bytes).unwrap_or_else(as_text));
        Ok(Answer {
            status,
            headers: shown_headers(&headers),
            body,
        })
    }
}

impl Answer {
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({
            "statusCode": status_name(self.status),
            "statusCodeValue": self.status,
            "headers": self.headers,
        });
        if let Some(body) = &self.body {
            shown["body"] = body.clone();
        }
        shown
    }
}

/// Names as Spinnaker shows them: `NOT_FOUND`.
fn status_name(status: u16) -> String {
    if status == 418 {
        return "I_AM_A_TEAPOT".to_owned();
    }
    let known = reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason());
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    known.map_or_else(
        || status.to_string(),
        |name| name.chars().map(plain).collect(),
    )
}

fn shown_headers(headers: &HeaderMap) -> Context {
    let mut shown = Context::new();
    for (name, value) in headers {
        let parts = name.as_str().split('-').map(|part| {
            let mut letters = part.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        });
        let name = parts.collect::<Vec<_>>().join("-");
        shown.insert(
            name,
            Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned()),
        );
    }
    shown
}

/// Of a header that is given several times, the last value counts.
fn headers(context: &Context) -> Result<HeaderMap, GuardError> {
    let mut map = HeaderMap::new();
    let Some(Value::Object(given)) = context.get("customHeaders") else {
        return Ok(map);
    };
    for (name, value) in given {
        let value = match value {
            Value::Array(list) => list.last().cloned().unwrap_or_default(),
            other => other.clone(),
        };
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let bad = |_| GuardError::Request {
            reason: format!("{name} is not a header"),
        };
        let header = reqwest::header::HeaderName::from_bytes(name.as_bytes()).map_err(bad)?;
        let text =
            reqwest::header::HeaderValue::from_str(&text).map_err(|_| GuardError::Request {
                reason: format!("the value of {name} is not a header"),
            })?;
        map.insert(header, text);
    }
    Ok(map)
}

/// Binds `body.artifacts` to the stage's expected artifacts.
fn bind_artifacts(context: &Context, answer: &Answer, mut webhook: Value) -> WorkResult {
    let found = answer
        .body
        .as_ref()
        .and_then(|b| b.get("artifacts"))
        .and_then(Value::as_array);
    let Some(found) = found else {
        let text = "the webhook's answer has no list artifacts, but the stage expects artifacts";
        webhook["error"] = json!(text);
        return ended(Status::Terminal, webhook);
    };
    let artifacts: Vec<Value> = found
        .iter()
        .filter(|a| a.is_object())
        .map(|artifact| {
            let mut artifact = artifact.clone();
            artifact["customKind"] = json!(false);
            if artifact.get("metadata").is_none() {
                artifact["metadata"] = json!({});
            }
            artifact
        })
        .collect();
    let expected = context.get("expectedArtifacts").and_then(Value::as_array);
    let mut resolved = Vec::new();
    for expected in expected.into_iter().flatten() {
        let wanted = expected.get("matchArtifact");
        let fits = |a: &&Value| {
            ["type", "name"].iter().all(|key| {
                let wanted = wanted.and_then(|w| w.get(*key)).and_then(Value::as_str);
                wanted.is_none_or(|w| a.get(*key).and_then(Value::as_str) == Some(w))
            })
        };
        let Some(bound) = artifacts.iter().find(fits) else {
            webhook["error"] = json!("the webhook's answer has no artifact that is expected");
            return ended(Status::Terminal, webhook);
        };
        let mut expected = expected.clone();
        expected["boundArtifact"] = bound.clone();
        resolved.push(expected);
    }
    let mut result = ended(Status::Succeeded, webhook);
    result
        .context
        .insert("artifacts".to_owned(), json!(artifacts));
    result
        .outputs
        .insert("artifacts".to_owned(), json!(artifacts));
    result
        .outputs
        .insert("resolvedExpectedArtifacts".to_owned(), json!(resolved));
    result
}

pub(crate) fn shown(webhook: Value) -> Context {
    Context::from_iter([("webhook".to_owned(), webhook)])
}

pub(crate) fn ended(status: Status, webhook: Value) -> WorkResult {
    WorkResult {
        status,
        context: shown(webhook),
        outputs: Context::new(),
        error: None,
    }
}

pub(crate) fn canceled() -> WorkResult {
    WorkResult {
        status: Status::Canceled,
        context: Context::new(),
        outputs: Context::new(),
        error: None,
    }
}

pub(crate) fn text(context: &Context, key: &str) -> String {
    context
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn flag(context: &Context, key: &str) -> bool {
    match context.get(key) {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// A list of status codes: numbers or texts, or one text with commas.
pub(crate) fn codes(value: Option<&Value>) -> Vec<u16> {
    let one = |v: &Value| match v {
        Value::Number(n) => n.as_u64().and_then(|n| u16::try_from(n).ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(one).collect(),
        Some(Value::String(text)) => text
            .split(',')
            .filter_map(|t| t.trim().parse().ok())
            .collect(),
        _ => Vec::new(),
    }
}
