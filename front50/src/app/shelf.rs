//! All documents of one type, in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use kork::model::Context;

use super::bucket::Found;
use crate::domain::text;

/// A document as it was last seen in the bucket.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Lower case, as in the key.
    pub(crate) id: String,
    pub(crate) body: Context,
    pub(crate) etag: String,
    pub(crate) size: usize,
    /// Lower case; empty when the document names none.
    pub(crate) application: String,
    /// Lower case.
    pub(crate) name: String,
}

impl Entry {
    pub(crate) fn new(id: &str, body: Context, etag: String, size: usize) -> Self {
        let lower = |member| {
            text(&body, member)
                .unwrap_or_default()
                .trim()
                .to_lowercase()
        };
        let (application, name) = (lower("application"), lower("name"));
        Self {
            id: id.to_lowercase(),
            body,
            etag,
            size,
            application,
            name,
        }
    }
}

#[derive(Default)]
struct Contents {
    entries: BTreeMap<String, Arc<Entry>>,
    /// Objects that are no documents: etag and reason by id.
    broken: BTreeMap<String, (String, String)>,
    /// How often each id was replaced. Tells a slow read that it is older than what is here.
    turns: HashMap<String, u64>,
}

/// The documents of one type.
#[derive(Default)]
pub(crate) struct Shelf {
    contents: RwLock<Contents>,
}

impl Shelf {
    fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.read().entries.get(&id.to_lowercase()).cloned()
    }

    /// Documents that fulfil a condition, by id.
    pub(crate) fn filter(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        self.read()
            .entries
            .values()
            .filter(|entry| wanted(entry))
            .cloned()
            .collect()
    }

    /// The first documents behind an id, by id.
    pub(crate) fn after(&self, id: &str, most: usize) -> Vec<Arc<Entry>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = (Excluded(id.to_lowercase()), Unbounded);
        self.read()
            .entries
            .range(from)
            .take(most)
            .map(|(_, entry)| Arc::clone(entry))
            .collect()
    }

    /// The document with this name, any case, in an application (lower case).
    pub(crate) fn named(&self, application: &str, name: &str) -> Option<Arc<Entry>> {
        let name = name.trim().to_lowercase();
        let contents = self.read();
        let mut entries = contents.entries.values();
        entries
            .find(|entry| entry.application == application && entry.name == name)
            .cloned()
    }

    pub(crate) fn count(&self, application: &str) -> usize {
        self.read()
            .entries
            .values()
            .filter(|entry| entry.application == application)
            .count()
    }

    /// Etags by id, of documents and of broken objects.
    pub(crate) fn etags(&self) -> HashMap<String, String> {
        let contents = self.read();
        let good = contents
            .entries
            .iter()
            .map(|(id, entry)| (id.clone(), entry.etag.clone()));
        let broken = contents
            .broken
            .iter()
            .map(|(id, (etag, _))| (id.clone(), etag.clone()));
        good.chain(broken).collect()
    }

    /// Ids of broken objects with the reasons.
    pub(crate) fn broken(&self) -> Vec<(String, String)> {
        let contents = self.read();
        contents
            .broken
            .iter()
            .map(|(id, (_, reason))| (id.clone(), reason.clone()))
            .collect()
    }

    pub(crate) fn turn(&self, id: &str) -> u64 {
        self.read()
            .turns
            .get(&id.to_lowercase())
            .copied()
            .unwrap_or(0)
    }

    /// Puts what this process wrote.
    pub(crate) fn put(&self, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        let mut contents = self.write();
        contents.turned(&entry.id);
        contents.broken.remove(&entry.id);
        contents
            .entries
            .insert(entry.id.clone(), Arc::clone(&entry));
        entry
    }

    /// Takes out what this process deleted.
    pub(crate) fn remove(&self, id: &str) {
        let id = id.to_lowercase();
        let mut contents = self.write();
        contents.turned(&id);
        contents.broken.remove(&id);
        contents.entries.remove(&id);
    }

    /// Puts what was read from the bucket, unless the id was replaced since `turn`. False then.
    pub(crate) fn settle(&self, id: &str, turn: u64, found: Option<Found>) -> bool {
        let id = id.to_lowercase();
        let mut contents = self.write();
        if contents.turns.get(&id).copied().unwrap_or(0) != turn {
            return false;
        }
        let held = contents.entries.get(&id).map(|entry| entry.etag.as_str());
        let held = held.or_else(|| contents.broken.get(&id).map(|(etag, _)| etag.as_str()));
        if held == found.as_ref().map(|found| found.etag.as_str()) {
            return true;
        }
        contents.turned(&id);
        contents.entries.remove(&id);
        contents.broken.remove(&id);
        match found {
            None => {}
            Some(Found {
                body: Ok(body),
                etag,
                size,
            }) => {
                let entry = Entry::new(&id, body, etag, size);
                contents.entries.insert(id, Arc::new(entry));
            }
            Some(Found {
                body: Err(reason),
                etag,
                ..
            }) => {
                contents.broken.insert(id, (etag, reason));
            }
        }
        true
    }
}

impl Contents {
    fn turned(&mut self, id: &str) {
        let turn = self.turns.entry(id.to_owned()).or_default();
        *turn = turn.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(etag: &str) -> Found {
        let body = Context::from_iter([("name".to_owned(), "N".into())]);
        Found {
            body: Ok(body),
            etag: etag.to_owned(),
            size: 1,
        }
    }

    #[test]
    fn a_slow_read_never_replaces_something_newer() {
        let shelf = Shelf::default();
        let turn = shelf.turn("A");
        shelf.put(Entry::new("a", Context::new(), "new".to_owned(), 1));
        assert!(!shelf.settle("A", turn, Some(found("old"))));
        assert_eq!(
            shelf.get("A").map(|entry| entry.etag.clone()),
            Some("new".to_owned())
        );
        assert!(shelf.settle("a", shelf.turn("a"), None));
        assert!(shelf.get("a").is_none());
    }

    #[test]
    fn broken_objects_are_kept_apart() {
        let shelf = Shelf::default();
        let broken = Found {
            body: Err("no JSON".to_owned()),
            etag: "e".to_owned(),
            size: 1,
        };
        assert!(shelf.settle("a", 0, Some(broken)));
        assert_eq!(shelf.broken(), [("a".to_owned(), "no JSON".to_owned())]);
        assert!(shelf.settle("a", shelf.turn("a"), Some(found("good"))));
        assert!(shelf.broken().is_empty());
        assert!(shelf.named("", "n").is_some());
    }
}
