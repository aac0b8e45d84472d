//! Files out of a zip archive: few, small ones, whatever is in it.

use std::io::{Cursor, Read};

use zip::ZipArchive;

/// Files that an archive may list; each costs memory as soon as it is opened.
const ENTRIES_MAX: usize = 20_000;
/// Files that are unpacked. One is meant: more are only told apart.
const FOUND_MAX: usize = 4;
/// Characters of a path that an error names.
const SAID_CHARS_MAX: usize = 200;
/// What an archive begins with.
const BEGIN: &[u8] = b"PK";
/// What the end of an archive begins with, how long it is at least and at most, and where the number of files is.
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const END_BYTES_MAX: usize = END_BYTES + u16::MAX as usize;
const COUNT_AT: usize = 10;

/// The files of an archive whose path is `wanted`, or else those whose name is, each of at most `bytes_max` once
/// unpacked. What is no archive is one file called `name`. The error says what cannot be read.
pub(crate) fn find(
    archive: &[u8],
    name: &str,
    wanted: &str,
    bytes_max: usize,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    if !archive.starts_with(BEGIN) {
        let is_it = name == wanted && archive.len() <= bytes_max;
        return Ok(is_it
            .then(|| (name.to_owned(), archive.to_vec()))
            .into_iter()
            .collect());
    }
    if listed(archive) > ENTRIES_MAX {
        return Err(format!(
            "the archive {name} has more than {ENTRIES_MAX} files"
        ));
    }
    let broken =
        |error: &dyn std::fmt::Display| format!("the archive {name} cannot be read: {error}");
    let mut zip = ZipArchive::new(Cursor::new(archive)).map_err(|error| broken(&error))?;
    let names = zip.file_names().enumerate();
    // A name that is no text is not asked for.
    let paths: Vec<(usize, String)> = names
        .filter_map(|(at, path)| Some((at, path.ok()?.into_owned())))
        .collect();
    let matching = |is_it: &dyn Fn(&str) -> bool| {
        let all = paths.iter().filter(|(_, path)| is_it(path));
        all.take(FOUND_MAX).collect::<Vec<_>>()
    };
    let mut chosen = matching(&|path| path == wanted);
    if chosen.is_empty() {
        chosen = matching(&|path| path.rsplit('/').next() == Some(wanted));
    }
    let read = chosen.into_iter().map(|(at, path)| {
        let file = zip.by_index(*at).map_err(|error| broken(&error))?;
        let mut bytes = Vec::new();
        // What it says of its size does not count.
        let most = bytes_max as u64 + 1;
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(|error| broken(&error))?;
        if bytes.len() > bytes_max {
            let path: String = path.chars().take(SAID_CHARS_MAX).collect();
            return Err(format!(
                "{path} of the archive {name} has more than {bytes_max} bytes"
            ));
        }
        Ok((path.clone(), bytes))
    });
    read.collect()
}

/// How many files an archive says that it has, before anything of it is taken into memory: the most that any end
/// in it says.
fn listed(archive: &[u8]) -> usize {
    let from = archive.len().saturating_sub(END_BYTES_MAX);
    let ends = archive[from..]
        .windows(END_BYTES)
        .filter(|end| end.starts_with(END));
    let counts =
        ends.map(|end| usize::from(u16::from_le_bytes([end[COUNT_AT], end[COUNT_AT + 1]])));
    counts.max().unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    const MAX: usize = 1_000;

    /// An archive with these files.
    pub(crate) fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (path, bytes) in files {
            zip.start_file(*path, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn paths(found: Result<Vec<(String, Vec<u8>)>, String>) -> Vec<String> {
        found.unwrap().into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn a_file_is_found_by_its_path_then_by_its_name() {
        let archive = zipped(&[
            ("out/a.json", b"{}"),
            ("a.json", b"{\"a\":1}"),
            ("x/b.json", b""),
            ("y/b.json", b""),
        ]);
        let find = |wanted| find(&archive, "dist", wanted, MAX);
        assert_eq!(
            find("a.json").unwrap(),
            [("a.json".to_owned(), b"{\"a\":1}".to_vec())]
        );
        assert_eq!(paths(find("out/a.json")), ["out/a.json"]);
        let mut both = paths(find("b.json"));
        both.sort();
        assert_eq!(both, ["x/b.json", "y/b.json"]);
        assert_eq!(paths(find("json")), [""; 0]);
    }

    #[test]
    fn what_is_no_archive_is_a_file() {
        let found = find(b"A=1", "a.properties", "a.properties", MAX).unwrap();
        assert_eq!(found, [("a.properties".to_owned(), b"A=1".to_vec())]);
        assert!(
            find(b"A=1", "other", "a.properties", MAX)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let bomb = zipped(&[("a.json", &vec![b' '; 10_000_000])]);
        assert!(bomb.len() < 20_000);
        let error = find(&bomb, "dist", "a.json", MAX).unwrap_err();
        assert!(error.contains("more than 1000 bytes"), "{error}");
        let names: Vec<String> = (0..=ENTRIES_MAX).map(|n| n.to_string()).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        let error = find(&zipped(&files), "dist", "1", MAX).unwrap_err();
        assert!(error.contains("files"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), with: u8) {
            drop(find(&bytes, "n", "a", MAX));
            drop(find(&[BEGIN, &bytes].concat(), "n", "a", MAX));
            let mut archive = zipped(&[("a", &bytes), ("b/a", b"x")]);
            let at = at.index(archive.len());
            archive[at] = with;
            drop(find(&archive, "n", "a", MAX));
            archive.truncate(at);
            drop(find(&archive, "n", "a", MAX));
        }
    }
}
