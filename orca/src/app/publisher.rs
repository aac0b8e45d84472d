//! Publishes to the event stream, in order, behind the back of whoever caused the events.
//!
//! The log is the truth: what was not published when the process died is published again from it, and
//! the topic knows the ids of what it has.

use std::{sync::Arc, time::Duration};

use kork::{
    ports::{NewMessage, Topic},
    service::Shutdown,
};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::Shell;

/// Messages that wait for the topic; past it, commands wait.
const WAITING_MAX: usize = 16_384;
/// Messages that are handed to the topic at the same time.
const BATCH_MAX: usize = 1_000;
/// Pause before a refused batch is tried again.
const RETRY: Duration = Duration::from_millis(200);

enum Item {
    Message(NewMessage),
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
    pub(crate) async fn publish(&self, message: NewMessage) {
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
            publish_all(&*shell.ports.topic, &shell.shutdown, &mut batch).await;
        }
    });
}

async fn publish_all(topic: &dyn Topic, shutdown: &Shutdown, batch: &mut Vec<Item>) {
    let (mut messages, mut waiting) = (Vec::with_capacity(batch.len()), Vec::new());
    for item in batch.drain(..) {
        match item {
            Item::Message(message) => messages.push(message),
            Item::Reached(sender) => waiting.push(sender),
        }
    }
    // A message that is lost on its way must not come after the next one, so all go again.
    while let Err(error) = topic.publish_all(&messages).await {
        tracing::warn!(%error, "events are published later");
        if shutdown.is_requested() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
    for sender in waiting {
        if sender.send(()).is_err() {
            tracing::trace!("whoever waited for the publication is gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;
    use kork::ports::{Cursor, Start, TopicError, TopicStream};

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

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_on_its_way_does_not_come_late() {
        let topic = Refusing {
            once: Mutex::new(vec!["a:1:0", "a:2:1", "b:3:0"]),
            taken: Mutex::default(),
        };
        let ids = ["a:1:0", "b:3:0", "a:2:0", "a:2:1", "b:4:0", "a:5:0"];
        let mut batch: Vec<Item> = ids
            .map(|id| {
                Item::Message(NewMessage {
                    subject: "events".to_owned(),
                    id: id.to_owned(),
                    payload: Bytes::new(),
                })
            })
            .into();
        let (reached, told) = oneshot::channel();
        batch.push(Item::Reached(reached));
        publish_all(&topic, &Shutdown::default(), &mut batch).await;
        told.await.unwrap();
        assert!(topic.once.lock().unwrap().is_empty());
        let taken = topic.taken.into_inner().unwrap();
        let of = |execution: char| taken.iter().filter(move |id| id.starts_with(execution));
        assert!(of('a').is_sorted() && of('b').is_sorted(), "{taken:?}");
        assert_eq!(taken.len(), ids.len());
    }
}
