//! The work queue on the store. Due times and leases are watched by whoever pulls: no thread, no
//! polling.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    oversized,
    store::{DEAD, Mutation, Store, StoreError, Taken},
};
use crate::{
    model::Timestamp,
    ports::{Clock, Delivery, Enqueued, Lease, Queue, QueueError},
};

/// Most messages that one pull takes.
const PULL_MAX: usize = 1024;

pub(super) struct EmbeddedQueue {
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<dyn Clock>,
}

fn refused(error: StoreError, queue: &str) -> QueueError {
    match error {
        StoreError::Full { max } => QueueError::Full {
            queue: queue.to_owned(),
            max,
        },
        other => QueueError::Unavailable {
            reason: other.reason(),
        },
    }
}

fn after(now: Timestamp, duration: Duration) -> Timestamp {
    now.plus_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn lost(lease: &Lease) -> QueueError {
    QueueError::LeaseLost {
        queue: lease.queue.clone(),
        id: lease.id.clone(),
    }
}

impl EmbeddedQueue {
    fn deliver(&self, queue: &Arc<str>, taken: Vec<Taken>) -> Result<Vec<Delivery>, QueueError> {
        let mut deliveries = Vec::with_capacity(taken.len());
        for message in taken {
            let payload = self
                .store
                .payload(queue, message.sequence)
                .map_err(|error| refused(error, queue))?;
            let Some(payload) = payload else {
                let reason = format!("message {} of queue {queue} has no payload", message.id);
                return Err(QueueError::Unavailable { reason });
            };
            let id = message.id.to_string();
            let lease = Lease {
                queue: queue.to_string(),
                id: id.clone(),
                token: message.token,
            };
            deliveries.push(Delivery {
                id,
                payload,
                attempt: message.attempt,
                lease,
            });
        }
        Ok(deliveries)
    }
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn enqueue(
        &self,
        queue: &str,
        id: &str,
        payload: Bytes,
        deliver_at: Option<Timestamp>,
    ) -> Result<Enqueued, QueueError> {
        let too_large = oversized(queue, payload.len()).or_else(|| oversized(id, 0));
        if let Some((what, size, max)) = too_large {
            return Err(QueueError::TooLarge { what, size, max });
        }
        let name = Arc::clone(self.store.queues().queue(queue).name());
        let (id, due) = (
            id.to_owned(),
            deliver_at.unwrap_or_else(|| self.clock.now()),
        );
        self.store
            .submit(|reply| Mutation::Enqueue {
                queue: name,
                id,
                payload,
                due,
                reply,
            })
            .await
            .map_err(|error| refused(error, queue))
    }

    async fn pull(
        &self,
        queue: &str,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let waiting = self.store.queues().queue(queue);
        let deadline = after(self.clock.now(), wait);
        loop {
            let mut changed = std::pin::pin!(waiting.changed.notified());
            // From here on no change is missed, also one before the first poll.
            changed.as_mut().enable();
            let now = self.clock.now();
            let next = match waiting.take(now, max.clamp(1, PULL_MAX), after(now, lease)) {
                Ok(taken) => return self.deliver(waiting.name(), taken),
                Err(next) => next,
            };
            if now >= deadline {
                return Ok(Vec::new());
            }
            let wake = next.map_or(deadline, |moment| moment.min(deadline));
            tokio::select! {
                biased;
                () = changed => {}
                () = self.clock.sleep_until(wake) => {}
            }
        }
    }

    async fn ack(&self, lease: &Lease) -> Result<(), QueueError> {
        let queue = self.store.queues().queue(&lease.queue);
        let sequence = queue
            .finish(self.clock.now(), &lease.id, lease.token)
            .ok_or_else(|| lost(lease))?;
        self.store.forget(queue.name(), sequence);
        Ok(())
    }

    async fn nak(&self, lease: &Lease, delay: Duration) -> Result<(), QueueError> {
        let (queue, now) = (self.store.queues().queue(&lease.queue), self.clock.now());
        queue
            .give_back(now, &lease.id, lease.token, after(now, delay))
            .ok_or_else(|| lost(lease))
    }

    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<(), QueueError> {
        let (queue, now) = (self.store.queues().queue(&lease.queue), self.clock.now());
        queue
            .extend(now, &lease.id, lease.token, after(now, duration))
            .ok_or_else(|| lost(lease))
    }

    async fn reject(&self, lease: &Lease, reason: &str) -> Result<(), QueueError> {
        let queue = self.store.queues().queue(&lease.queue);
        let name = Arc::clone(queue.name());
        let sequence = queue
            .held(self.clock.now(), &lease.id, lease.token)
            .ok_or_else(|| lost(lease))?;
        let payload = self
            .store
            .payload(&name, sequence)
            .map_err(|error| refused(error, &name))?
            .ok_or_else(|| lost(lease))?;
        let (id, reason) = (lease.id.clone(), reason.to_owned());
        self.store
            .submit(|reply| Mutation::Bury {
                queue: name,
                sequence,
                id,
                reason,
                payload,
                reply,
            })
            .await
            .map_err(|error| refused(error, &lease.queue))
    }

    async fn depth(&self, queue: &str) -> Result<usize, QueueError> {
        Ok(self.store.queues().queue(queue).depth())
    }

    async fn dead(&self, queue: &str) -> Result<Vec<(String, String, Bytes)>, QueueError> {
        let read = self.store.read(|view| {
            let mut letters = Vec::new();
            for row in view
                .open_table(DEAD)?
                .range((queue, 0)..=(queue, u64::MAX))?
            {
                let (_, value) = row?;
                let (id, reason, payload) = value.value();
                letters.push((
                    id.to_owned(),
                    reason.to_owned(),
                    Bytes::copy_from_slice(payload),
                ));
            }
            Ok(letters)
        });
        read.map_err(|error| refused(error, queue))
    }
}
