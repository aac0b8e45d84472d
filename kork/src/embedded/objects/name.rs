//! Keys as paths, and versions as file names. Every key has exactly one path, on file systems that
//! fold case too, and no path leaves the directory.
//!
//! A key's parts are directories: `a`-`z`, `0`-`9`, `_`, `-` and inner `.` stand for themselves,
//! `+a` for `A`, `%` and two hex digits for any other byte, a lone `%` for an empty part. A part that
//! is too long for a file name goes on in the next directory, marked by `~`. The directory of an
//! object ends in `@` and holds one file per version: `sequence.modified.size.etag`, or
//! `sequence.modified.deleted`.

use camino::Utf8PathBuf;

use crate::{model::Timestamp, ports::ObjectInfo};

/// Longest name of one directory that is made; file systems allow 255 bytes.
const SEGMENT_BYTES_MAX: usize = 200;
const OBJECT_MARK: char = '@';
const CONTINUED_MARK: char = '~';
const DELETED: &str = "deleted";

/// The directory of an object, below the root.
pub(super) fn directory_of(key: &str) -> Utf8PathBuf {
    let mut path = Utf8PathBuf::new();
    let mut parts = key.split('/').peekable();
    while let Some(part) = parts.next() {
        let mut segments = segments_of(part);
        if parts.peek().is_none()
            && let Some(last) = segments.last_mut()
        {
            last.push(OBJECT_MARK);
        }
        path.extend(segments);
    }
    path
}

/// The directory that holds every object whose key starts with `prefix`, and perhaps others.
pub(super) fn directory_over(prefix: &str) -> Utf8PathBuf {
    let mut path = Utf8PathBuf::new();
    if let Some((whole, _)) = prefix.rsplit_once('/') {
        path.extend(whole.split('/').flat_map(segments_of));
    }
    path
}

fn segments_of(part: &str) -> Vec<String> {
    if part.is_empty() {
        return vec!["%".to_owned()];
    }
    let mut segments = vec![String::new()];
    for (index, byte) in part.bytes().enumerate() {
        let escaped = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
            b'.' if index > 0 => ".".to_owned(),
            b'A'..=b'Z' => format!("+{}", char::from(byte.to_ascii_lowercase())),
            other => format!("%{other:02x}"),
        };
        let last = segments.len() - 1;
        if segments[last].len() + escaped.len() > SEGMENT_BYTES_MAX {
            segments[last].push(CONTINUED_MARK);
            segments.push(escaped);
        } else {
            segments[last].push_str(&escaped);
        }
    }
    segments
}

/// What the name of a directory says.
pub(super) enum Segment {
    /// A part of a key that goes on below.
    Part(Vec<u8>),
    /// The beginning of a part.
    Continued(Vec<u8>),
    /// The last part: an object.
    Object(Vec<u8>),
}

/// Reads a directory's name; `None` when it was not made here.
pub(super) fn segment(name: &str) -> Option<Segment> {
    if let Some(name) = name.strip_suffix(OBJECT_MARK) {
        return unescape(name).map(Segment::Object);
    }
    if let Some(name) = name.strip_suffix(CONTINUED_MARK) {
        return unescape(name).map(Segment::Continued);
    }
    unescape(name).map(Segment::Part)
}

fn unescape(name: &str) -> Option<Vec<u8>> {
    if name == "%" {
        return Some(Vec::new());
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => rest
                .next()
                .filter(u8::is_ascii_lowercase)?
                .to_ascii_uppercase(),
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                (digit(rest.next())? * 16 + digit(rest.next())?) as u8
            }
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' => byte,
            _ => return None,
        });
    }
    Some(bytes)
}

/// One version as its file name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) sequence: u64,
    pub(super) modified: Timestamp,
    /// Size and etag; `None` for a delete marker.
    pub(super) body: Option<(usize, String)>,
}

impl Version {
    pub(super) fn file_name(&self) -> String {
        let (sequence, modified) = (self.sequence, self.modified.millis());
        match &self.body {
            Some((size, etag)) => format!("{sequence:010}.{modified}.{size}.{etag}"),
            None => format!("{sequence:010}.{modified}.{DELETED}"),
        }
    }

    pub(super) fn parse(file_name: &str) -> Option<Self> {
        let parts: Vec<&str> = file_name.split('.').collect();
        let body = match parts[..] {
            [_, _, DELETED] => None,
            [_, _, size, etag] if etag.len() == 64 => Some((size.parse().ok()?, etag.to_owned())),
            _ => return None,
        };
        let (sequence, modified) = (parts[0].parse().ok()?, Timestamp(parts[1].parse().ok()?));
        Some(Self {
            sequence,
            modified,
            body,
        })
    }

    /// The version's opaque name.
    pub(super) fn name(&self) -> String {
        format!("{:010}-{}", self.sequence, self.modified.millis())
    }

    pub(super) fn info(&self, key: &str) -> ObjectInfo {
        let (size, etag) = self.body.clone().unwrap_or_default();
        ObjectInfo {
            key: key.to_owned(),
            etag,
            version: self.name(),
            modified: self.modified,
            size,
            deleted: self.body.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(path: &Utf8PathBuf) -> String {
        let (mut key, mut open) = (Vec::new(), false);
        for name in path {
            if !std::mem::replace(&mut open, false) && !key.is_empty() {
                key.push(b'/');
            }
            match segment(name).unwrap() {
                Segment::Part(bytes) | Segment::Object(bytes) => key.extend(bytes),
                Segment::Continued(bytes) => {
                    key.extend(bytes);
                    open = true;
                }
            }
        }
        String::from_utf8(key).unwrap()
    }

    #[test]
    fn every_key_has_one_path_that_stays_inside() {
        let long = format!("a/{}/z", "Ä".repeat(200));
        let keys = [
            "a",
            "A",
            "a/b",
            "a@/b",
            "a~b",
            ".hidden",
            "a b:c!@%+",
            "x/ünï/日本",
            &long,
        ];
        let mut seen = std::collections::BTreeSet::new();
        for key in keys {
            let path = directory_of(key);
            assert_eq!(key_of(&path), key, "{path}");
            assert!(seen.insert(path.as_str().to_lowercase()), "{path}");
            assert!(
                path.iter()
                    .all(|name| name.len() <= 255 && !name.starts_with('.')),
                "{path}"
            );
            assert!(path.is_relative());
        }
        for odd in ["/etc/passwd", "a//b", "a/", "~/x"] {
            assert!(
                directory_of(odd).is_relative() && seen.insert(directory_of(odd).into_string())
            );
        }
    }

    #[test]
    fn a_version_is_read_from_its_file_name() {
        let etag = "0".repeat(64);
        for body in [None, Some((7, etag))] {
            let version = Version {
                sequence: 3,
                modified: Timestamp(1_700),
                body,
            };
            assert_eq!(Version::parse(&version.file_name()), Some(version));
        }
        assert_eq!(Version::parse("note.txt"), None);
    }
}
