//! Starts pipelines by the clock.
//!
//! Every instance keeps the time; a fire time has an id of its own, so that it starts one execution, whoever
//! is first. How far the clock was watched stands in the object store: after a downtime the fire times in
//! between are made up for, or not, as it is configured.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use kork::ports::Condition;
use kork_model::Timestamp;
use orca_triggers::cron::{Policy, Schedule, catch_up};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use super::{Error, Shell};
use crate::config::CatchUp;

/// Where it stands up to when the clock was watched.
const KEY: &str = "orca/cron.json";
/// How often that is written, at least, while there are triggers.
const NOTE_MS: u64 = 30_000;
/// Longest sleep: a clock that was set is noticed then.
const SLEEP_MS: u64 = 10_000;
/// Nobody watched the clock when it is so much later than it was: the process was halted, or the machine slept.
const GAP_MS: u64 = 60_000;
/// Pause before a fire time is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Fire times of one trigger that are made up for, at most.
const MISSED_MAX: usize = 1_000;

/// Says when the triggers have changed, what cannot be read of them, and what is about to start.
#[derive(Default)]
pub(crate) struct Cron {
    changed: Notify,
    wrong: Mutex<HashMap<String, String>>,
    /// Fire times whose execution is not stored yet, with the pipeline and the trigger.
    starting: Mutex<BTreeSet<(Timestamp, String, String)>>,
}

impl Cron {
    /// Triggers came or went.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    fn starting(&self) -> MutexGuard<'_, BTreeSet<(Timestamp, String, String)>> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to when everything that was due is stored, if the clock was watched up to `watched`.
    fn done_up_to(&self, watched: Timestamp) -> Timestamp {
        let starting = self.starting();
        let first = starting.first();
        first.map_or(watched, |(at, ..)| {
            watched.min(Timestamp(at.millis().saturating_sub(1)))
        })
    }

    fn wrong(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize, Deserialize)]
struct Watched {
    up_to: Timestamp,
}

/// A trigger with its schedule.
struct Entry {
    pipeline: String,
    trigger: String,
    /// What it was made of: another one is another schedule.
    made_of: String,
    schedule: Schedule,
    /// It came to be at this moment; what would have been due before is not.
    since: Timestamp,
}

/// Starts to keep the time.
pub(crate) fn spawn(shell: &Arc<Shell>) {
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn_until_requested(async move {
        // What is due while the stores do not answer yet is due all the same, unless they take too long.
        let mut watched = shell.ports.clock.now();
        let seen = until_done(|| watched_up_to(&shell)).await;
        until_done(|| shell.read_triggers()).await;
        let mut entries: Vec<Entry> = Vec::new();
        read(&shell, &mut entries, Timestamp::default());
        if let Some(seen) = seen {
            make_up(&shell, &entries, seen, watched);
        }
        let mut noted = Timestamp::default();
        loop {
            let clock = &shell.ports.clock;
            let now = clock.now();
            if !entries.is_empty() && now.ms_since(noted) >= NOTE_MS {
                noted = now;
                note(&shell, shell.cron.done_up_to(watched)).await;
            }
            let next = entries
                .iter()
                .filter_map(|e| e.schedule.next_after(watched))
                .min();
            let wake = now.plus_ms(SLEEP_MS);
            let until = next.map_or(wake, |next| next.min(wake));
            tokio::select! {
                () = clock.sleep_until(until) => {
                    let now = clock.now();
                    let near = Timestamp(now.millis().saturating_sub(GAP_MS));
                    if watched < near {
                        make_up(&shell, &entries, watched, near);
                    }
                    fire(&shell, &entries, watched.max(near), now);
                    watched = watched.max(now);
                }
                () = shell.cron.changed.notified() => read(&shell, &mut entries, shell.ports.clock.now()),
            }
        }
    });
}

async fn until_done<T, F: Future<Output = Result<T, Error>>>(mut work: impl FnMut() -> F) -> T {
    loop {
        match work().await {
            Ok(done) => return done,
            Err(error) => {
                tracing::warn!(error = %error.problem(), "the clock is watched later");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Takes over the schedules of all cron triggers; those that did not change stay, the others are `since` now.
fn read(shell: &Shell, entries: &mut Vec<Entry>, since: Timestamp) {
    let zone = shell.config.cron.time_zone.as_str();
    let mut known: HashMap<String, Entry> = entries
        .drain(..)
        .map(|entry| (entry.made_of.clone(), entry))
        .collect();
    let index = shell.triggers.index();
    let mut wrong = HashMap::new();
    for cron in index.crons() {
        let made_of = format!("{cron:?}");
        if let Some(entry) = known.remove(&made_of) {
            entries.push(entry);
            continue;
        }
        match cron.schedule(Some(zone)) {
            Ok(schedule) => entries.push(Entry {
                pipeline: cron.pipeline.to_string(),
                trigger: cron.trigger.to_string(),
                made_of,
                schedule,
                since,
            }),
            Err(error) => {
                let pipeline = cron.pipeline.to_string();
                let error = kork::problem::chain(&error);
                if shell.cron.wrong().get(&pipeline) != Some(&error) {
                    tracing::error!(pipeline, error, "a cron trigger never fires");
                }
                wrong.insert(pipeline, error);
            }
        }
    }
    *shell.cron.wrong() = wrong;
}

/// Starts what was due after one moment and up to another.
fn fire(shell: &Arc<Shell>, entries: &[Entry], after: Timestamp, until: Timestamp) {
    for entry in entries {
        let after = after.max(entry.since);
        for at in entry.schedule.fires_between(after, until, MISSED_MAX) {
            start(shell, entry, at, false);
        }
    }
}

/// `made_up`: nobody watched the clock when it was due.
fn start(shell: &Arc<Shell>, entry: &Entry, at: Timestamp, made_up: bool) {
    let fired = {
        let index = shell.triggers.index();
        index.cron_fired(&entry.pipeline, &entry.trigger, at)
    };
    let Some(mut fired) = fired else {
        return;
    };
    if made_up {
        fired.trigger.insert("madeUp".to_owned(), Value::Bool(true));
    }
    let this = (at, entry.pipeline.clone(), entry.trigger.clone());
    shell.cron.starting().insert(this.clone());
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn_until_requested(async move {
        while let Err(error) = shell.start_fired(std::slice::from_ref(&fired), "cron").await {
            tracing::warn!(pipeline = &*fired.pipeline, error = %error.problem(), "a pipeline starts late");
            tokio::time::sleep(RETRY).await;
        }
        shell.cron.starting().remove(&this);
    });
}

/// After a downtime, for what was due after `watched` and up to `now`.
fn make_up(shell: &Arc<Shell>, entries: &[Entry], watched: Timestamp, now: Timestamp) {
    let config = &shell.config.cron;
    let from = watched.max(Timestamp(
        now.millis().saturating_sub(config.catch_up_window_ms),
    ));
    let policy = match config.catch_up {
        CatchUp::None => Policy::None,
        CatchUp::Latest => Policy::Latest,
        CatchUp::All => Policy::All {
            within_ms: config.catch_up_window_ms,
        },
    };
    for entry in entries {
        for at in catch_up(&entry.schedule, from, now, policy) {
            tracing::info!(pipeline = entry.pipeline, missed = %at, "a missed fire time is made up for");
            start(shell, entry, at, true);
        }
    }
}

async fn watched_up_to(shell: &Shell) -> Result<Option<Timestamp>, Error> {
    let found = shell.ports.objects.get(KEY).await;
    let found = found.map_err(|source| Error::Store {
        what: "reading up to when the clock was watched".to_owned(),
        source,
    })?;
    let watched = found.and_then(|object| serde_json::from_slice::<Watched>(&object.body).ok());
    Ok(watched.map(|watched| watched.up_to))
}

async fn note(shell: &Shell, up_to: Timestamp) {
    let body = serde_json::to_vec(&Watched { up_to }).unwrap_or_default();
    let put = shell
        .ports
        .objects
        .put(KEY, Bytes::from(body), Condition::Always);
    if let Err(error) = put.await {
        tracing::warn!(%error, "it is noted later up to when the clock was watched");
    }
}
