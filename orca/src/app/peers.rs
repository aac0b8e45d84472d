//! The other instances of orca. They share the work without a leader and without locks: the log says who
//! wrote last, and that instance carries out what follows. This one keeps an eye on them:
//!
//! - what another one writes makes the state in memory here stale, which is forgotten;
//! - its timers run here too, a little later, and do nothing when it was in time;
//! - when it is gone, what it had in hand is taken over. Everything has stable keys, so two that take
//!   over the same do it once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use kork::ports::{Record, Registration, RpcError, RpcHandler};
use kork_model::{ExecutionId, Problem, Timestamp};
use serde::Deserialize;

use super::{Shell, inbox, recovery};

/// A timer of another instance that is late by so much is fired here.
const TIMER_GRACE_MS: u64 = 250;
/// Pause between two looks at the other instances.
const LOOK: Duration = Duration::from_millis(500);
/// An instance that does not answer within this time does not answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// An instance that did not answer so many times in a row counts as gone.
const SILENT_MAX: u32 = 3;
/// What another instance finished so long ago, it has archived, as a rule: what it has not is looked for when
/// it is gone ([`recovery::take_over`]).
const FINISHED_MS: u64 = 60_000;
/// Instances that are remembered as gone.
const GONE_MAX: usize = 64;
/// Pause before the log is followed again.
const RETRY: Duration = Duration::from_millis(500);

/// What the other instances have in hand.
#[derive(Default)]
pub(crate) struct Peers {
    inner: Mutex<BTreeMap<String, Peer>>,
    /// Those that were found gone last, the newest at the end: thousands of executions may name them.
    gone: Mutex<VecDeque<String>>,
}

#[derive(Default)]
struct Peer {
    /// Executions that it wrote last, with the time of the record.
    has: BTreeMap<ExecutionId, Timestamp>,
    silent: u32,
}

/// The head of a record.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    by: String,
    wake: Option<Timestamp>,
}

impl Peers {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Peer>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, by: &str, id: &ExecutionId, now: Timestamp) {
        let mut peers = self.lock();
        for peer in peers.values_mut() {
            peer.has.remove(id);
        }
        if !by.is_empty() {
            let peer = peers.entry(by.to_owned()).or_default();
            peer.has.insert(id.clone(), now);
        }
    }

    /// It is watched from now on.
    fn watch(&self, peer: &str) {
        self.lock().entry(peer.to_owned()).or_default();
    }

    /// Notes an answer or none; what the instance had in hand when it counts as gone.
    fn heard(&self, peer: &str, outcome: &Result<Bytes, RpcError>) -> Option<Vec<ExecutionId>> {
        let mut peers = self.lock();
        let known = peers.get_mut(peer)?;
        let gone = match outcome {
            Err(RpcError::NoResponder { .. }) => true,
            Err(_) => {
                known.silent += 1;
                known.silent >= SILENT_MAX
            }
            Ok(_) => {
                known.silent = 0;
                false
            }
        };
        if !gone {
            return None;
        }
        let had = peers.remove(peer)?.has;
        Some(had.into_keys().collect())
    }

    fn gone(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_gone(&self, peer: &str) -> bool {
        self.gone().iter().any(|gone| gone == peer)
    }

    fn is_gone_now(&self, peer: &str) {
        let mut gone = self.gone();
        gone.push_back(peer.to_owned());
        if gone.len() > GONE_MAX {
            gone.pop_front();
        }
    }

    fn knows(&self, peer: &str) -> bool {
        self.lock().contains_key(peer)
    }

    fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// What it forgets is the answer.
    fn forget_finished(
        &self,
        is_old: impl Fn(&ExecutionId, Timestamp) -> bool,
    ) -> Vec<ExecutionId> {
        let mut peers = self.lock();
        let mut forgotten = Vec::new();
        for peer in peers.values_mut() {
            let old = peer.has.extract_if(.., |id, at| is_old(id, *at));
            forgotten.extend(old.map(|(id, _)| id));
        }
        forgotten
    }

    /// Some instance that lives has this execution in hand.
    pub(crate) fn have(&self, id: &ExecutionId) -> bool {
        self.lock().values().any(|peer| peer.has.contains_key(id))
    }
}

/// Says that this instance is there.
struct Alive;

#[async_trait]
impl RpcHandler for Alive {
    async fn handle(&self, _: Bytes) -> Result<Bytes, Problem> {
        Ok(Bytes::new())
    }
}

fn endpoint(instance: &str) -> String {
    format!("alive.{instance}")
}

/// Starts to look at the others, and to be looked at. From here on nothing that they write goes
/// unheard.
pub(crate) async fn spawn(shell: &Arc<Shell>) -> Result<Box<dyn Registration>, RpcError> {
    let own = endpoint(&shell.me);
    let alive = shell.ports.rpc.serve("orca", &own, Arc::new(Alive)).await?;
    for (prefix, take_in) in [
        ("execution.", take_in as TakeIn),
        (inbox::LOGS, take_in_events),
    ] {
        let following = Arc::clone(shell);
        shell
            .shutdown
            .spawn_until_requested(async move { follow(&following, prefix, take_in).await });
    }
    let looking = Arc::clone(shell);
    shell
        .shutdown
        .spawn_until_requested(async move { look(&looking).await });
    Ok(alive)
}

/// What is done with a record of another instance, or of this one.
type TakeIn = fn(&Arc<Shell>, &Record);

async fn follow(shell: &Arc<Shell>, prefix: &str, take_in: TakeIn) {
    loop {
        match shell.ports.journal.follow(prefix).await {
            // After an error it goes on where it was: what others wrote meanwhile must not be missed,
            // or nobody would take it over from them.
            Ok(mut records) => loop {
                match records.next().await {
                    Ok(record) => take_in(shell, &record),
                    Err(error) => {
                        tracing::warn!(%error, "the logs are followed later");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            },
            Err(error) => tracing::warn!(%error, "the logs are followed later"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn take_in(shell: &Arc<Shell>, record: &Record) {
    let Ok(head) = serde_json::from_slice::<Head>(&record.payload) else {
        return;
    };
    let Some(id) = record.subject.strip_prefix("execution.") else {
        return;
    };
    let id = ExecutionId::from(id);
    if head.by == shell.me {
        // Again, because an older record of another instance may have been heard of later.
        shell.timers.set(&id, head.wake);
        return shell.peers.has("", &id, Timestamp::default());
    }
    shell.states.forget_older(&id, record.revision);
    shell
        .timers
        .set(&id, head.wake.map(|at| at.plus_ms(TIMER_GRACE_MS)));
    shell.peers.has(&head.by, &id, shell.ports.clock.now());
}

/// Whoever takes events is watched, for the sake of those that it took.
fn take_in_events(shell: &Arc<Shell>, record: &Record) {
    let instance = record.subject.strip_prefix(inbox::LOGS);
    if let Some(instance) = instance.filter(|name| **name != shell.me) {
        shell.peers.watch(instance);
    }
}

/// Another instance answers; then it is watched, for the sake of the events that it took.
pub(crate) async fn is_alive(shell: &Arc<Shell>, instance: &str) -> bool {
    let is_alive = asked(shell, instance).await.is_ok();
    if is_alive {
        shell.peers.watch(instance);
    }
    is_alive
}

/// Notes who wrote last, when it is another instance that lives.
pub(crate) async fn note(shell: &Arc<Shell>, by: &str, id: &ExecutionId) {
    if by.is_empty() || by == shell.me || shell.peers.is_gone(by) {
        return;
    }
    if shell.peers.knows(by) || asked(shell, by).await.is_ok() {
        shell.peers.has(by, id, shell.ports.clock.now());
    } else {
        shell.peers.is_gone_now(by);
    }
}

async fn asked(shell: &Arc<Shell>, peer: &str) -> Result<Bytes, RpcError> {
    let endpoint = endpoint(peer);
    let rpc = &shell.ports.rpc;
    rpc.call("orca", &endpoint, Bytes::new(), ANSWER_MAX).await
}

async fn look(shell: &Arc<Shell>) {
    loop {
        tokio::time::sleep(LOOK).await;
        for peer in shell.peers.names() {
            let answer = asked(shell, &peer).await;
            if let Some(had) = shell.peers.heard(&peer, &answer) {
                tracing::warn!(instance = peer, executions = had.len(), "an orca is gone");
                inbox::take_over(shell, &peer);
                recovery::take_over(shell, had).await;
            }
        }
        let now = shell.ports.clock.now();
        let waits = |id: &ExecutionId| shell.timers.is_set(id);
        let is_old = |id: &ExecutionId, at| now.ms_since(at) > FINISHED_MS && !waits(id);
        for id in shell.peers.forget_finished(is_old) {
            shell.nothing_to_tell(&id);
        }
    }
}
