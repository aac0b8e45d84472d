//! The thread that commits. It sleeps until there is something to write.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{Mutation, Shared, lock};

/// Mutations that wait for the writer; further callers wait for room.
const WAITING_MAX: usize = 4096;
/// How long changes that are durable later may stay in memory alone.
const LAZY_DELAY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    room: Semaphore,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Mutation>,
    /// Commit although nobody waits.
    flush: bool,
    closed: bool,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let inbox = Arc::new(Inbox {
            state: Mutex::default(),
            arrived: Condvar::new(),
            room: Semaphore::new(WAITING_MAX),
        });
        let of_thread = Arc::clone(&inbox);
        let thread = Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || run(&of_thread, &shared))?;
        Ok(Self {
            inbox,
            thread: Some(thread),
        })
    }

    /// Hands a mutation over; waits when too many wait already.
    pub(super) async fn push(&self, mutation: Mutation) {
        // The semaphore is never closed, so a permit is always given in the end.
        if let Ok(permit) = self.inbox.room.acquire().await {
            permit.forget();
        }
        lock(&self.inbox.state).waiting.push_back(mutation);
        self.inbox.arrived.notify_one();
    }

    /// Something changed that can wait a little; with `now` it should not wait longer.
    pub(super) fn wake(&self, now: bool) {
        lock(&self.inbox.state).flush |= now;
        self.inbox.arrived.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.inbox.state).closed = true;
        self.inbox.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and reported where they happened.
            drop(thread.join());
        }
    }
}

fn run(inbox: &Inbox, shared: &Shared) {
    loop {
        let (group, durable, closed) = next_group(inbox, shared);
        inbox.room.add_permits(group.len());
        shared.commit_guarded(group, durable);
        if closed {
            return;
        }
    }
}

/// Waits for work. Answers with all that waits, whether to sync in any case, and whether this is the
/// end.
fn next_group(inbox: &Inbox, shared: &Shared) -> (Vec<Mutation>, bool, bool) {
    let mut state = lock(&inbox.state);
    loop {
        if state.closed {
            return (state.waiting.drain(..).collect(), true, true);
        }
        if !state.waiting.is_empty() {
            return (state.waiting.drain(..).collect(), false, false);
        }
        if std::mem::take(&mut state.flush) {
            return (Vec::new(), true, false);
        }
        if !shared.has_unsynced() {
            state = inbox
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let (next, waited) = inbox
            .arrived
            .wait_timeout(state, LAZY_DELAY)
            .unwrap_or_else(PoisonError::into_inner);
        state = next;
        if waited.timed_out() && state.waiting.is_empty() && !state.closed {
            return (Vec::new(), true, false);
        }
    }
}
