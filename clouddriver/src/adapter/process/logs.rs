//! Output of instances: files that the processes write themselves, so that output goes on while
//! clouddriver is away.
//!
//! Next to each file lies a list of "length, moment" pairs: when a line was first seen. A file that
//! has grown too large is copied and emptied; what is written in that instant may be lost.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    time::UNIX_EPOCH,
};

use camino::{Utf8Path, Utf8PathBuf};
use kork_model::Timestamp;

use crate::{
    app::ports::{LogLine, RunId},
    config::Logs,
};

/// Bytes from the end of a file that are read for its last lines.
const TAIL_BYTES_MAX: u64 = 512 * 1024;
/// Longest line that is shown, bytes; longer ones are cut.
const LINE_BYTES_MAX: usize = 4096;
const STREAMS: [&str; 2] = ["stdout", "stderr"];
/// A directory of a destroyed server group carries the moment of its end behind this.
const RETIRED: &str = ".until-";

/// The directory of all output.
pub(super) struct LogDir {
    dir: Utf8PathBuf,
    config: Logs,
}

impl LogDir {
    pub(super) fn new(dir: Utf8PathBuf, config: Logs) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir, config })
    }

    fn path(&self, id: &RunId, stream: &str) -> Utf8PathBuf {
        self.dir
            .join(&id.group)
            .join(format!("{}.{}.{stream}", id.ordinal, id.run))
    }

    /// Files for a run about to start; removes those of runs too long ago.
    pub(super) fn open(&self, id: &RunId) -> std::io::Result<(File, File)> {
        std::fs::create_dir_all(self.dir.join(&id.group))?;
        if let Some(run) = id.run.checked_sub(self.config.runs_kept.max(1)) {
            let old = RunId { run, ..id.clone() };
            for path in STREAMS.map(|stream| self.path(&old, stream)) {
                for path in [times(&path), set_aside(&path), path] {
                    discard(&path);
                }
            }
        }
        let open = |stream| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.path(id, stream))
        };
        Ok((open(STREAMS[0])?, open(STREAMS[1])?))
    }

    /// Notes how long the files are now, and sets aside those that are too long.
    pub(super) fn look(&self, id: &RunId, now: Timestamp) {
        for stream in STREAMS {
            let path = self.path(id, stream);
            if let Err(error) = self.look_at(&path, now) {
                tracing::debug!(%path, %error, "the output cannot be looked at");
            }
        }
    }

    fn look_at(&self, path: &Utf8Path, now: Timestamp) -> std::io::Result<()> {
        let length = std::fs::metadata(path)?.len();
        let times = times(path);
        if length > self.config.file_bytes_max {
            std::fs::copy(path, set_aside(path))?;
            OpenOptions::new().write(true).open(path)?.set_len(0)?;
            discard(&times);
            return Ok(());
        }
        let last = read_times(&times).last().map_or(0, |(length, _)| *length);
        if length > last {
            let mut file = OpenOptions::new().create(true).append(true).open(&times)?;
            writeln!(file, "{length} {now}")?;
        }
        Ok(())
    }

    /// The output of a run holds this text.
    pub(super) fn contains(&self, id: &RunId, text: &str) -> bool {
        STREAMS.iter().any(|stream| {
            let (bytes, _) = read_end(&self.path(id, stream)).unwrap_or_default();
            bytes
                .windows(text.len().max(1))
                .any(|window| window == text.as_bytes())
        })
    }

    /// The last `lines` lines of a run, both streams, oldest first.
    pub(super) fn tail(&self, id: &RunId, lines: usize) -> Vec<LogLine> {
        let mut all: Vec<LogLine> = Vec::new();
        for stream in STREAMS {
            let path = self.path(id, stream);
            let Ok((bytes, offset)) = read_end(&path) else {
                continue;
            };
            let times = read_times(&times(&path));
            let fallback = modified(&path);
            let mut end = offset;
            let mut found = Vec::new();
            for line in bytes.split_inclusive(|b| *b == b'\n') {
                end += line.len() as u64;
                let seen = times
                    .iter()
                    .find(|(length, _)| *length >= end)
                    .map(|(_, time)| *time);
                let text = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]);
                found.push(LogLine {
                    instance: format!("{}-{}", id.group, id.ordinal),
                    time: seen.unwrap_or(fallback),
                    stream,
                    line: text.trim_end_matches(['\n', '\r']).to_owned(),
                });
            }
            if offset > 0 && !found.is_empty() {
                // The first one has lost its beginning.
                found.remove(0);
            }
            all.extend(found);
        }
        all.sort_by_key(|line| line.time);
        all.split_off(all.len().saturating_sub(lines))
    }

    /// Keeps the output of a destroyed server group for a while, and removes what was kept too long.
    pub(super) fn retire(&self, group: &str, now: Timestamp) {
        let until = now.plus_ms(self.config.keep_after_destroy_ms);
        let (from, to) = (
            self.dir.join(group),
            self.dir.join(format!("{group}{RETIRED}{until}")),
        );
        if from.exists()
            && let Err(error) = std::fs::rename(&from, to)
        {
            tracing::warn!(path = %from, %error, "output cannot be put away");
        }
        let Ok(entries) = self.dir.read_dir_utf8() else {
            return;
        };
        for entry in entries.filter_map(Result::ok) {
            let until = entry
                .file_name()
                .rsplit_once(RETIRED)
                .and_then(|(_, t)| t.parse::<u64>().ok());
            if until.is_some_and(|until| until <= now.millis())
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path(), %error, "old output cannot be removed");
            }
        }
    }
}

fn times(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}.times"))
}

fn set_aside(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}.1"))
}

fn discard(path: &Utf8Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::trace!(%path, %error, "nothing to remove");
    }
}

fn read_times(path: &Utf8Path) -> Vec<(u64, Timestamp)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pair = |line: &str| {
        let (length, time) = line.split_once(' ')?;
        Some((length.parse().ok()?, Timestamp(time.parse().ok()?)))
    };
    text.lines().filter_map(pair).collect()
}

fn modified(path: &Utf8Path) -> Timestamp {
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let since = modified.and_then(|m| m.duration_since(UNIX_EPOCH).ok());
    Timestamp(since.map_or(0, |s| s.as_millis() as u64))
}

/// The end of a file and where it begins.
fn read_end(path: &Utf8Path) -> std::io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let offset = length.saturating_sub(TAIL_BYTES_MAX);
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok((bytes, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(config: Logs) -> (tempfile::TempDir, LogDir, RunId) {
        let temp = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(temp.path().to_owned()).unwrap();
        let id = RunId {
            group: "a-v000".to_owned(),
            ordinal: 0,
            run: 1,
        };
        (temp, LogDir::new(path, config).unwrap(), id)
    }

    #[test]
    fn lines_carry_the_moment_they_were_first_seen() {
        let (_temp, logs, id) = dir(Logs::default());
        let (mut out, mut err) = logs.open(&id).unwrap();
        writeln!(out, "one").unwrap();
        logs.look(&id, Timestamp(10));
        writeln!(err, "two \u{fffd}").unwrap();
        err.write_all(b"\xff\xfe broken\n").unwrap();
        logs.look(&id, Timestamp(20));
        let tail: Vec<_> = logs
            .tail(&id, 10)
            .into_iter()
            .map(|l| (l.time.0, l.stream, l.line))
            .collect();
        assert_eq!(tail[0], (10, "stdout", "one".to_owned()));
        assert_eq!((tail[1].0, tail[1].1), (20, "stderr"));
        assert_eq!(tail.len(), 3);
        assert_eq!(logs.tail(&id, 1).len(), 1);
        assert!(logs.contains(&id, "two") && !logs.contains(&id, "three"));
    }

    #[test]
    fn a_file_that_is_too_long_is_set_aside_and_writing_goes_on() {
        let (_temp, logs, id) = dir(Logs {
            file_bytes_max: 10,
            ..Logs::default()
        });
        let (mut out, _) = logs.open(&id).unwrap();
        writeln!(out, "a line of more than ten bytes").unwrap();
        logs.look(&id, Timestamp(1));
        writeln!(out, "new").unwrap();
        let tail = logs.tail(&id, 10);
        assert_eq!(
            tail.iter().map(|l| l.line.as_str()).collect::<Vec<_>>(),
            ["new"]
        );
        assert!(set_aside(&logs.path(&id, "stdout")).exists());
    }

    #[test]
    fn old_runs_go_and_destroyed_groups_are_kept_for_a_while() {
        let (_temp, logs, id) = dir(Logs {
            runs_kept: 2,
            keep_after_destroy_ms: 100,
            ..Logs::default()
        });
        for run in 1..=3 {
            logs.open(&RunId { run, ..id.clone() }).unwrap();
        }
        assert!(!logs.path(&id, "stdout").exists());
        assert!(logs.path(&RunId { run: 2, ..id }, "stdout").exists());
        logs.retire("a-v000", Timestamp(1000));
        assert_eq!(logs.dir.read_dir_utf8().unwrap().count(), 1);
        logs.retire("other", Timestamp(1100));
        assert_eq!(logs.dir.read_dir_utf8().unwrap().count(), 0);
    }
}
