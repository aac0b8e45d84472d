//! Publishes to the event stream, in order, behind the back of whoever caused the events.
//!
//! The log is the truth: what was not published when the process died is published again from it, and
//! the topic knows the ids of what it has.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use kork::ports::{Topic, TopicError};
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

/// Publishes the messages of each execution one after the other, and those of many at the same time: a
/// message that is lost on its way must not come after the next one.
async fn in_order(topic: &dyn Topic, messages: &[&Message]) -> Result<(), TopicError> {
    let mut by_execution: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        let execution = message.id.split(':').next().unwrap_or_default();
        by_execution.entry(execution).or_default().push(message);
    }
    let sent = by_execution.into_values().map(|messages| async move {
        for m in messages {
            topic.publish(&m.topic, &m.id, m.payload.clone()).await?;
        }
        Ok(())
    });
    let outcomes = futures_util::future::join_all(sent).await;
    outcomes.into_iter().collect()
}

async fn publish_all(shell: &Arc<Shell>, batch: &mut Vec<Item>) {
    let messages: Vec<&Message> = batch
        .iter()
        .filter_map(|item| match item {
            Item::Message(message) => Some(message),
            Item::Reached(_) => None,
        })
        .collect();
    while let Err(error) = in_order(&*shell.ports.topic, &messages).await {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use kork::ports::{Cursor, Start, TopicStream};

    use super::*;

    /// Keeps the ids that it took; it refuses each of these once.
    struct Refusing {
        once: Mutex<Vec<&'static str>>,
        taken: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Topic for Refusing {
        async fn publish(&self, _: &str, id: &str, _: Bytes) -> Result<Cursor, TopicError> {
            let mut once = self.once.lock().unwrap();
            if let Some(at) = once.iter().position(|refused| *refused == id) {
                once.remove(at);
                return Err(TopicError::Unavailable {
                    reason: "the connection is lost".to_owned(),
                });
            }
            let mut taken = self.taken.lock().unwrap();
            if !taken.iter().any(|known| known == id) {
                taken.push(id.to_owned());
            }
            Ok(Cursor(1))
        }

        async fn subscribe(&self, _: &str, _: Start) -> Result<Box<dyn TopicStream>, TopicError> {
            unreachable!("nobody subscribes in this test")
        }

        async fn newest(&self) -> Result<Cursor, TopicError> {
            unreachable!("nobody asks in this test")
        }
    }

    #[tokio::test]
    async fn what_is_lost_on_its_way_does_not_come_late() {
        let topic = Refusing {
            once: Mutex::new(vec!["a:1:0", "a:2:1", "b:3:0"]),
            taken: Mutex::default(),
        };
        let ids = ["a:1:0", "b:3:0", "a:2:0", "a:2:1", "b:4:0", "a:5:0"];
        let messages = ids.map(|id| Message {
            topic: "events".to_owned(),
            id: id.to_owned(),
            payload: Bytes::new(),
        });
        let messages: Vec<&Message> = messages.iter().collect();
        let mut tries = 1;
        while in_order(&topic, &messages).await.is_err() {
            tries += 1;
        }
        assert_eq!(tries, 3);
        let taken = topic.taken.into_inner().unwrap();
        let of = |execution: char| taken.iter().filter(move |id| id.starts_with(execution));
        assert!(of('a').is_sorted() && of('b').is_sorted(), "{taken:?}");
        assert_eq!(taken.len(), ids.len());
    }
}
