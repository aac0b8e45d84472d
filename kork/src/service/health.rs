//! Live and ready, and what is missing when it is not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// The state of all parts of a process. Clones share it.
#[derive(Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<String, State>>>,
    servers: Arc<Mutex<BTreeMap<String, Seen>>>,
}

/// How a thing looked when it was looked at last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    pub state: Look,
    /// What is there, or why it is not.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How long it took to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// From good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Look {
    Ok,
    /// It works, and something should be done about it.
    Warning,
    /// It does not answer.
    Missing,
}

/// Ready, perhaps with a note, or missing for a reason.
enum State {
    Ready(Option<String>),
    Missing(String),
}

/// One part that must be ready: `orca.recovery`, `front50.store`. Not ready until it says so.
#[derive(Clone)]
pub struct Part {
    name: String,
    health: Health,
}

/// What `/health/ready` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// `UP` or `DOWN`.
    pub status: &'static str,
    /// Part -> `UP`, or what it is waiting for.
    pub parts: BTreeMap<String, String>,
    /// The servers behind it, which all instances share: they do not make this one unready.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, Seen>,
}

impl Health {
    /// Adds a part that is not ready yet.
    pub fn part(&self, name: &str) -> Part {
        self.set(name, State::Missing("starting".to_owned()));
        Part {
            name: name.to_owned(),
            health: self.clone(),
        }
    }

    /// The state of everything.
    pub fn report(&self) -> HealthReport {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let status = if parts.values().all(|state| matches!(state, State::Ready(_))) {
            "UP"
        } else {
            "DOWN"
        };
        let parts = parts
            .iter()
            .map(|(name, state)| {
                let text = match state {
                    State::Ready(None) => "UP".to_owned(),
                    State::Ready(Some(note)) => format!("UP, {note}"),
                    State::Missing(reason) => reason.clone(),
                };
                (name.clone(), text)
            })
            .collect();
        HealthReport {
            status,
            parts,
            servers: self.servers(),
        }
    }

    /// How the servers behind this process looked.
    pub fn servers(&self) -> BTreeMap<String, Seen> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.clone()
    }

    /// Notes how a server looks.
    pub fn server(&self, name: &str, seen: Seen) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.insert(name.to_owned(), seen);
    }

    /// True when every part is ready.
    pub fn is_ready(&self) -> bool {
        self.report().status == "UP"
    }

    fn set(&self, name: &str, state: State) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(name.to_owned(), state);
    }
}

impl Part {
    /// It works.
    pub fn ready(&self) {
        self.health.set(&self.name, State::Ready(None));
    }

    /// It works, and something about it should be looked at.
    pub fn ready_with(&self, note: impl Into<String>) {
        self.health.set(&self.name, State::Ready(Some(note.into())));
    }

    /// It does not work, because.
    pub fn missing(&self, reason: impl Into<String>) {
        self.health.set(&self.name, State::Missing(reason.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_missing_until_it_is_ready() {
        let health = Health::default();
        let store = health.part("front50.store");
        assert_eq!(health.report().parts["front50.store"], "starting");
        store.missing("the bucket does not answer");
        assert!(!health.is_ready());
        store.ready();
        assert!(health.is_ready());
        store.ready_with("2 unreadable objects");
        assert!(health.is_ready());
        assert_eq!(
            health.report().parts["front50.store"],
            "UP, 2 unreadable objects"
        );
    }
}
