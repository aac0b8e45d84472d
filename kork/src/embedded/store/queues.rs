//! What waits and what is held, in memory: ids, due times and leases. Payloads stay in the file.
//!
//! Leases and attempts are not stored: after a restart everything that was not acknowledged is
//! delivered again, as attempt 1.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

use super::lock;
use crate::model::Timestamp;

/// All queues by name. A name stays once it was used; there are few.
pub(in crate::embedded) struct Queues {
    queues: Mutex<HashMap<Arc<str>, Arc<WorkQueue>>>,
    /// Tokens start above this one: leases of an earlier run fit no message.
    token_base: u64,
}

/// One queue.
pub(in crate::embedded) struct WorkQueue {
    name: Arc<str>,
    state: Mutex<State>,
    /// Told whenever the next moment of work may have become earlier.
    pub(in crate::embedded) changed: Notify,
}

#[derive(Default)]
struct State {
    entries: HashMap<u64, Entry>,
    ids: HashMap<Arc<str>, u64>,
    /// (due, sequence) of those that wait.
    waiting: BTreeSet<(Timestamp, u64)>,
    /// (end of the lease, sequence) of those that are held.
    held: BTreeSet<(Timestamp, u64)>,
    last_token: u64,
}

struct Entry {
    id: Arc<str>,
    due: Timestamp,
    attempt: u32,
    lease: Option<(u64, Timestamp)>,
}

/// A message that was leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::embedded) struct Taken {
    pub(in crate::embedded) sequence: u64,
    pub(in crate::embedded) id: Arc<str>,
    pub(in crate::embedded) attempt: u32,
    pub(in crate::embedded) token: u64,
}

impl Queues {
    pub(super) fn new(token_base: u64) -> Self {
        Self {
            queues: Mutex::default(),
            token_base,
        }
    }

    pub(in crate::embedded) fn queue(&self, name: &str) -> Arc<WorkQueue> {
        let mut queues = lock(&self.queues);
        if let Some(queue) = queues.get(name) {
            return Arc::clone(queue);
        }
        let name: Arc<str> = Arc::from(name);
        let queue = Arc::new(WorkQueue {
            name: Arc::clone(&name),
            state: Mutex::new(State {
                last_token: self.token_base,
                ..State::default()
            }),
            changed: Notify::new(),
        });
        queues.insert(name, Arc::clone(&queue));
        queue
    }

    pub(super) fn contains(&self, queue: &str, id: &str) -> bool {
        lock(&self.queue(queue).state).ids.contains_key(id)
    }

    pub(super) fn depth(&self, queue: &str) -> usize {
        self.queue(queue).depth()
    }

    pub(super) fn insert(&self, queue: &str, sequence: u64, id: &str, due: Timestamp) {
        let queue = self.queue(queue);
        let id: Arc<str> = Arc::from(id);
        {
            let mut state = lock(&queue.state);
            state.ids.insert(Arc::clone(&id), sequence);
            state.waiting.insert((due, sequence));
            state.entries.insert(
                sequence,
                Entry {
                    id,
                    due,
                    attempt: 0,
                    lease: None,
                },
            );
        }
        queue.changed.notify_waiters();
    }

    pub(super) fn remove(&self, queue: &str, sequence: u64) {
        lock(&self.queue(queue).state).remove(sequence);
    }
}

impl WorkQueue {
    pub(in crate::embedded) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(in crate::embedded) fn depth(&self) -> usize {
        lock(&self.state).entries.len()
    }

    /// Leases what is due, oldest first. When nothing is: the next moment at which something may be.
    pub(in crate::embedded) fn take(
        &self,
        now: Timestamp,
        max: usize,
        until: Timestamp,
    ) -> Result<Vec<Taken>, Option<Timestamp>> {
        let mut state = lock(&self.state);
        state.expire(now);
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(&(due, sequence)) = state.waiting.first().filter(|(due, _)| *due <= now)
            else {
                break;
            };
            state.waiting.remove(&(due, sequence));
            state.held.insert((until, sequence));
            state.last_token += 1;
            let token = state.last_token;
            if let Some(entry) = state.entries.get_mut(&sequence) {
                entry.attempt += 1;
                entry.lease = Some((token, until));
                let (id, attempt) = (Arc::clone(&entry.id), entry.attempt);
                taken.push(Taken {
                    sequence,
                    id,
                    attempt,
                    token,
                });
            }
        }
        if taken.is_empty() {
            let ends = [state.waiting.first(), state.held.first()];
            return Err(ends.into_iter().flatten().map(|(moment, _)| *moment).min());
        }
        Ok(taken)
    }

    /// The sequence number of a message whose lease still holds.
    pub(in crate::embedded) fn held(&self, now: Timestamp, id: &str, token: u64) -> Option<u64> {
        let mut state = lock(&self.state);
        state.expire(now);
        state.held_by(id, token)
    }

    /// Removes a message whose lease still holds; answers with its sequence number.
    pub(in crate::embedded) fn finish(&self, now: Timestamp, id: &str, token: u64) -> Option<u64> {
        let mut state = lock(&self.state);
        state.expire(now);
        let sequence = state.held_by(id, token)?;
        state.remove(sequence);
        Some(sequence)
    }

    /// Gives a held message back, due at `due`.
    pub(in crate::embedded) fn give_back(
        &self,
        now: Timestamp,
        id: &str,
        token: u64,
        due: Timestamp,
    ) -> Option<()> {
        {
            let mut state = lock(&self.state);
            state.expire(now);
            let sequence = state.held_by(id, token)?;
            state.release(sequence, due);
        }
        self.changed.notify_waiters();
        Some(())
    }

    /// The lease of a held message ends at `until`.
    pub(in crate::embedded) fn extend(
        &self,
        now: Timestamp,
        id: &str,
        token: u64,
        until: Timestamp,
    ) -> Option<()> {
        {
            let mut state = lock(&self.state);
            state.expire(now);
            let sequence = state.held_by(id, token)?;
            let entry = state.entries.get_mut(&sequence)?;
            let before = entry.lease.replace((token, until));
            if let Some((_, end)) = before {
                state.held.remove(&(end, sequence));
            }
            state.held.insert((until, sequence));
        }
        self.changed.notify_waiters();
        Some(())
    }
}

impl State {
    /// What is held beyond its lease waits again, at its old place in the order.
    fn expire(&mut self, now: Timestamp) {
        while let Some(&(end, sequence)) = self.held.first().filter(|(end, _)| *end <= now) {
            self.held.remove(&(end, sequence));
            if let Some(entry) = self.entries.get_mut(&sequence) {
                entry.lease = None;
                self.waiting.insert((entry.due, sequence));
            }
        }
    }

    fn held_by(&self, id: &str, token: u64) -> Option<u64> {
        let sequence = *self.ids.get(id)?;
        let (current, _) = self.entries.get(&sequence)?.lease?;
        (current == token).then_some(sequence)
    }

    fn release(&mut self, sequence: u64, due: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&sequence) {
            if let Some((_, end)) = entry.lease.take() {
                self.held.remove(&(end, sequence));
            }
            entry.due = due;
            self.waiting.insert((due, sequence));
        }
    }

    fn remove(&mut self, sequence: u64) {
        if let Some(entry) = self.entries.remove(&sequence) {
            self.ids.remove(&entry.id);
            self.waiting.remove(&(entry.due, sequence));
            if let Some((_, end)) = entry.lease {
                self.held.remove(&(end, sequence));
            }
        }
    }
}
