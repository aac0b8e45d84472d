//! A small file beside the journal that says how many durable commits there were.
//!
//! redb falls back to the commit before when the pages of the newest one are damaged. For a commit
//! that nobody was told about that is right; for one that was acknowledged it would be a silent loss.
//! The mark is written after a commit is on disk and before anybody is told, so a journal that is
//! behind its mark has lost acknowledged records.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::tables::crc32;

/// Name of the mark's file.
pub(super) const MARK_FILE: &str = "journal.mark";

pub(super) struct Mark {
    file: File,
}

impl Mark {
    /// Opens the mark and says what it holds: `None` for a new one and for one whose write was torn.
    pub(super) fn open(dir: &Utf8Path) -> io::Result<(Self, Option<u64>)> {
        let path: Utf8PathBuf = dir.join(MARK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok((Self { file }, Self::decode(&bytes)))
    }

    fn decode(bytes: &[u8]) -> Option<u64> {
        let (count, rest) = bytes.split_first_chunk::<8>()?;
        let (sum, _) = rest.split_first_chunk::<4>()?;
        (u32::from_le_bytes(*sum) == crc32(count)).then_some(u64::from_le_bytes(*count))
    }

    /// Notes that so many commits are durable. Not synced: after a power loss it may be behind, never
    /// ahead.
    pub(super) fn set(&mut self, commits: u64) -> io::Result<()> {
        let count = commits.to_le_bytes();
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&count);
        bytes[8..].copy_from_slice(&crc32(&count).to_le_bytes());
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)
    }
}
