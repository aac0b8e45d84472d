//! The HTTP client of gate: the only door through which commands and the demo reach a suite.

mod answer;
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
/// Longest time until the event stream is open; without it the client looks from time to time.
const STREAM_TIMEOUT: Duration = Duration::from_secs(5);

/// Talks to one gate. Clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
    /// Longest time for one answer.
    patience: Duration,
}

impl Client {
    /// A client of the gate at this URL; nothing is sent yet.
    pub(crate) fn new(gate: &str) -> Result<Self, Failure> {
        let base = base_of(gate)?;
        let http = kork_http::client()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("gennaker/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            // Sent on to another place, a change of state would arrive as a question.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| Failure::Internal {
                detail: "the HTTP client cannot be made".to_owned(),
                cause: source.to_string(),
            })?;
        Ok(Self {
            base,
            http,
            patience: ANSWER_TIMEOUT,
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

    /// The answer to a GET for a list of things.
    pub(crate) async fn list(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        answer::list(self.get(path, query).await?, &self.url(path))
    }

    /// The answer to a GET for one thing.
    pub(crate) async fn object(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Failure> {
        answer::object(self.get(path, query).await?, &self.url(path))
    }

    /// One thing, or nothing when gate says that there is no such thing (404). A 404 without a
    /// document comes from something that is no gate.
    pub(crate) async fn find(&self, path: &[&str]) -> Result<Option<Value>, Failure> {
        match self.object(path, &[]).await {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.is_missing() => Ok(None),
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
        let value = self.object(&["pipelines", id], &[]).await?;
        self.as_execution(value)
    }

    /// An answer as an execution.
    pub(crate) fn as_execution(&self, value: Value) -> Result<Execution, Failure> {
        serde_json::from_value(value).map_err(|error| Failure::Unreadable {
            url: format!("{}/pipelines", self.base),
            reason: format!("it is not an execution: {error}"),
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
                reason: format!("it has no \"ref\": {answer}"),
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
        let answer = tokio::time::timeout(STREAM_TIMEOUT, request.send()).await;
        let response = match answer {
            Ok(response) => response.map_err(|e| Failure::unreachable(&self.base, e))?,
            Err(_) => return Err(Failure::silent(&self.base, STREAM_TIMEOUT)),
        };
        self.accept(response, &url).await
    }

    /// The response, unless its status says that it is not what was asked for.
    async fn accept(
        &self,
        response: reqwest::Response,
        url: &str,
    ) -> Result<reqwest::Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status.is_redirection() {
            let place = response.headers().get("location");
            let place = place.and_then(|p| p.to_str().ok()).unwrap_or("nowhere");
            return Err(Failure::Unreadable {
                url: url.to_owned(),
                reason: format!(
                    "it sends the request on to {place} (status {})",
                    status.as_u16()
                ),
            });
        }
        let text = answer::text(response, &self.base, url).await?;
        Err(Failure::refused(status.as_u16(), &text, url))
    }

    fn url(&self, path: &[&str]) -> String {
        let mut url = self.base.clone();
        for part in path {
            url.push('/');
            encode(part, &mut url);
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
            encode(name, &mut url);
            url.push('=');
            encode(value, &mut url);
        }
        let mut request = self.http.request(method, &url).timeout(self.patience);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .map_err(|e| Failure::unreachable(&self.base, e))?;
        let response = self.accept(response, &url).await?;
        answer::json(&answer::text(response, &self.base, &url).await?, &url)
    }
}

/// The URL of a gate without a slash at its end.
fn base_of(gate: &str) -> Result<String, Failure> {
    let refuse = |why: &str| {
        Failure::input(
            format!("the gate {gate:?} is not a URL: {why}"),
            "write it as http://HOST:PORT",
        )
    };
    let url = reqwest::Url::parse(gate).map_err(|error| refuse(&error.to_string()))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(refuse("it begins with neither http:// nor https://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("nothing may follow its path"));
    }
    Ok(gate.trim_end_matches('/').to_owned())
}

/// Appends a part of a path or of a query, with all that has a meaning there in `%` form.
fn encode(part: &str, url: &mut String) {
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
    fn a_gate_that_is_no_url_is_bad_input() {
        let wrong = [
            "localhost:8084",
            "http://",
            "ftp://a",
            "",
            "http://a:b",
            "http://a/?x=1",
        ];
        for gate in wrong {
            let failure = Client::new(gate).unwrap_err();
            assert_eq!(failure.exit(), Exit::BadInput, "{gate}: {failure}");
        }
        let below = Client::new("https://delivery.example/gate/").unwrap();
        assert_eq!(
            below.url(&["version"]),
            "https://delivery.example/gate/version"
        );
    }

    #[tokio::test]
    async fn a_gate_that_takes_too_long_is_told_as_such() {
        // Connections wait in the backlog, and nobody answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let mut client = Client::new(&format!("http://{address}")).unwrap();
        client.patience = Duration::from_millis(50);
        let failure = client.get(&["applications"], &[]).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Unreachable);
        assert!(
            failure.to_string().ends_with("took too long to answer"),
            "{failure}"
        );
        let told = failure.told();
        assert!(!told.causes.is_empty() && told.next.unwrap().contains("try again"));
    }
}
