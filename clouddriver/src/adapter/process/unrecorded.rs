//! Processes that were started a moment before this program died, so that nobody wrote down that they
//! run. They say themselves what they are: their environment holds the run and the ports.

use std::collections::{BTreeMap, HashMap};

use camino::Utf8Path;
use kork_model::Timestamp;

use super::{
    identity::{Identity, Stat},
    record::Record,
    sweep::{ORIGIN, RUN, pids},
};
use crate::{app::ports::RunId, domain::group::ServerGroup};

/// Writes down every first process of a run of these groups that lives and is in no record.
pub(super) fn write_down(origin: &Utf8Path, groups: &[ServerGroup], now: Timestamp) {
    let records = Record::all(origin).into_iter();
    // The last run of each instance that is known.
    let mut known: HashMap<(String, u32), u32> = records
        .map(|r| ((r.id.group, r.id.ordinal), r.id.run))
        .collect();
    let mut living: Vec<Record> = pids()
        .filter_map(|pid| record_of(origin, groups, now, pid))
        .collect();
    // What a run has started itself is younger than its first process.
    living.sort_by_key(|record| record.identity.as_ref().map(|i| i.start_ticks));
    for record in living {
        let instance = (record.id.group.clone(), record.id.ordinal);
        if known
            .get(&instance)
            .is_some_and(|run| *run >= record.id.run)
        {
            continue;
        }
        known.insert(instance, record.id.run);
        tracing::info!(run = %record.id, pid = record.pid, "runs, and was not written down; it is now");
        if let Err(error) = record.store(origin) {
            tracing::warn!(run = %record.id, %error, "an instance cannot be written down");
        }
    }
}

fn record_of(
    origin: &Utf8Path,
    groups: &[ServerGroup],
    now: Timestamp,
    pid: u32,
) -> Option<Record> {
    let leads = Stat::of(pid).is_some_and(|stat| stat.group == pid && !stat.is_zombie);
    let environment = leads.then(|| std::fs::read(format!("/proc/{pid}/environ")))?;
    let variables = variables(&environment.ok()?);
    if variables.get(ORIGIN).map(String::as_str) != Some(origin.as_str()) {
        return None;
    }
    let id = RunId::parse(variables.get(RUN)?)?;
    let group = groups.iter().find(|group| group.name == id.group)?;
    let names = group.spec.ports.iter();
    let names = names.map(|name| format!("PORT_{}", name.to_ascii_uppercase()));
    let ports = std::iter::once("PORT".to_owned())
        .chain(names)
        .map(|name| {
            let port = variables.get(&name)?.parse().ok()?;
            Some((name, port))
        })
        .collect::<Option<BTreeMap<String, u16>>>()?;
    Some(Record {
        id,
        pid,
        identity: Identity::of(pid),
        ports,
        started: now,
        ready: false,
    })
}

fn variables(environment: &[u8]) -> BTreeMap<String, String> {
    environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| {
            let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}
