//! Callers of a deployed service that never pause for a deployment and count what fails.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::gate::chain;

/// Callers at the same time.
const CALLERS: usize = 4;
/// Pause of a caller between two requests.
const PAUSE: Duration = Duration::from_millis(5);
/// A request that takes longer has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Failures that are kept with their reason.
const REASONS_MAX: usize = 20;

/// What the callers have seen.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    pub sent: u64,
    /// Failed while the suite ran from the beginning to the end of the request.
    pub failed_while_up: u64,
    /// Failed while the suite was down at the beginning or at the end of the request.
    pub failed_while_down: u64,
    /// Why the first few failed.
    pub reasons: Vec<String>,
    /// Answers by their text.
    pub answers: BTreeMap<String, u64>,
}

/// A running load.
pub struct Load {
    counted: Arc<Mutex<Counted>>,
    up: Arc<AtomicBool>,
    stop: CancellationToken,
    callers: JoinSet<()>,
}

impl Load {
    /// Starts calling this address. The suite counts as up.
    pub fn start(address: &str) -> Self {
        let http = kork_http::client()
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .build()
            .expect("a client without certificates can be made");
        let mut load = Self {
            counted: Arc::default(),
            up: Arc::new(AtomicBool::new(true)),
            stop: CancellationToken::new(),
            callers: JoinSet::new(),
        };
        for _ in 0..CALLERS {
            let (http, url) = (http.clone(), format!("{address}/"));
            let (counted, stop) = (Arc::clone(&load.counted), load.stop.clone());
            let up = Arc::clone(&load.up);
            load.callers.spawn(async move {
                // A request that was sent is always waited for: an answer cut off is no failure.
                while !stop.is_cancelled() {
                    let before = up.load(Ordering::SeqCst);
                    let answer = call(&http, &url).await;
                    count(&counted, answer, before && up.load(Ordering::SeqCst));
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        load
    }

    /// Says whether the suite runs: set to false before it is killed, to true when it answers again.
    pub fn suite_is_up(&self, up: bool) {
        self.up.store(up, Ordering::SeqCst);
    }

    /// What was seen so far.
    pub fn counted(&self) -> Counted {
        let counted = self.counted.lock();
        counted.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the calls; all that were sent are answered by then.
    pub async fn stop(mut self) -> Counted {
        self.stop.cancel();
        while self.callers.join_next().await.is_some() {}
        self.counted()
    }
}

async fn call(http: &reqwest::Client, url: &str) -> Result<String, String> {
    let response = http.get(url).send().await.map_err(|e| chain(&e))?;
    let status = response.status();
    let text = response.text().await.map_err(|e| chain(&e))?;
    if status.is_success() {
        return Ok(text.trim().to_owned());
    }
    Err(format!("status {status}: {}", text.trim()))
}

fn count(counted: &Mutex<Counted>, answer: Result<String, String>, up: bool) {
    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
    counted.sent += 1;
    match answer {
        Ok(text) => *counted.answers.entry(text).or_default() += 1,
        Err(reason) => {
            if up {
                counted.failed_while_up += 1;
            } else {
                counted.failed_while_down += 1;
            }
            if counted.reasons.len() < REASONS_MAX {
                let state = if up { "up" } else { "down" };
                counted.reasons.push(format!("suite {state}: {reason}"));
            }
        }
    }
}
