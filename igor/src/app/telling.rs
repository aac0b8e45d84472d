//! Tells listeners what came in, as `CDEvents` on the topic, behind the back of the senders: what starts
//! pipelines does not hang on it. A process that is killed may leave the last moment untold.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kork::{
    ports::{NewMessage, Topic},
    service::Shutdown,
};
use kork_model::{InboundEvent, SuiteEvent, event::subject};
use tokio::sync::{
    Mutex,
    mpsc::{self, Receiver, Sender},
};

/// Messages that wait; past it they are left out, and the log says so.
const WAITING_MAX: usize = 16_384;
/// Messages that are published together.
const TOGETHER_MAX: usize = 256;
/// How long a message may wait for others. Each write is flushed to disk, and those of executions stand behind it.
const LINGER: Duration = Duration::from_millis(20);
/// Pause before what was refused is published again.
const RETRY: Duration = Duration::from_millis(500);
/// Tries of what is refused.
const TRIES_MAX: u32 = 20;

/// The way to the task that publishes.
pub(crate) struct Telling {
    sender: Sender<NewMessage>,
    receiver: Mutex<Option<Receiver<NewMessage>>>,
}

impl Default for Telling {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl Telling {
    /// Hands events over.
    pub(crate) fn tell(&self, events: &[InboundEvent]) {
        for event in events {
            if self.sender.try_send(message(event)).is_err() {
                tracing::warn!(
                    event = event.id,
                    "listeners do not hear of an event: too many wait"
                );
            }
        }
    }
}

fn message(event: &InboundEvent) -> NewMessage {
    let data = igor_inbound::cdevent(event);
    let kind = data["type"]
        .as_str()
        .or_else(|| data["context"]["type"].as_str());
    let told = SuiteEvent {
        id: format!("igor.{}", event.id),
        kind: kind.unwrap_or("igor:event:received").to_owned(),
        time: event.received,
        application: None,
        subject: Some(event.id.clone()),
        data,
    };
    NewMessage {
        subject: format!("{}{}", subject::IGOR, word(&event.source)),
        payload: Bytes::from(serde_json::to_vec(&told).unwrap_or_default()),
        id: told.id,
    }
}

/// Starts to publish.
pub(crate) fn spawn(telling: &Arc<Telling>, topic: Arc<dyn Topic>, shutdown: &Shutdown) {
    let (telling, stop) = (Arc::clone(telling), shutdown.clone());
    shutdown.spawn(async move {
        let Some(mut receiver) = telling.receiver.lock().await.take() else {
            return;
        };
        let mut batch = Vec::with_capacity(TOGETHER_MAX);
        loop {
            let received = tokio::select! {
                biased;
                received = receiver.recv() => received,
                () = stop.requested() => None,
            };
            let Some(first) = received else {
                while let Ok(left) = receiver.try_recv() {
                    batch.push(left);
                }
                return publish(&*topic, &stop, &batch).await;
            };
            batch.push(first);
            let full = async {
                while batch.len() < TOGETHER_MAX {
                    match receiver.recv().await {
                        Some(next) => batch.push(next),
                        None => return,
                    }
                }
            };
            // Full, or the time is up.
            drop(tokio::time::timeout(LINGER, full).await);
            publish(&*topic, &stop, &batch).await;
            batch.clear();
        }
    });
}

async fn publish(topic: &dyn Topic, stop: &Shutdown, batch: &[NewMessage]) {
    for _ in 0..TRIES_MAX {
        match topic.publish_all(batch).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "events are told later"),
        }
        if stop.is_requested() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
    tracing::error!(events = batch.len(), "listeners do not hear of events");
}

/// A name as one word of a subject.
fn word(name: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => c,
        _ => '_',
    };
    match name {
        "" => "none".to_owned(),
        name => name.chars().map(plain).collect(),
    }
}
