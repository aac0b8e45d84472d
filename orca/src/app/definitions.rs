//! Definitions of pipelines that triggers started last, as orca heard of them last.
//!
//! An event is matched with the triggers that orca knows, so it starts the definition that orca knows: asking
//! front50, which asks the bucket, would cost every start more than all else that it does. What is held goes
//! in the moment in which a change is told, before the changed pipeline is read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kork_model::Context;
use lru::LruCache;

/// Bytes of definitions that are held, at most, as JSON.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The definitions, by id of their pipeline.
pub(crate) struct Definitions {
    held: Mutex<Held>,
}

struct Held {
    by_id: LruCache<String, Bytes>,
    bytes: usize,
    /// Changes that were told of.
    turn: u64,
}

impl Default for Definitions {
    fn default() -> Self {
        let held = Held {
            by_id: LruCache::unbounded(),
            bytes: 0,
            turn: 0,
        };
        Self {
            held: Mutex::new(held),
        }
    }
}

impl Definitions {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Context> {
        let body = self.held().by_id.get(id).cloned()?;
        serde_json::from_slice(&body).ok()
    }

    /// How many changes were told of. What is read from now on is as new as all of them.
    pub(crate) fn turn(&self) -> u64 {
        self.held().turn
    }

    /// Holds what was read, unless a change was told of since `turn`: it may be older than that.
    pub(crate) fn put(&self, id: &str, definition: &Context, turn: u64) {
        let Ok(body) = serde_json::to_vec(definition) else {
            return;
        };
        let mut held = self.held();
        if held.turn == turn && body.len() <= BYTES_MAX {
            held.put(id, Bytes::from(body));
        }
    }

    /// A change of this pipeline was told of.
    pub(crate) fn changed(&self, id: &str) {
        let mut held = self.held();
        held.turn += 1;
        held.remove(id);
    }

    /// Changes may have been missed.
    pub(crate) fn forget_all(&self) {
        let mut held = self.held();
        held.turn += 1;
        held.by_id.clear();
        held.bytes = 0;
    }
}

impl Held {
    fn put(&mut self, id: &str, body: Bytes) {
        self.remove(id);
        self.bytes += body.len();
        self.by_id.put(id.to_owned(), body);
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.by_id.pop_lru()
        {
            self.bytes -= oldest.len();
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(body) = self.by_id.pop(id) {
            self.bytes -= body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(text: &str) -> Context {
        Context::from_iter([("name".to_owned(), json!(text))])
    }

    #[test]
    fn what_was_read_before_a_change_is_not_held_after_it() {
        let definitions = Definitions::default();
        let turn = definitions.turn();
        definitions.put("a", &definition("first"), turn);
        assert_eq!(definitions.get("a"), Some(definition("first")));
        definitions.changed("a");
        assert_eq!(definitions.get("a"), None);
        definitions.put("a", &definition("late"), turn);
        assert_eq!(definitions.get("a"), None);
        definitions.put("a", &definition("second"), definitions.turn());
        assert_eq!(definitions.get("a"), Some(definition("second")));
        definitions.forget_all();
        assert_eq!(definitions.get("a"), None);
    }

    #[test]
    fn what_was_used_last_stays_and_the_bytes_are_bounded() {
        let definitions = Definitions::default();
        let large = definition(&"x".repeat(BYTES_MAX / 4));
        let turn = definitions.turn();
        for id in ["a", "b", "c"] {
            definitions.put(id, &large, turn);
        }
        assert!(definitions.get("a").is_some());
        definitions.put("d", &large, turn);
        let known = ["a", "b", "c", "d"].map(|id| definitions.get(id).is_some());
        assert_eq!(known, [true, false, true, true]);
        assert!(definitions.held().bytes <= BYTES_MAX);
        definitions.put("e", &definition(&"x".repeat(BYTES_MAX)), turn);
        assert!(definitions.get("e").is_none());
        for id in ["a", "c", "d"] {
            definitions.changed(id);
        }
        assert_eq!(definitions.held().bytes, 0);
    }
}
