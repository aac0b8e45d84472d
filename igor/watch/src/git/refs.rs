//! What a git server says about its branches and tags, in any version of its protocol. Pure.

use std::collections::BTreeMap;

use super::pkt::{self, DELIMITER, FLUSH, Packet, Packets};
use crate::http::one_line;

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
const PEELED: &str = "^{}";

/// The answer to the first question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Advertised {
    /// Versions 0 and 1 tell all there is.
    Refs(Refs),
    /// Version 2 tells what may be asked.
    Capabilities {
        /// `sha1` or `sha256`, if it says so.
        object_format: Option<String>,
    },
}

/// Branches and tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refs {
    /// The ref that HEAD is another name of.
    pub(super) head: Option<String>,
    /// Commit by whole name. Of an annotated tag it is the commit that is tagged.
    pub(super) commits: BTreeMap<String, String>,
}

/// Reads the answer to `GET info/refs`.
pub(super) fn advertised(body: &[u8]) -> Result<Advertised, String> {
    let mut packets = Packets::new(body).peekable();
    if let Some(Ok(Packet::Line(b"# service=git-upload-pack"))) = packets.peek() {
        packets.next();
        if let Some(Ok(Packet::Flush)) = packets.peek() {
            packets.next();
        }
    }
    let mut refs = Refs::default();
    let mut is_first = true;
    while let Some(packet) = packets.next() {
        let Packet::Line(line) = packet.map_err(|e| e.to_string())? else {
            return Ok(Advertised::Refs(refs));
        };
        refuse(line)?;
        match line {
            b"version 2" if is_first => return capabilities(packets),
            b"version 1" if is_first => continue,
            _ => refs.advertised(line)?,
        }
        is_first = false;
    }
    Err("it ends before its end is told".to_owned())
}

fn capabilities<'a, E: ToString>(
    packets: impl Iterator<Item = Result<Packet<'a>, E>>,
) -> Result<Advertised, String> {
    let mut lists = false;
    let mut object_format = None;
    for packet in packets {
        let Packet::Line(line) = packet.map_err(|e| e.to_string())? else {
            break;
        };
        refuse(line)?;
        let Ok(line) = std::str::from_utf8(line) else {
            continue;
        };
        match line.split_once('=').unwrap_or((line, "")) {
            ("ls-refs", _) => lists = true,
            ("object-format", format) => object_format = Some(one_line(format)),
            _ => {}
        }
    }
    if lists {
        Ok(Advertised::Capabilities { object_format })
    } else {
        Err("it speaks version 2 of git's protocol, but lists no branches".to_owned())
    }
}

/// The question for branches and tags in version 2; a server may tell more than begins with the prefixes.
pub(super) fn question(object_format: Option<&str>, prefixes: &[String]) -> String {
    let mut text = pkt::line("command=ls-refs");
    if let Some(format) = object_format {
        text += &pkt::line(&format!("object-format={format}"));
    }
    text += DELIMITER;
    text += &pkt::line("peel");
    text += &pkt::line("symrefs");
    for prefix in prefixes {
        text += &pkt::line(&format!("ref-prefix {prefix}"));
    }
    text + FLUSH
}

/// Reads the answer to the question.
pub(super) fn listed(body: &[u8]) -> Result<Refs, String> {
    let mut refs = Refs::default();
    for packet in Packets::new(body) {
        let Packet::Line(line) = packet.map_err(|e| e.to_string())? else {
            return Ok(refs);
        };
        refuse(line)?;
        refs.listed(line)?;
    }
    Err("it ends before its end is told".to_owned())
}

/// `ERR reason`.
fn refuse(line: &[u8]) -> Result<(), String> {
    match line.strip_prefix(b"ERR ") {
        Some(reason) => Err(one_line(&String::from_utf8_lossy(reason))),
        None => Ok(()),
    }
}

impl Refs {
    /// `<commit> <name>`, on the first line followed by a zero byte and capabilities; peeled tags on lines of
    /// their own.
    fn advertised(&mut self, line: &[u8]) -> Result<(), String> {
        let (line, capabilities) = match line.iter().position(|b| *b == 0) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        if let Ok(capabilities) = std::str::from_utf8(capabilities) {
            let head = capabilities
                .split(' ')
                .find_map(|word| word.strip_prefix("symref=HEAD:"));
            self.head = self.head.take().or(head.map(str::to_owned));
        }
        if line.starts_with(b"shallow ") {
            return Ok(());
        }
        let (commit, name) = split(line)?;
        // Names need not be text; such ones cannot be watched.
        let Ok(name) = std::str::from_utf8(name) else {
            return Ok(());
        };
        self.insert(name.strip_suffix(PEELED).unwrap_or(name), commit);
        Ok(())
    }

    /// `<commit> <name>`, then `symref-target:<name>` and `peeled:<commit>`.
    fn listed(&mut self, line: &[u8]) -> Result<(), String> {
        if line.starts_with(b"unborn ") {
            return Ok(());
        }
        let (commit, rest) = split(line)?;
        let Ok(rest) = std::str::from_utf8(rest) else {
            return Ok(());
        };
        let mut words = rest.split(' ');
        let name = words.next().unwrap_or_default();
        let mut commit = commit;
        for word in words {
            if let Some(target) = word.strip_prefix("symref-target:")
                && name == "HEAD"
            {
                self.head = Some(target.to_owned());
            }
            if let Some(peeled) = word.strip_prefix("peeled:")
                && is_object(peeled.as_bytes())
            {
                commit = peeled;
            }
        }
        self.insert(name, commit);
        Ok(())
    }

    fn insert(&mut self, name: &str, commit: &str) {
        let is_whole = |prefix| name.len() > str::len(prefix) && name.starts_with(prefix);
        if is_whole(BRANCHES) || is_whole(TAGS) {
            self.commits.insert(name.to_owned(), commit.to_owned());
        }
    }
}

fn split(line: &[u8]) -> Result<(&str, &[u8]), String> {
    let wrong = || {
        let line = one_line(&String::from_utf8_lossy(line));
        format!("{line:?} is not a commit and a name")
    };
    let at = line.iter().position(|b| *b == b' ').ok_or_else(wrong)?;
    let commit = std::str::from_utf8(&line[..at]).map_err(|_| wrong())?;
    if !is_object(commit.as_bytes()) {
        return Err(wrong());
    }
    Ok((commit, &line[at + 1..]))
}

/// The name of an object by SHA-1 or SHA-256.
fn is_object(text: &[u8]) -> bool {
    matches!(text.len(), 40 | 64) && text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
