//! The last deliveries, for people: what came in, what was made of it, and why nothing was.
//!
//! They are kept as pages in the object store, so that every igor shows those of all. A page is written a
//! moment after its first delivery; what is to start pipelines does not wait for it, nor hang on it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kork::{
    ports::{Condition, ObjectStore, ObjectStoreError},
    service::Shutdown,
};
use kork_model::{InboundEvent, Kind, Problem, Timestamp, api::igor::DeliveryRecord};
use tokio::sync::Notify;

/// Folder of the pages.
const FOLDER: &str = "igor/deliveries/";
/// Deliveries of a page, and bytes past which it is full.
const PAGE: usize = 128;
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How long a delivery waits for others of its page.
const PAGE_WAIT: Duration = Duration::from_millis(300);
/// Deliveries that wait for their page; past it the oldest are not kept.
const WAITING_MAX: usize = 4_096;
/// Sources of which it is known when they were heard of last.
const SOURCES_MAX: usize = 10_000;
/// Events that are remembered to tell what is repeated.
const KNOWN_MAX: usize = 10_000;
/// Pages that are kept.
const PAGES_MAX: usize = 1_000;
/// Pages that are written before old ones are looked for.
const CLEAR_EVERY: usize = 50;
/// Pages that one question reads, at most.
const READ_MAX: usize = 40;
/// Most deliveries of an answer, and its bytes.
const LISTED_MAX: usize = 500;
const LISTED_BYTES: usize = 4 * 1024 * 1024;
/// Pause before a page is written again.
const RETRY: Duration = Duration::from_secs(1);

/// Ids of the newest events.
#[derive(Default)]
struct Known {
    ids: BTreeSet<String>,
    order: VecDeque<String>,
}

/// The deliveries that stand in no page yet, and the way to the pages.
pub(crate) struct History {
    objects: Arc<dyn ObjectStore>,
    waiting: Mutex<VecDeque<(usize, DeliveryRecord)>>,
    /// When each source was heard of last, here.
    last: Mutex<BTreeMap<String, Timestamp>>,
    known: Mutex<Known>,
    changed: Notify,
}

impl History {
    pub(crate) fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            waiting: Mutex::default(),
            last: Mutex::default(),
            known: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(usize, DeliveryRecord)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of these events have come in before, as far as this process remembers.
    pub(crate) fn knows(&self, events: &[InboundEvent]) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        !events.is_empty() && events.iter().all(|event| known.ids.contains(&event.id))
    }

    /// Remembers events that are stored.
    pub(crate) fn remember(&self, events: &[InboundEvent]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            // A build that runs is told of again when it has ended.
            if event.building != Some(true) && known.ids.insert(event.id.clone()) {
                known.order.push_back(event.id.clone());
            }
        }
        while known.order.len() > KNOWN_MAX {
            if let Some(oldest) = known.order.pop_front() {
                known.ids.remove(&oldest);
            }
        }
    }

    /// Notes a delivery.
    pub(crate) fn note(&self, record: DeliveryRecord) {
        let size = serde_json::to_vec(&record).map_or(0, |text| text.len());
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() < SOURCES_MAX || last.contains_key(&record.source) {
                last.insert(record.source.clone(), record.received);
            }
        }
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back((size, record));
        self.changed.notify_one();
    }

    /// When a source was heard of last, by this process.
    pub(crate) fn last_of(&self, source: &str) -> Option<Timestamp> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(source).copied()
    }

    /// The newest, newest first, of one source or of all; without bodies.
    pub(crate) async fn list(
        &self,
        source: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeliveryRecord>, Problem> {
        let limit = limit.min(LISTED_MAX);
        let is_of = |record: &DeliveryRecord| source.is_none_or(|name| record.source == name);
        let mut found: Vec<DeliveryRecord> = {
            let waiting = self.waiting();
            let newest = waiting.iter().rev().map(|(_, record)| record);
            newest.filter(|record| is_of(record)).cloned().collect()
        };
        let pages = self
            .objects
            .list(FOLDER)
            .await
            .map_err(|error| away(&error))?;
        for page in pages.iter().rev().take(READ_MAX) {
            if found.len() >= limit {
                break;
            }
            let records = self.page(&page.key).await?;
            found.extend(records.into_iter().filter(&is_of));
        }
        found.sort_by(|a, b| b.id.cmp(&a.id));
        found.dedup_by(|a, b| a.id == b.id);
        found.truncate(limit);
        let mut bytes = 0;
        Ok(found
            .into_iter()
            .map(without_body)
            .take_while(|record| {
                bytes += serde_json::to_vec(record).map_or(0, |text| text.len());
                bytes <= LISTED_BYTES
            })
            .collect())
    }

    /// One delivery, as it is kept.
    pub(crate) async fn get(&self, id: &str) -> Result<DeliveryRecord, Problem> {
        let known = {
            let waiting = self.waiting();
            let mut all = waiting.iter().map(|(_, record)| record);
            all.find(|record| record.id == id).cloned()
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let pages = self
            .objects
            .list(FOLDER)
            .await
            .map_err(|error| away(&error))?;
        // A page is named after the newest delivery in it.
        let later = pages
            .iter()
            .filter(|page| name_of(&page.key).is_some_and(|name| name >= id));
        for page in later.take(READ_MAX) {
            let records = self.page(&page.key).await?;
            if let Some(found) = records.into_iter().find(|record| record.id == id) {
                return Ok(found);
            }
        }
        let text = format!("there is no delivery {id}, or it is not kept any more");
        Err(Problem::new("IGOR-0006", Kind::NotFound, text))
    }

    async fn page(&self, key: &str) -> Result<Vec<DeliveryRecord>, Problem> {
        let Some(page) = self.objects.get(key).await.map_err(|error| away(&error))? else {
            return Ok(Vec::new());
        };
        Ok(serde_json::from_slice(&page.body).unwrap_or_else(|error| {
            tracing::warn!(%error, page = key, "a page of deliveries cannot be read");
            Vec::new()
        }))
    }

    /// Takes the next page of those that wait.
    fn next_page(&self) -> Vec<DeliveryRecord> {
        let waiting = self.waiting();
        let mut bytes = 0;
        let fits = waiting.iter().take(PAGE).take_while(|(size, _)| {
            let is_first = bytes == 0;
            bytes += size;
            is_first || bytes <= PAGE_BYTES
        });
        fits.map(|(_, record)| record.clone()).collect()
    }

    async fn write(&self, page: &[DeliveryRecord]) -> Result<(), ObjectStoreError> {
        // Deliveries are noted when they are done, which is not the order in which they came in.
        let ids: BTreeSet<&str> = page.iter().map(|record| &*record.id).collect();
        let Some(newest) = ids.last() else {
            return Ok(());
        };
        // They are made of strings and numbers, which JSON has.
        let body = Bytes::from(serde_json::to_vec(page).unwrap_or_default());
        let key = format!("{FOLDER}{newest}.json");
        self.objects.put(&key, body, Condition::Always).await?;
        let mut waiting = self.waiting();
        waiting.retain(|(_, record)| !ids.contains(&*record.id));
        Ok(())
    }

    async fn clear(&self) -> Result<(), ObjectStoreError> {
        let pages = self.objects.list(FOLDER).await?;
        let old = pages.len().saturating_sub(PAGES_MAX);
        for page in &pages[..old] {
            self.objects.erase(&page.key).await?;
        }
        Ok(())
    }
}

/// Starts to write pages.
pub(crate) fn spawn(history: &Arc<History>, shutdown: &Shutdown) {
    let (history, stop) = (Arc::clone(history), shutdown.clone());
    shutdown.spawn(async move {
        let mut written = 0;
        loop {
            tokio::select! {
                () = history.changed.notified() => {}
                () = stop.requested() => break,
            }
            tokio::select! {
                () = tokio::time::sleep(PAGE_WAIT) => {}
                () = stop.requested() => break,
            }
            written += flush(&history, &stop).await;
            if written >= CLEAR_EVERY {
                written = 0;
                if let Err(error) = history.clear().await {
                    tracing::warn!(%error, "old deliveries are removed later");
                }
            }
        }
        flush(&history, &stop).await;
    });
}

/// Writes what waits; how many pages that are.
async fn flush(history: &History, stop: &Shutdown) -> usize {
    let mut written = 0;
    loop {
        let page = history.next_page();
        if page.is_empty() {
            return written;
        }
        match history.write(&page).await {
            Ok(()) => written += 1,
            Err(error) if stop.is_requested() => {
                tracing::warn!(%error, deliveries = page.len(), "the last deliveries are not kept");
                return written;
            }
            Err(error) => {
                tracing::warn!(%error, "deliveries are kept later");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn name_of(key: &str) -> Option<&str> {
    key.strip_prefix(FOLDER)?.strip_suffix(".json")
}

fn without_body(mut record: DeliveryRecord) -> DeliveryRecord {
    record.body = None;
    for event in &mut record.events {
        event.signed = None;
    }
    record
}

fn away(error: &ObjectStoreError) -> Problem {
    let text = "the deliveries that are kept cannot be read just now";
    Problem::new("KORK-0008", Kind::Unavailable, text)
        .because(error)
        .retry_after(1)
}

#[cfg(test)]
mod tests {
    use kork::embedded::{Embedded, SeededIds, TokioClock};
    use kork_model::{Timestamp, api::igor::RawBody};

    use super::*;

    fn history() -> History {
        let clock = Arc::new(TokioClock::new(Timestamp(1_790_000_000_000)));
        let ids = Arc::new(SeededIds::new(3, clock.clone()));
        History::new(Embedded::in_memory(clock, ids).ports().objects)
    }

    fn record(n: usize, source: &str) -> DeliveryRecord {
        DeliveryRecord {
            id: format!("{n:026}"),
            source: source.to_owned(),
            body: Some(RawBody::Text(format!("body {n}"))),
            ..DeliveryRecord::default()
        }
    }

    #[tokio::test]
    async fn the_newest_are_listed_wherever_they_are() {
        let history = history();
        let stop = Shutdown::default();
        for n in 0..300 {
            history.note(record(n, if n % 3 == 0 { "a" } else { "b" }));
            if n == 290 {
                assert_eq!(flush(&history, &stop).await, 3);
            }
        }
        let ids = |found: Vec<DeliveryRecord>| -> Vec<usize> {
            found.iter().map(|r| r.id.parse().unwrap()).collect()
        };
        let newest = history.list(None, 20).await.unwrap();
        assert!(newest.iter().all(|record| record.body.is_none()));
        assert_eq!(ids(newest), (280..300).rev().collect::<Vec<_>>());
        let of_a = history.list(Some("a"), 200).await.unwrap();
        assert_eq!(
            ids(of_a),
            (0..300).rev().filter(|n| n % 3 == 0).collect::<Vec<_>>()
        );
        for n in [0, 127, 128, 290, 291, 299] {
            let found = history.get(&format!("{n:026}")).await.unwrap();
            assert_eq!(found.body, Some(RawBody::Text(format!("body {n}"))));
        }
        let unknown = history.get(&format!("{:026}", 300)).await.unwrap_err();
        assert_eq!(unknown.kind, Kind::NotFound);
    }

    /// A delivery that waits for orca is noted after one that came in later.
    #[tokio::test]
    async fn none_is_lost_and_each_is_found_when_they_are_noted_out_of_order() {
        let history = history();
        let stop = Shutdown::default();
        for page in [&[7, 5][..], &[12, 9, 6], &[8, 30], &[29, 10]] {
            for n in page {
                history.note(record(*n, "a"));
            }
            assert_eq!(flush(&history, &stop).await, 1);
            assert!(history.waiting().is_empty());
        }
        for n in [5, 6, 7, 8, 9, 10, 12, 29, 30] {
            let found = history.get(&format!("{n:026}")).await;
            assert!(found.is_ok(), "{n}");
        }
        assert_eq!(history.list(None, 50).await.unwrap().len(), 9);
    }

    #[tokio::test]
    async fn what_is_noted_while_a_page_is_written_is_in_the_next() {
        let history = history();
        history.note(record(7, "a"));
        let page = history.next_page();
        history.note(record(5, "a"));
        history.write(&page).await.unwrap();
        let left: Vec<String> = history.next_page().into_iter().map(|r| r.id).collect();
        assert_eq!(left, [format!("{:026}", 5)]);
    }
}
