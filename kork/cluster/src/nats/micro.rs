//! The services protocol of NATS: whoever asks `$SRV.PING`, `$SRV.INFO` or `$SRV.STATS` hears of every
//! service, its endpoints and what they did (`nats micro ls`).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use async_nats::{Client, Message};
use futures_util::{StreamExt, stream::select_all};
use kork::model::Timestamp;
use serde_json::{Value, json};

/// What one endpoint did.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) requests: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) busy_us: AtomicU64,
    pub(super) in_flight: AtomicUsize,
    last_error: Mutex<String>,
}

impl Figures {
    pub(super) fn failed(&self, reason: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let last = self.last_error.lock();
        reason.clone_into(&mut last.unwrap_or_else(PoisonError::into_inner));
    }
}

/// One service of this process.
pub(super) struct Service {
    name: String,
    id: String,
    started: Timestamp,
    endpoints: Mutex<BTreeMap<String, (String, Arc<Figures>)>>,
}

/// Queue group of all endpoints.
pub(super) const GROUP: &str = "q";

impl Service {
    pub(super) fn new(name: &str, id: String, started: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            id,
            started,
            endpoints: Mutex::default(),
        }
    }

    pub(super) fn add(&self, endpoint: &str, subject: &str, figures: Arc<Figures>) {
        self.lock()
            .insert(endpoint.to_owned(), (subject.to_owned(), figures));
    }

    /// Takes an endpoint away; true when it was the last.
    pub(super) fn remove(&self, endpoint: &str) -> bool {
        let mut endpoints = self.lock();
        endpoints.remove(endpoint);
        endpoints.is_empty()
    }

    /// Answers questions about the service until the task is dropped.
    pub(super) async fn answer(self: Arc<Self>, client: Client) {
        let (name, id) = (&self.name, &self.id);
        let subjects = [
            "$SRV.*".to_owned(),
            format!("$SRV.*.{name}"),
            format!("$SRV.*.{name}.{id}"),
        ];
        let mut questions = Vec::new();
        for subject in subjects {
            match client.subscribe(subject.clone()).await {
                Ok(subscriber) => questions.push(subscriber),
                Err(error) => tracing::warn!(subject, %error, "the service cannot be discovered"),
            }
        }
        let mut questions = select_all(questions);
        while let Some(question) = questions.next().await {
            self.reply(&client, question).await;
        }
    }

    async fn reply(&self, client: &Client, question: Message) {
        let verb = question.subject.split('.').nth(1).unwrap_or_default();
        let (Some(reply), Some(answer)) = (question.reply.clone(), self.describe(verb)) else {
            return;
        };
        if let Err(error) = client.publish(reply, answer.to_string().into()).await {
            tracing::debug!(%error, "a question about the service is not answered");
        }
    }

    fn describe(&self, verb: &str) -> Option<Value> {
        // The registration is gone; the task that answers ends in a moment.
        if self.lock().is_empty() {
            return None;
        }
        let mut answer = json!({
            "type": format!("io.nats.micro.v1.{}_response", verb.to_lowercase()),
            "name": self.name, "id": self.id, "version": env!("CARGO_PKG_VERSION"), "metadata": {},
        });
        match verb {
            "PING" => {}
            "INFO" => {
                answer["description"] = json!("a service of Gennaker");
                answer["endpoints"] = self.endpoints(|_| json!({"metadata": {}}));
            }
            "STATS" => {
                answer["started"] = json!(self.started.to_string());
                answer["endpoints"] = self.endpoints(figures);
            }
            _ => return None,
        }
        Some(answer)
    }

    fn endpoints(&self, more: impl Fn(&Figures) -> Value) -> Value {
        let endpoints = self.lock();
        let all = endpoints.iter().map(|(name, (subject, figures))| {
            let mut shown = more(figures);
            shown["name"] = json!(name);
            shown["subject"] = json!(subject);
            shown["queue_group"] = json!(GROUP);
            shown
        });
        all.collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (String, Arc<Figures>)>> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn figures(figures: &Figures) -> Value {
    let requests = figures.requests.load(Ordering::Relaxed);
    let busy_ns = figures.busy_us.load(Ordering::Relaxed) * 1_000;
    let last_error = figures
        .last_error
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    json!({
        "num_requests": requests,
        "num_errors": figures.errors.load(Ordering::Relaxed),
        "last_error": *last_error,
        "processing_time": busy_ns,
        "average_processing_time": busy_ns.checked_div(requests).unwrap_or(0),
    })
}
