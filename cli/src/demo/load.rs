//! The load loop: calls production all the time and counts what fails.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Failure;

/// Callers at the same time.
const CALLERS: usize = 4;
/// Pause of a caller between two requests.
const PAUSE_MS: u64 = 10;
/// A request that takes longer has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Failures that are kept with their reason.
const REASONS_MAX: usize = 10;

/// What the callers have seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    pub(super) sent: u64,
    pub(super) failed: u64,
    /// Why the first few failed.
    pub(super) reasons: Vec<String>,
    /// Answers by the version that gave them.
    pub(super) by_version: BTreeMap<String, u64>,
}

/// A running load.
pub(super) struct Load {
    url: String,
    http: reqwest::Client,
    counted: Arc<Mutex<Counted>>,
    stop: CancellationToken,
    callers: JoinSet<()>,
}

impl Load {
    /// Starts calling this address.
    pub(super) fn start(address: &str) -> Result<Self, Failure> {
        let mut http = kork_http::client().timeout(REQUEST_TIMEOUT).no_proxy();
        if let Some(name) = name_of_this_machine(address) {
            // The port is that of the address.
            http = http.resolve(&name, (Ipv4Addr::LOCALHOST, 0).into());
        }
        let http = http.build();
        let http = http.map_err(|e| Failure::Internal {
            detail: "the HTTP client of the load cannot be made".to_owned(),
            cause: e.to_string(),
        })?;
        let mut load = Self {
            url: format!("{address}/"),
            http,
            counted: Arc::default(),
            stop: CancellationToken::new(),
            callers: JoinSet::new(),
        };
        for _ in 0..CALLERS {
            let (http, url) = (load.http.clone(), load.url.clone());
            let (counted, stop) = (Arc::clone(&load.counted), load.stop.clone());
            load.callers.spawn(async move {
                // A request that was sent is always waited for: an answer cut off is no failure.
                while !stop.is_cancelled() {
                    let answer = call(&http, &url).await;
                    count(&counted, answer);
                    tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
                }
            });
        }
        Ok(load)
    }

    /// One line about what was seen so far.
    pub(super) fn line(&self) -> String {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let versions: Vec<String> = counted
            .by_version
            .iter()
            .map(|(v, n)| format!("{n} from version {v}"))
            .collect();
        format!(
            "production so far: {} requests, {} failed ({})",
            counted.sent,
            counted.failed,
            versions.join(", ")
        )
    }

    /// The version that serves now, or why none does.
    pub(super) async fn ask(&self) -> String {
        call(&self.http, &self.url)
            .await
            .unwrap_or_else(|reason| reason)
    }

    /// Ends the calls; all that were sent are answered by then.
    pub(super) async fn stop(mut self) -> Counted {
        self.stop.cancel();
        while self.callers.join_next().await.is_some() {}
        self.counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The name in an address if it means this machine whatever a resolver says, as browsers and curl have
/// it: below `localhost`.
fn name_of_this_machine(address: &str) -> Option<String> {
    let url = reqwest::Url::parse(address).ok()?;
    let name = url.domain()?;
    name.ends_with(".localhost").then(|| name.to_owned())
}

/// The version that answered.
async fn call(http: &reqwest::Client, url: &str) -> Result<String, String> {
    let response = http.get(url).send().await.map_err(|e| chain(&e))?;
    let status = response.status();
    let text = response.text().await.map_err(|e| chain(&e))?;
    if !status.is_success() {
        return Err(format!("status {status}: {}", text.trim()));
    }
    let version = text
        .strip_prefix("version ")
        .and_then(|rest| rest.split(' ').next());
    version
        .map(str::to_owned)
        .ok_or_else(|| format!("an unexpected answer: {text:?}"))
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn count(counted: &Mutex<Counted>, answer: Result<String, String>) {
    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
    counted.sent += 1;
    match answer {
        Ok(version) => *counted.by_version.entry(version).or_default() += 1,
        Err(reason) => {
            counted.failed += 1;
            if counted.reasons.len() < REASONS_MAX {
                counted.reasons.push(reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn names_below_localhost_mean_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let asked = stream.read(&mut [0; 4096]).await.unwrap();
                assert!(asked > 0);
                let answer =
                    "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\nversion 7 x";
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        let load = Load::start(&format!("http://apps.localhost:{port}")).unwrap();
        assert_eq!(load.ask().await, "7");
        let counted = load.stop().await;
        assert_eq!(counted.failed, 0, "{:?}", counted.reasons);
        assert_eq!(name_of_this_machine("http://localhost.example/"), None);
    }
}
