//! Deliveries of the Notification plugin.

use std::{sync::Arc, time::Duration};

use base64::Engine;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use url::Url;

use crate::{
    http::{Shared, decoded},
    shown::Shown,
    state::{Phase, State},
};

/// Where notifications go. Credentials in the URL become Basic authentication.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub url: Url,
    /// Only these; empty for all.
    pub phases: Vec<Phase>,
    /// Every delivery is made twice, as the plugin does after a connection failed once.
    pub duplicates: bool,
}

impl Endpoint {
    /// All phases, each once.
    pub const fn new(url: Url) -> Self {
        Self {
            url,
            phases: Vec::new(),
            duplicates: false,
        }
    }
}

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The bodies that are due, in order.
pub(crate) fn due(state: &mut State, base: &str) -> Vec<(Phase, Value)> {
    let notices = std::mem::take(&mut state.notices);
    let shown = Shown { state, base };
    let bodies = notices.into_iter().filter_map(|notice| {
        let build = state.builds.get(&notice.path)?.get(&notice.number)?;
        Some((
            notice.phase,
            shown.notice(build, notice.phase, notice.at_ms),
        ))
    });
    bodies.collect()
}

/// Delivers one after the other whenever something happened. The status of an answer is not looked at.
pub(crate) async fn run(shared: Arc<Shared>, endpoints: Vec<Endpoint>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    loop {
        shared.happened.notified().await;
        let bodies = due(&mut shared.lock().state, &shared.base);
        for (phase, body) in bodies {
            for endpoint in &endpoints {
                if !endpoint.phases.is_empty() && !endpoint.phases.contains(&phase) {
                    continue;
                }
                for _ in 0..=usize::from(endpoint.duplicates) {
                    deliver(&client, &endpoint.url, &body).await;
                    shared.lock().stats.notifications += 1;
                }
            }
        }
    }
}

async fn deliver(client: &Client<HttpConnector, Full<Bytes>>, url: &Url, body: &Value) {
    let mut target = url.clone();
    let stripped = target
        .set_username("")
        .and_then(|()| target.set_password(None));
    let mut request =
        Request::post(target.as_str()).header("Content-Type", "application/json;charset=UTF-8");
    if stripped.is_ok() && !url.username().is_empty() {
        let plain = |text: &str| decoded(text).unwrap_or_default();
        let pair = format!(
            "{}:{}",
            plain(url.username()),
            plain(url.password().unwrap_or_default())
        );
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        request = request.header("Authorization", format!("Basic {pair}"));
    }
    let Ok(request) = request.body(Full::new(Bytes::from(body.to_string()))) else {
        return;
    };
    match tokio::time::timeout(TIMEOUT, client.request(request)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%url, %error, "a notification was not delivered"),
        Err(_) => tracing::debug!(%url, "a notification was not answered in time"),
    }
}
