//! Inputs that are kept: in the repository, and between two runs on one machine.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Input, Target};

/// Larger inputs are not put into the repository.
const STORED_BYTES_MAX: usize = 1024;
/// Inputs of one target in the repository.
const STORED_MAX: usize = 12;

/// The folder of the fuzzer.
fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    home().join("../..").join(path)
}

/// Inputs of the repository that lead somewhere else than the seeds do.
pub fn corpus(target: &str) -> PathBuf {
    home().join("corpus").join(target)
}

/// Inputs that once showed a mistake.
pub fn regressions(target: &str) -> PathBuf {
    home().join("regressions").join(target)
}

/// The inputs of a folder by their file names; none when there is no such folder.
pub fn read(folder: &Path, has_head: bool) -> Vec<(PathBuf, Input)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let read = |path: PathBuf| Some((fs::read(&path).ok()?, path));
    let inputs = files.into_iter().filter_map(read);
    inputs
        .map(|(bytes, path)| (path, Input::of_file(&bytes, has_head)))
        .collect()
}

/// Writes an input into a folder, under a name that follows from what it is.
pub fn write(folder: &Path, prefix: &str, input: &Input, has_head: bool) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let bytes = input.to_file(has_head);
    let path = folder.join(format!("{prefix}{:016x}", checksum(&bytes)));
    fs::write(&path, bytes)?;
    Ok(path)
}

/// Puts into the repository what is small and brings what neither a seed nor a stored input does. How many were
/// added.
pub fn store(target: &Target, found: &[Input]) -> io::Result<usize> {
    let folder = corpus(target.name);
    let stored = read(&folder, target.has_head());
    let mut room = STORED_MAX.saturating_sub(stored.len());
    let mut known: HashSet<String> = HashSet::new();
    let stored = stored.into_iter().map(|(_, input)| input);
    for input in (target.seeds)().into_iter().chain(stored) {
        known.extend(features(target, &input));
    }
    let mut new: Vec<(usize, &Input)> = Vec::new();
    for input in found.iter().filter(|input| input.len() <= STORED_BYTES_MAX) {
        let brings = features(target, input)
            .into_iter()
            .filter(|f| !known.contains(f))
            .count();
        new.push((brings, input));
    }
    new.sort_by_key(|(brings, input)| (usize::MAX - brings, input.len()));
    let mut added = 0;
    for (_, input) in new {
        let features = features(target, input);
        if room > 0 && features.iter().any(|feature| !known.contains(feature)) {
            write(&folder, "", input, target.has_head())?;
            known.extend(features);
            room -= 1;
            added += 1;
        }
    }
    Ok(added)
}

fn features(target: &Target, input: &Input) -> Vec<String> {
    let shape = crate::run(target, input).0;
    shape.map_or_else(|_| Vec::new(), |shape| shape.features().collect())
}

/// FNV-1a, mixed: names of files, nothing more.
fn checksum(bytes: &[u8]) -> u64 {
    let of = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    kork_model::trace::mixed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let one = Input::body([1, 255]).with(":path", "x");
        let two = Input::body("b");
        for input in [&one, &two, &one] {
            write(folder.path(), "slow-", input, true).unwrap();
        }
        let mut read: Vec<Input> = read(folder.path(), true)
            .into_iter()
            .map(|(_, i)| i)
            .collect();
        read.sort_by_key(Input::len);
        assert_eq!(read, [two, one]);
        assert!(super::read(&folder.path().join("none"), true).is_empty());
    }

    #[test]
    fn the_repository_is_where_it_is_expected() {
        assert!(repository("rust-toolchain.toml").is_file());
    }
}
