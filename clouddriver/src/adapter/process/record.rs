//! What is remembered of a run, in a file that survives this process.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use kork_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::identity::Identity;
use crate::app::ports::{RunId, Running};

/// Directory of the records.
pub(super) const DIR: &str = "runs";

/// One run; the file is replaced when readiness changes or the instance starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) id: RunId,
    pub(super) pid: u32,
    pub(super) identity: Option<Identity>,
    pub(super) ports: BTreeMap<String, u16>,
    pub(super) started: Timestamp,
    /// Known at once after a restart, so that traffic goes on.
    pub(super) ready: bool,
}

impl Record {
    pub(super) fn running(&self) -> Running {
        Running {
            id: self.id.clone(),
            pid: self.pid,
            ports: self.ports.clone(),
            started: self.started,
            ready: self.ready,
        }
    }

    /// The very process still runs.
    pub(super) fn is_alive(&self) -> bool {
        self.identity.is_some() && Identity::of(self.pid) == self.identity
    }

    fn path(&self, dir: &Utf8Path) -> Utf8PathBuf {
        dir.join(DIR)
            .join(format!("{}.{}.json", self.id.group, self.id.ordinal))
    }

    /// Replaces the file as a whole.
    pub(super) fn store(&self, dir: &Utf8Path) -> std::io::Result<()> {
        let path = self.path(dir);
        let draft = path.with_extension("draft");
        std::fs::write(
            &draft,
            serde_json::to_vec(self).map_err(std::io::Error::other)?,
        )?;
        std::fs::rename(draft, path)
    }

    pub(super) fn remove(&self, dir: &Utf8Path) {
        if let Err(error) = std::fs::remove_file(self.path(dir)) {
            tracing::debug!(run = %self.id, %error, "its record has gone already");
        }
    }

    /// All records; one that cannot be read is left out and said.
    pub(super) fn all(dir: &Utf8Path) -> Vec<Self> {
        let Ok(entries) = dir.join(DIR).read_dir_utf8() else {
            return Vec::new();
        };
        let mut records: Vec<Self> = entries
            .filter_map(Result::ok)
            .filter(|e| e.path().extension() == Some("json"))
            .filter_map(|entry| {
                let bytes = std::fs::read(entry.path()).ok()?;
                match serde_json::from_slice(&bytes) {
                    Ok(record) => Some(record),
                    Err(error) => {
                        tracing::warn!(path = %entry.path(), %error, "the record of a run cannot be read");
                        None
                    }
                }
            })
            .collect();
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records
    }
}
