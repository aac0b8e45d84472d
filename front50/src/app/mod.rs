//! Use cases: every document in memory, every write conditional, every change announced.

mod applications;
mod bucket;
mod bulk;
mod changes;
mod notifications;
mod objects;
mod pipelines;
mod projects;
mod refresh;
mod reservation;
mod shelf;
mod store;
mod templates;
mod work;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use kork::ports::{Clock, Ids, Ports, Topic};

use self::{bucket::Bucket, shelf::Shelf};
use crate::domain::{Limits, ObjectType, layout, limits::DOCUMENT_BYTES_MAX};

pub use pipelines::SavePipeline;

/// Tries of a write that others overtake each time. Each loss means that somebody else got on.
pub(crate) const WRITE_TRIES_MAX: u32 = 8;
/// Objects that are read or written at the same time by one bulk action.
pub(crate) const PARALLEL_MAX: usize = 32;
/// Locks that writers of one process share out among all ids.
const STRIPES: usize = 64;

/// The persistence service: all use cases. One per process.
pub struct Front50 {
    pub(crate) bucket: Bucket,
    shelves: Vec<Shelf>,
    /// Own writers of one document queue up here instead of failing each other's conditions.
    stripes: Vec<tokio::sync::Mutex<()>>,
    topic: Arc<dyn Topic>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    pub(crate) limits: Limits,
    /// Starts the id of each event of this process, so that it knows its own.
    instance: String,
    /// Markers of the groups, as last read or written.
    markers: Mutex<BTreeMap<&'static str, u64>>,
}

impl Front50 {
    /// A service without documents; load them with [`Self::load`].
    pub fn new(root_folder: &str, mut limits: Limits, ports: &Ports) -> Arc<Self> {
        // No setting makes a message larger.
        limits.document_bytes_max = limits.document_bytes_max.min(DOCUMENT_BYTES_MAX);
        Arc::new(Self {
            bucket: Bucket::new(Arc::clone(&ports.objects), root_folder),
            shelves: ObjectType::ALL.iter().map(|_| Shelf::default()).collect(),
            stripes: (0..STRIPES)
                .map(|_| tokio::sync::Mutex::default())
                .collect(),
            topic: Arc::clone(&ports.topic),
            clock: Arc::clone(&ports.clock),
            ids: Arc::clone(&ports.ids),
            limits,
            instance: ports.ids.ulid(),
            markers: Mutex::default(),
        })
    }

    pub(crate) fn shelf(&self, of: ObjectType) -> &Shelf {
        // The variants are numbered in the order of `ALL`.
        &self.shelves[of as usize]
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now().millis()
    }

    async fn lock(&self, of: ObjectType, id: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let bytes = of.group().bytes().chain(id.to_lowercase().into_bytes());
        let hash = bytes.fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        self.stripes[hash % STRIPES].lock().await
    }
}

/// Where new ids come from: random ones, or, for work that may be repeated, ids that come out the
/// same each time.
pub(crate) struct NewIds<'a> {
    ids: &'a dyn Ids,
    seed: Option<&'a str>,
    given: u32,
}

impl NewIds<'_> {
    pub(crate) fn uuid(&mut self) -> String {
        let Some(seed) = self.seed else {
            return self.ids.uuid();
        };
        self.given += 1;
        layout::seeded_uuid(&format!("{seed}/{}", self.given))
    }
}

impl Front50 {
    pub(crate) fn new_ids<'a>(&'a self, seed: Option<&'a str>) -> NewIds<'a> {
        NewIds {
            ids: &*self.ids,
            seed,
            given: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_numbered_in_the_order_of_all() {
        for (place, of) in ObjectType::ALL.into_iter().enumerate() {
            assert_eq!(of as usize, place);
        }
    }
}
