//! Everything outside the process, as small traits.
//!
//! Exactly two adapters each (embedded and cluster) and one contract suite that both pass. Nobody
//! asks which one is in use.

mod cache;
mod clock;
mod journal;
mod object_store;
mod queue;
mod rpc;
mod topic;

use std::sync::Arc;

pub use cache::{Cache, CacheError, Writes};
pub use clock::{Clock, Ids};
pub use journal::{Journal, JournalError, Record, Revision, Subscription};
pub use object_store::{Condition, Object, ObjectInfo, ObjectStore, ObjectStoreError, Stored};
pub use queue::{Delivery, Enqueued, Lease, Queue, QueueError};
pub use rpc::{Endpoint, Registration, Rpc, RpcError, RpcHandler, ServiceInfo};
pub use topic::{Cursor, Message, NewMessage, Start, Topic, TopicError, TopicStream};

/// All ports that a service is started with.
#[derive(Clone)]
pub struct Ports {
    pub journal: Arc<dyn Journal>,
    pub queue: Arc<dyn Queue>,
    pub rpc: Arc<dyn Rpc>,
    pub topic: Arc<dyn Topic>,
    pub cache: Arc<dyn Cache>,
    pub objects: Arc<dyn ObjectStore>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

/// Limits that every adapter keeps, so that a service behaves the same on each.
pub mod limit {
    /// Largest record of a journal, message of a queue or topic: 1 MiB, the default of NATS. Larger
    /// values go to the object store and travel as references.
    pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
    /// Largest request or answer of an RPC: with its headers 8 MiB, the most that NATS recommends for
    /// `max_payload`. A whole execution or a page of a list fits.
    pub const RPC_BYTES_MAX: usize = 8 * 1024 * 1024 - 16 * 1024;
    /// Largest object: 64 MiB.
    pub const OBJECT_BYTES_MAX: usize = 64 * 1024 * 1024;
    /// Longest subject, queue name, endpoint or object key, in bytes.
    pub const NAME_BYTES_MAX: usize = 512;
    /// Most messages that wait in one queue.
    pub const QUEUE_MESSAGES_MAX: usize = 1_000_000;
    /// Messages that a topic keeps for replay; older ones are dropped.
    pub const TOPIC_MESSAGES_MAX: usize = 100_000;

    /// Items that go into one message each time, in their order: as many as have so many bytes together, and one that
    /// has more by itself.
    pub fn grouped<T>(
        items: impl IntoIterator<Item = T>,
        bytes_max: usize,
        bytes_of: impl Fn(&T) -> usize,
    ) -> Vec<Vec<T>> {
        let mut groups: Vec<Vec<T>> = Vec::new();
        let mut bytes = 0;
        for item in items {
            let size = bytes_of(&item);
            match groups.last_mut() {
                Some(group) if bytes + size <= bytes_max => {
                    bytes += size;
                    group.push(item);
                }
                _ => {
                    bytes = size;
                    groups.push(vec![item]);
                }
            }
        }
        groups
    }

    /// What of a name and a payload is larger than allowed: what, its size, the limit.
    pub fn oversized(
        max: usize,
        name: &str,
        payload_bytes: usize,
    ) -> Option<(String, usize, usize)> {
        if name.len() > NAME_BYTES_MAX {
            let start: String = name.chars().take(60).collect();
            return Some((format!("the name {start}..."), name.len(), NAME_BYTES_MAX));
        }
        (payload_bytes > max).then(|| (format!("the payload for {name}"), payload_bytes, max))
    }
}
