//! Follows a stream: what is stored is read in batches; a message on core NATS wakes whoever has read
//! everything. No consumer on the server, no polling while nothing happens.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{Subscriber, jetstream::stream::Stream};
use futures_util::{FutureExt, StreamExt, stream::SelectAll};

use super::{
    Nats,
    batch::{self, Found},
    names,
};

/// A wake-up may be lost while the connection is; then it is looked again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Nothing that was not read yet can be dropped from a stream within this time after a look: it would
/// have to be filled from end to end.
const SAFE: Duration = Duration::from_millis(200);

/// How far the followers of this process have read, by kind of stream, as long as they live.
#[derive(Clone, Default)]
pub(super) struct Positions(Arc<Mutex<Vec<Position>>>);

/// A kind of stream, and how far one follower has read it.
type Position = (String, Weak<AtomicU64>);

impl Positions {
    fn add(&self, kind: &str) -> Arc<AtomicU64> {
        let position = Arc::default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, position)| position.strong_count() > 0);
        all.push((kind.to_owned(), Arc::downgrade(&position)));
        position
    }

    /// How far the slowest follower of a stream is behind its end.
    pub(super) fn lag(&self, kind: &str, end: u64) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = all.iter().filter(|(of, _)| of == kind);
        let positions = of_kind.filter_map(|(_, position)| position.upgrade());
        let behind = positions.map(|position| end.saturating_sub(position.load(Ordering::Relaxed)));
        behind.max().unwrap_or(0)
    }
}

pub(super) struct Follower {
    nats: Nats,
    stream: Stream,
    filters: Vec<String>,
    wakes: SelectAll<Subscriber>,
    /// Everything up to here was read.
    last: u64,
    ahead: VecDeque<Found>,
    checked: Option<Instant>,
    /// The end of the stream at the last look.
    end: u64,
    /// [`Self::last`], or the end when nothing is left: what others may see.
    position: Arc<AtomicU64>,
}

/// Messages behind `asked` are gone; the oldest has the sequence `oldest`.
pub(super) struct Gone {
    pub(super) asked: u64,
    pub(super) oldest: u64,
}

impl Follower {
    /// Follows subjects of `kind` under `prefix`; [`Self::start_behind`] says from where.
    pub(super) async fn open(
        nats: &Nats,
        stream: &Stream,
        kind: &str,
        prefix: &str,
    ) -> Result<Self, String> {
        let mut wakes = SelectAll::new();
        for filter in names::filters(&nats.subjects(&format!("told.{kind}")), prefix) {
            let wake = nats.client.subscribe(filter).await;
            wakes.push(wake.map_err(|e| e.to_string())?);
        }
        // From here on nothing that is stored goes unheard.
        nats.client.flush().await.map_err(|e| e.to_string())?;
        Ok(Self {
            position: nats.positions.add(kind),
            end: 0,
            filters: names::filters(&nats.subjects(kind), prefix),
            nats: nats.clone(),
            stream: stream.clone(),
            wakes,
            last: 0,
            ahead: VecDeque::new(),
            checked: None,
        })
    }

    pub(super) fn start_behind(&mut self, sequence: u64) {
        self.last = sequence;
        self.ahead.clear();
        self.position.store(sequence, Ordering::Relaxed);
    }

    /// The next message; waits for one. `Err(Some)` when some were dropped before they were read: the
    /// next call goes on with the oldest. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Result<Found, Gone>, String> {
        loop {
            if let Some(found) = self.ahead.pop_front() {
                self.last = found.sequence;
                self.position.store(self.last, Ordering::Relaxed);
                return Ok(Ok(found));
            }
            // Wake-ups until now are answered by the look that follows.
            while let Some(Some(_)) = self.wakes.next().now_or_never() {}
            if let Some(gone) = self.gone().await? {
                self.last = gone.oldest - 1;
                return Ok(Err(gone));
            }
            self.ahead = self.read().await?;
            if self.ahead.is_empty() {
                // What lies between is not under the prefix.
                self.position
                    .store(self.last.max(self.end), Ordering::Relaxed);
                // Woken or not: it is looked again.
                tokio::time::timeout(LOOK_AGAIN, self.wakes.next())
                    .await
                    .ok();
            }
        }
    }

    async fn gone(&mut self) -> Result<Option<Gone>, String> {
        if self.checked.is_some_and(|at| at.elapsed() < SAFE) {
            return Ok(None);
        }
        let info = self.stream.get_info().await.map_err(|e| e.to_string())?;
        self.checked = Some(Instant::now());
        self.end = info.state.last_sequence;
        let oldest = info.state.first_sequence;
        // The first message that is followed may lie behind others; only what was read before counts.
        let gone = self.last > 0 && oldest > self.last + 1;
        Ok(gone.then_some(Gone {
            asked: self.last,
            oldest,
        }))
    }

    async fn read(&self) -> Result<VecDeque<Found>, String> {
        let mut all = Vec::new();
        let mut complete_to = u64::MAX;
        for filter in &self.filters {
            let (found, more) =
                batch::read(&self.nats.client, &self.stream, filter, self.last + 1).await?;
            if let (true, Some(last)) = (more, found.last()) {
                complete_to = complete_to.min(last.sequence);
            }
            all.extend(found);
        }
        all.retain(|found| found.sequence <= complete_to);
        all.sort_by_key(|found| found.sequence);
        Ok(all.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_living_follower_counts() {
        let positions = Positions::default();
        assert_eq!(positions.lag("topic", 10), 0);
        let (near, far) = (positions.add("topic"), positions.add("topic"));
        near.store(9, Ordering::Relaxed);
        far.store(4, Ordering::Relaxed);
        assert_eq!(positions.lag("topic", 10), 6);
        assert_eq!(positions.lag("journal", 10), 0);
        drop(far);
        assert_eq!(positions.lag("topic", 10), 1);
    }
}
