//! Free ports from a range, held until the process that gets them is started.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
};

use kork::ports::Ids;

use crate::config::PortRange;

/// Gives out each port to one run at a time.
pub(super) struct PortPool {
    range: PortRange,
    ids: Arc<dyn Ids>,
    taken: Mutex<HashSet<u16>>,
}

impl PortPool {
    pub(super) fn new(range: PortRange, ids: Arc<dyn Ids>) -> Self {
        Self {
            range,
            ids,
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, HashSet<u16>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A port that nobody listens on, and the socket that keeps it so.
    pub(super) fn take(&self) -> Option<(u16, TcpListener)> {
        let first = u32::from(self.range.first);
        let count = u32::from(self.range.last).checked_sub(first)? + 1;
        let start = (self.ids.random() % u64::from(count)) as u32;
        let mut taken = self.taken();
        (0..count).find_map(|n| {
            let port = u16::try_from(first + (start + n) % count).ok()?;
            if taken.contains(&port) {
                return None;
            }
            let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            taken.insert(port);
            Some((port, socket))
        })
    }

    /// Ports of a run that was found.
    pub(super) fn keep(&self, ports: impl IntoIterator<Item = u16>) {
        self.taken().extend(ports);
    }

    pub(super) fn give_back(&self, ports: impl IntoIterator<Item = u16>) {
        let mut taken = self.taken();
        for port in ports {
            taken.remove(&port);
        }
    }
}
