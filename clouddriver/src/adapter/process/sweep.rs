//! Ending all that is left of a run, also what has left its process group.

use std::{collections::HashSet, time::Duration};

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::identity::{Stat, has_proc};
use crate::app::ports::RunId;

/// Variable of every instance: the data directory it was started from.
pub(super) const ORIGIN: &str = "GENNAKER_CLOUDDRIVER";
/// Variable of every instance: its run.
pub(super) const RUN: &str = "GENNAKER_RUN";
/// Looks for processes of a killed run; each kills what was born since the one before.
const ROUNDS_MAX: usize = 200;
const ROUND: Duration = Duration::from_millis(10);

/// SIGTERM to the process group of a run's first process.
pub(super) fn terminate_group(leader: u32) {
    signal_group(leader, Signal::TERM);
}

/// SIGKILL to everything that belongs to the run, until nothing is left.
pub(super) async fn kill_all(origin: &Utf8Path, id: &RunId, leader: u32) {
    if !has_proc() {
        signal_group(leader, Signal::KILL);
        return;
    }
    for _ in 0..ROUNDS_MAX {
        let (origin, run) = (origin.to_owned(), id.to_string());
        let left = tokio::task::spawn_blocking(move || {
            let members = members(&origin, |r| r == run, Some(leader));
            for pid in &members {
                signal(*pid, Signal::KILL);
            }
            members.len()
        });
        if left.await.unwrap_or(0) == 0 {
            return;
        }
        tokio::time::sleep(ROUND).await;
    }
    tracing::warn!(run = %id, "some processes of the run cannot be killed");
}

/// Ends processes that were once started from `origin` and belong to no run in `known`: SIGTERM,
/// then after `grace` SIGKILL.
pub(super) async fn strangers(origin: &Utf8Path, known: &[RunId], grace: Duration) {
    let known: HashSet<String> = known.iter().map(ToString::to_string).collect();
    let find = |origin: &Utf8Path| members(origin, |run| !known.contains(run), None);
    let found: HashSet<u32> = find(origin).into_iter().collect();
    if found.is_empty() {
        return;
    }
    tracing::warn!(processes = ?found, "ended: left over from an earlier life, and no instance");
    for pid in &found {
        signal(*pid, Signal::TERM);
    }
    tokio::time::sleep(grace).await;
    for pid in find(origin).into_iter().filter(|pid| found.contains(pid)) {
        signal(pid, Signal::KILL);
    }
}

fn signal_group(leader: u32, signal: Signal) {
    let pid = i32::try_from(leader).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| kill_process_group(pid, signal)) {
        tracing::debug!(leader, %error, "the process group has gone already");
    }
}

fn signal(pid: u32, signal: Signal) {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = process.map(|process| kill_process(process, signal)) {
        tracing::debug!(pid, %error, "the process has gone already");
    }
}

/// All processes of the machine; none where the system does not say.
pub(super) fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
}

/// Living processes whose environment says that they were started from `origin` for a run that is
/// meant, and those in the process group `leader`.
fn members(origin: &Utf8Path, meant: impl Fn(&str) -> bool, leader: Option<u32>) -> Vec<u32> {
    let origin = format!("{ORIGIN}={origin}");
    let run_key = format!("{RUN}=");
    pids()
        .filter(|pid| {
            let Some(stat) = Stat::of(*pid).filter(|s| !s.is_zombie) else {
                return false;
            };
            if leader == Some(stat.group) {
                return true;
            }
            let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else {
                return false;
            };
            let variables: Vec<_> = environment.split(|b| *b == 0).collect();
            let run = variables
                .iter()
                .find_map(|v| v.strip_prefix(run_key.as_bytes()));
            let run = run.and_then(|r| std::str::from_utf8(r).ok());
            variables.contains(&origin.as_bytes()) && run.is_some_and(&meant)
        })
        .collect()
}
