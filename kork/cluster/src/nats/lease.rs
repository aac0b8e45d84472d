//! Messages that this process holds. JetStream knows one deadline for all messages of a queue; here
//! each has a lease of its own. While it runs, signs of life keep the short deadline of the server
//! away; when it ends, the message is handed back at once. When the process dies, the signs stop.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{AckKind, message::Acker};
use bytes::Bytes;
use tokio::{task::AbortHandle, time::Instant};

/// The server delivers a message again when it has heard nothing of it for this long.
pub(super) const SILENCE_MAX: Duration = Duration::from_millis(1_500);
/// Between two signs of life.
const SIGN: Duration = Duration::from_millis(500);

/// What this process holds, by token.
#[derive(Clone, Default)]
pub(super) struct Leases {
    held: Arc<Mutex<HashMap<u64, Held>>>,
    next: Arc<AtomicU64>,
}

/// A message that was given out of hand.
pub(super) struct Taken {
    pub(super) acker: Arc<Acker>,
    pub(super) payload: Bytes,
}

struct Held {
    acker: Arc<Acker>,
    /// For a dead letter: nobody may read a queue again, not even its own messages.
    payload: Bytes,
    until: Instant,
    /// The last moment in which the server heard of it.
    heard: Instant,
    signs: Option<AbortHandle>,
}

impl Leases {
    /// Holds a message that was just delivered; answers with its token.
    pub(super) fn hold(&self, acker: Acker, payload: Bytes, lease: Duration) -> u64 {
        let token = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let now = Instant::now();
        let held = Held {
            acker: Arc::new(acker),
            payload,
            until: now + lease,
            heard: now,
            signs: None,
        };
        self.lock().insert(token, held);
        let signs = tokio::spawn(self.clone().give_signs(token));
        if let Some(held) = self.lock().get_mut(&token) {
            held.signs = Some(signs.abort_handle());
        }
        token
    }

    /// Gives a message out of hand, to be acknowledged; `None` when the lease is lost.
    pub(super) fn take(&self, token: u64) -> Option<Taken> {
        let held = self.lock().remove(&token)?;
        if let Some(signs) = &held.signs {
            signs.abort();
        }
        held.is_ours().then_some(Taken {
            acker: held.acker,
            payload: held.payload,
        })
    }

    /// Lets the lease run for `lease` from now; false when it is lost.
    pub(super) fn extend(&self, token: u64, lease: Duration) -> bool {
        let mut all = self.lock();
        let held = all.get_mut(&token).filter(|held| held.is_ours());
        held.map(|held| held.until = Instant::now() + lease)
            .is_some()
    }

    async fn give_signs(self, token: u64) {
        loop {
            let Some(until) = self.lock().get(&token).map(|held| held.until) else {
                return;
            };
            tokio::time::sleep_until(until.min(Instant::now() + SIGN)).await;
            let Some((acker, ours, over)) = self.look(token) else {
                return;
            };
            if over {
                self.lock().remove(&token);
            }
            let kind = match (ours, over) {
                // The process stood still for too long: somebody else has the message.
                (false, _) => {
                    self.lock().remove(&token);
                    return;
                }
                (true, true) => AckKind::Nak(None),
                (true, false) => AckKind::Progress,
            };
            match acker.ack_with(kind).await {
                Ok(()) => self.heard(token),
                Err(error) => tracing::debug!(%error, "a sign of life could not be given"),
            }
            if over {
                return;
            }
        }
    }

    fn look(&self, token: u64) -> Option<(Arc<Acker>, bool, bool)> {
        let all = self.lock();
        let held = all.get(&token)?;
        let over = held.until <= Instant::now();
        Some((Arc::clone(&held.acker), held.is_ours(), over))
    }

    fn heard(&self, token: u64) {
        if let Some(held) = self.lock().get_mut(&token) {
            held.heard = Instant::now();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The server cannot have given it to anybody else yet.
    fn is_ours(&self) -> bool {
        self.heard.elapsed() < SILENCE_MAX
    }
}
