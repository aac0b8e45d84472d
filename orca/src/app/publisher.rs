//! Publishes to the event stream, in order, behind the back of whoever caused the events.
//!
//! The log is the truth: what was not published when the process died is published again from it, and
//! the topic knows the ids of what it has.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::Shell;

/// Messages that wait for the topic; past it, commands wait.
const WAITING_MAX: usize = 16_384;
/// Messages that are handed to the topic at the same time.
const BATCH_MAX: usize = 256;
/// Pause before a refused batch is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// One message for the event stream.
pub(crate) struct Message {
    pub topic: String,
    pub id: String,
    pub payload: Bytes,
}

enum Item {
    Message(Message),
    /// Everything before this was published.
    Reached(oneshot::Sender<()>),
}

/// The way to the publishing task.
pub(crate) struct Publisher {
    sender: mpsc::Sender<Item>,
    receiver: Mutex<Option<mpsc::Receiver<Item>>>,
}

impl Default for Publisher {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl Publisher {
    /// Hands a message over; it is published after all that were handed over before.
    pub(crate) async fn publish(&self, message: Message) {
        // The task ends only with the process, and then the log still has the event.
        drop(self.sender.send(Item::Message(message)).await);
    }

    /// Waits until everything that was handed over is published; false when the process stops first.
    pub(crate) async fn flush(&self) -> bool {
        let (sender, receiver) = oneshot::channel();
        self.sender.send(Item::Reached(sender)).await.is_ok() && receiver.await.is_ok()
    }
}

/// Starts the publishing task.
pub(crate) fn spawn(shell: &Arc<Shell>) {
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn(async move {
        let Some(mut receiver) = shell.publisher.receiver.lock().await.take() else {
            return;
        };
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let received = tokio::select! {
                biased;
                received = receiver.recv_many(&mut batch, BATCH_MAX) => received,
                () = shell.shutdown.requested() => return,
            };
            if received == 0 {
                return;
            }
            publish_all(&shell, &mut batch).await;
        }
    });
}

async fn publish_all(shell: &Arc<Shell>, batch: &mut Vec<Item>) {
    let messages: Vec<&Message> = batch
        .iter()
        .filter_map(|item| match item {
            Item::Message(message) => Some(message),
            Item::Reached(_) => None,
        })
        .collect();
    loop {
        let topic = &shell.ports.topic;
        let sent = messages
            .iter()
            .map(|m| topic.publish(&m.topic, &m.id, m.payload.clone()));
        let outcomes = futures_util::future::join_all(sent).await;
        let Some(error) = outcomes.into_iter().find_map(Result::err) else {
            break;
        };
        tracing::warn!(%error, "events are published later");
        if shell.shutdown.is_requested() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
    for item in batch.drain(..) {
        if let Item::Reached(sender) = item
            && sender.send(()).is_err()
        {
            tracing::trace!("whoever waited for the publication is gone");
        }
    }
}
