//! Processes that run on behalf of a data directory, named by pid and start time: a pid is used again.

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process};

/// One living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    /// Clock ticks since boot.
    pub start_ticks: u64,
    /// The command line, words joined with spaces.
    pub command: String,
}

impl Process {
    /// True for an instance of a server group: it was started with the mark of clouddriver.
    pub fn is_instance(&self) -> bool {
        self.command.contains(" sample-service")
    }

    fn kill(&self) {
        let same = start_ticks(self.pid) == Some(self.start_ticks);
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| same) {
            // It may have ended between the two looks.
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

/// All processes of one data directory.
#[derive(Debug, Clone, Default)]
pub struct Processes(pub Vec<Process>);

impl Processes {
    /// Living processes whose environment or command line names this directory.
    pub fn of(dir: &Utf8Path) -> Self {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        Self(pids.filter_map(|pid| named(pid, dir)).collect())
    }

    /// Those that are instances of server groups.
    pub fn instances(&self) -> Vec<&Process> {
        self.0.iter().filter(|p| p.is_instance()).collect()
    }

    /// Kills them, each only if it still is the same process.
    pub fn kill(&self) {
        for process in &self.0 {
            process.kill();
        }
    }
}

fn named(pid: u32, dir: &Utf8Path) -> Option<Process> {
    let start_ticks = start_ticks(pid)?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let needle = dir.as_str().as_bytes();
    let names = |bytes: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    (names(&line) || names(&environment)).then(|| Process {
        pid,
        start_ticks,
        command: String::from_utf8_lossy(&line).replace('\0', " "),
    })
}

/// Field 22 of `/proc/<pid>/stat`; none for a process that has ended. The name in parentheses may hold
/// anything, so fields count from its last parenthesis.
fn start_ticks(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    fields.get(19)?.parse().ok().filter(|_| !ended)
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
