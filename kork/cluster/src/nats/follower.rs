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

/// With less than one of so many messages under the prefix, the server leaves the others out.
const SPARSE: usize = 4;

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
    /// Everything up to here was given out, or is not under the prefix.
    last: u64,
    ahead: VecDeque<Found>,
    /// Everything up to here is in `ahead`, or is not under the prefix.
    read_to: u64,
    /// Most of the stream is under the prefix.
    dense: bool,
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
            read_to: 0,
            dense: true,
            checked: None,
        })
    }

    pub(super) fn start_behind(&mut self, sequence: u64) {
        self.ahead.clear();
        self.read_to = sequence;
        self.reached(sequence);
    }

    /// The next message; waits for one. `Err(Some)` when some were dropped before they were read: the
    /// next call goes on with the oldest. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Result<Found, Gone>, String> {
        loop {
            if let Some(found) = self.ahead.pop_front() {
                self.reached(found.sequence);
                return Ok(Ok(found));
            }
            self.reached(self.last.max(self.read_to));
            // Wake-ups until now are answered by the look that follows.
            while let Some(Some(_)) = self.wakes.next().now_or_never() {}
            if let Some(gone) = self.gone().await? {
                self.last = gone.oldest - 1;
                return Ok(Err(gone));
            }
            let before = self.last;
            let found = self.read().await?;
            self.read_to = found.to;
            self.dense = found.is_dense(before);
            self.ahead = found.messages;
            if self.ahead.is_empty() && self.read_to == before {
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

    fn reached(&mut self, sequence: u64) {
        self.last = sequence;
        self.position.store(sequence, Ordering::Relaxed);
    }

    /// What comes next. The server counts what matches a filter for each answer, over all subjects of the
    /// stream; so where most of it is wanted, all of it is read, and what is not wanted is left out here.
    async fn read(&self) -> Result<Read, String> {
        let (client, from) = (&self.nats.client, self.last + 1);
        if self.dense {
            let (found, _) = batch::read(client, &self.stream, None, from).await?;
            return Ok(Read::all(found, &self.filters, self.last));
        }
        let mut messages = Vec::new();
        let mut complete_to = u64::MAX;
        for filter in &self.filters {
            let (found, more) = batch::read(client, &self.stream, Some(filter), from).await?;
            if let (true, Some(last)) = (more, found.last()) {
                complete_to = complete_to.min(last.sequence);
            }
            messages.extend(found);
        }
        messages.retain(|found| found.sequence <= complete_to);
        messages.sort_by_key(|found| found.sequence);
        Ok(Read {
            to: messages.last().map_or(self.last, |last| last.sequence),
            of: None,
            messages: messages.into(),
        })
    }
}

/// What was read in one go.
struct Read {
    messages: VecDeque<Found>,
    /// Nothing up to here is left.
    to: u64,
    /// Messages of which these were taken; unknown when the server left the others out.
    of: Option<usize>,
}

impl Read {
    /// From everything behind `last`.
    fn all(mut found: Vec<Found>, filters: &[String], last: u64) -> Self {
        let (to, of) = (found.last().map_or(last, |f| f.sequence), found.len());
        found.retain(|f| {
            filters
                .iter()
                .any(|filter| names::is_under(&f.subject, filter))
        });
        Self {
            messages: found.into(),
            to,
            of: Some(of),
        }
    }

    /// Whether everything should be read next time, and not what matches.
    fn is_dense(&self, before: u64) -> bool {
        let taken = self.messages.len();
        match self.of {
            Some(of) => taken * SPARSE >= of,
            // Purged messages count as others here: then it stays as it is.
            None => taken > 0 && taken as u64 * 2 >= self.to - before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_everything_where_most_is_wanted() {
        let found = |subject: &str, sequence| Found {
            subject: subject.to_owned(),
            sequence,
            headers: async_nats::HeaderMap::new(),
            payload: bytes::Bytes::new(),
        };
        let filters = ["t.a.>".to_owned()];
        let all = |subjects: &[&str]| {
            let found = (6..).zip(subjects).map(|(n, s)| found(s, n));
            Read::all(found.collect(), &filters, 5)
        };
        let read = all(&["t.a.1", "t.b.1", "t.a.2", "t.b.2"]);
        let sequences: Vec<u64> = read.messages.iter().map(|f| f.sequence).collect();
        assert_eq!((sequences, read.to), (vec![6, 8], 9));
        assert!(read.is_dense(5));
        let read = all(&["t.b.1", "t.b.2"]);
        assert_eq!((read.messages.len(), read.to), (0, 7));
        assert!(!read.is_dense(5));
        let read = all(&[]);
        assert!(read.is_dense(5) && read.to == 5);
        let mut read = all(&["t.a.1", "t.a.2", "t.a.3", "t.a.4"]);
        read.of = None;
        assert!(read.is_dense(5) && !read.is_dense(0));
    }

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
