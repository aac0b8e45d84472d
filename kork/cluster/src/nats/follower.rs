//! Follows a stream: what is stored is read in batches; a message on core NATS wakes whoever has read
//! everything. No consumer on the server, no polling while nothing happens.

use std::{
    collections::VecDeque,
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

pub(super) struct Follower {
    nats: Nats,
    stream: Stream,
    filters: Vec<String>,
    wakes: SelectAll<Subscriber>,
    /// Everything up to here was read.
    last: u64,
    ahead: VecDeque<Found>,
    checked: Option<Instant>,
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
    }

    /// The next message; waits for one. `Err(Some)` when some were dropped before they were read: the
    /// next call goes on with the oldest. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Result<Found, Gone>, String> {
        loop {
            if let Some(found) = self.ahead.pop_front() {
                self.last = found.sequence;
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
