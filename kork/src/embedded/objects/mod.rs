//! Objects as files of a directory, and in memory.

mod directory;
mod memory;
mod name;

use sha2::{Digest, Sha256};

pub(super) use self::{directory::DirectoryObjects, memory::MemoryObjects};
use crate::ports::{Condition, ObjectStoreError, limit};

/// Versions kept per object, delete markers included; older ones are dropped.
const VERSIONS_MAX: usize = 1000;

/// The etag of a body: its SHA-256, in hex.
fn etag_of(body: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha256::digest(body);
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// Refuses keys and bodies that no adapter takes.
fn check(key: &str, body_bytes: usize) -> Result<(), ObjectStoreError> {
    let bad = |reason| {
        Err(ObjectStoreError::BadKey {
            key: key.to_owned(),
            reason,
        })
    };
    if key.is_empty() {
        return bad("it is empty".to_owned());
    }
    if key.len() > limit::NAME_BYTES_MAX {
        let max = limit::NAME_BYTES_MAX;
        return bad(format!(
            "it has {} bytes, at most {max} are allowed",
            key.len()
        ));
    }
    if let Some(part) = key.split('/').find(|part| matches!(*part, "." | "..")) {
        return bad(format!("a part of it is {part}"));
    }
    if body_bytes > limit::OBJECT_BYTES_MAX {
        let (what, max) = (format!("the object {key}"), limit::OBJECT_BYTES_MAX);
        return Err(ObjectStoreError::TooLarge {
            what,
            size: body_bytes,
            max,
        });
    }
    Ok(())
}

/// Refuses when the condition does not hold for an object that has this etag, or is not there.
fn hold(condition: &Condition, key: &str, etag: Option<&str>) -> Result<(), ObjectStoreError> {
    let holds = match condition {
        Condition::Always => true,
        Condition::IfAbsent => etag.is_none(),
        Condition::IfMatch(wanted) => etag == Some(wanted.as_str()),
    };
    if holds {
        Ok(())
    } else {
        Err(ObjectStoreError::ConditionFailed {
            key: key.to_owned(),
        })
    }
}
