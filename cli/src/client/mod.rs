//! The HTTP client of gate: the only door through which commands and the demo reach a suite.

mod failure;
mod follow;
mod sse;
mod task;

use std::time::Duration;

use kork_model::Execution;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) use failure::Failure;
pub(crate) use follow::follow;
pub(crate) use sse::EventStream;
pub(crate) use task::run_task;

use crate::exit::Exit;

/// Longest time to connect to gate.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that gate may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Talks to one gate. Clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// A client of the gate at this URL; nothing is sent yet.
    pub(crate) fn new(gate: &str) -> Result<Self, Failure> {
        let base = gate.trim_end_matches('/');
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Failure::Input {
                detail: format!("the gate {gate:?} is not a URL"),
                next: "write it as http://HOST:PORT".to_owned(),
            });
        }
        let http = kork_http::client()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("gennaker/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .build()
            .map_err(|source| Failure::Internal {
                detail: "the HTTP client cannot be made".to_owned(),
                cause: source.to_string(),
            })?;
        Ok(Self {
            base: base.to_owned(),
            http,
        })
    }

    /// URL of the gate, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The answer to a GET.
    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        self.call(Method::GET, path, query, None).await
    }

    /// The answer to a GET, or nothing when there is no such thing (404).
    pub(crate) async fn find(&self, path: &[&str]) -> Result<Option<Value>, Failure> {
        match self.get(path, &[]).await {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The answer to a POST.
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// The answer to a PUT; `body` may be absent.
    pub(crate) async fn put(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.call(Method::PUT, path, query, body).await
    }

    /// The answer to a PATCH.
    pub(crate) async fn patch(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.call(Method::PATCH, path, &[], Some(body)).await
    }

    /// The answer to a DELETE.
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// One execution: a pipeline's, or a task's.
    pub(crate) async fn execution(&self, id: &str) -> Result<Execution, Failure> {
        let url = self.url(&["pipelines", id]);
        let value = self.get(&["pipelines", id], &[]).await?;
        serde_json::from_value(value).map_err(|error| Failure::Unreadable {
            url,
            reason: error.to_string(),
        })
    }

    /// Starts a stored pipeline; its execution's id.
    pub(crate) async fn execute(
        &self,
        application: &str,
        pipeline: &str,
        parameters: &Value,
    ) -> Result<String, Failure> {
        let body = json!({"type": "manual", "parameters": parameters});
        let path = ["pipelines", application, pipeline];
        let answer = self.post(&path, &body).await?;
        self.reference(&path, &answer)
    }

    /// The id at the end of `{"ref": "/pipelines/<id>"}`.
    pub(crate) fn reference(&self, path: &[&str], answer: &Value) -> Result<String, Failure> {
        let reference = answer
            .get("ref")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match reference.rsplit('/').next() {
            Some(id) if !id.is_empty() => Ok(id.to_owned()),
            _ => Err(Failure::Unreadable {
                url: self.url(path),
                reason: format!("the answer has no \"ref\": {answer}"),
            }),
        }
    }

    /// An open GET for the event stream; nothing limits its length.
    async fn open(
        &self,
        path: &[&str],
        headers: &[(&str, &str)],
    ) -> Result<reqwest::Response, Failure> {
        let url = self.url(path);
        let mut request = self.http.get(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request
            .send()
            .await
            .map_err(|e| Failure::unreachable(&self.base, &e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let text = response
            .text()
            .await
            .unwrap_or_else(|error| error.to_string());
        Err(Failure::refused(status, &text, &url))
    }

    fn url(&self, path: &[&str]) -> String {
        let mut url = self.base.clone();
        for part in path {
            url.push('/');
            for byte in part.bytes() {
                match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                        url.push(char::from(byte));
                    }
                    _ => {
                        url.push('%');
                        url.push(hex(byte >> 4));
                        url.push(hex(byte & 15));
                    }
                }
            }
        }
        url
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut url = self.url(path);
        for (at, (name, value)) in query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            // Both halves are encoded like one part of a path, which is right for a query too.
            let pair = Self {
                base: String::new(),
                http: self.http.clone(),
            };
            url.push_str(&pair.url(&[name])[1..]);
            url.push('=');
            url.push_str(&pair.url(&[value])[1..]);
        }
        let mut request = self.http.request(method, &url).timeout(ANSWER_TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .map_err(|e| Failure::unreachable(&self.base, &e))?;
        let status = response.status();
        let text = response
            .text()
            .await
            .map_err(|e| Failure::unreachable(&self.base, &e))?;
        if !status.is_success() {
            return Err(Failure::refused(status.as_u16(), &text, &url));
        }
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| Failure::Unreadable {
            url,
            reason: error.to_string(),
        })
    }
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).map_or('0', |c| c.to_ascii_uppercase())
}

/// The exit status that tells how an execution ended.
pub(crate) const fn exit_of(execution: &Execution) -> Exit {
    if execution.status.is_successful() {
        Exit::Success
    } else {
        Exit::ExecutionFailed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_encoded() {
        let client = Client::new("http://127.0.0.1:1/").unwrap();
        let url = client.url(&["pipelines", "shop", "My Pipe/2.ü"]);
        assert_eq!(
            url,
            "http://127.0.0.1:1/pipelines/shop/My%20Pipe%2F2.%C3%BC"
        );
    }

    #[test]
    fn a_gate_without_a_scheme_is_bad_input() {
        assert_eq!(
            Client::new("localhost:8084").unwrap_err().exit(),
            Exit::BadInput
        );
    }
}
