//! After a start: every open execution is read again, and its open work is issued again at once.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use kork::ports::Revision;
use kork_model::ExecutionId;
use orca_engine::{State, open_effects};

use super::{
    Error, Shell, admission, inbox, peers,
    states::{Entry, folded},
};

/// Logs that are read at the same time.
const READS_AT_ONCE: usize = 32;
/// Executions that are read, and then looked for in the index in one go.
const CHUNK: usize = 512;
/// Pause before a log that could not be read is read again.
const RETRY: Duration = Duration::from_millis(200);

/// Reads all logs. What is finished is archived; what is open goes on.
pub(crate) async fn run(shell: &Arc<Shell>) -> Result<(), Error> {
    // Executions go on without the cache.
    if let Err(error) = shell.ensure_index().await {
        tracing::warn!(error = %error.problem(), "the index is built when it is read");
    }
    let subjects = shell.ports.journal.subjects("execution.").await;
    let subjects = subjects.map_err(|source| Error::Journal {
        id: "all".to_owned(),
        source,
    })?;
    let found = subjects.len();
    // From the end: whoever takes over what a dead one left begins with the first.
    let ids = subjects.iter().rev();
    let ids = ids.filter_map(|s| s.strip_prefix("execution."));
    recover_all(shell, ids.map(ExecutionId::from).collect()).await;
    admission::recover(shell).await?;
    inbox::recover(shell).await?;
    if found > 0 {
        tracing::info!(executions = found, "open executions go on");
    }
    Ok(())
}

/// While some are put into the index, none is read: one that is being read holds the lock of its execution, which
/// another one may share, and would not go on before that one is put.
async fn recover_all(shell: &Arc<Shell>, ids: Vec<ExecutionId>) {
    for chunk in ids.chunks(CHUNK) {
        let recovered: Vec<_> = chunk.iter().map(|id| recover(shell, id)).collect();
        let states = stream::iter(recovered).buffer_unordered(READS_AT_ONCE);
        let states: Vec<_> = states.filter_map(std::future::ready).collect().await;
        shell.index_put_missing(&states).await;
    }
}

/// One unreadable execution must not keep the others from going on.
async fn recover(shell: &Arc<Shell>, id: &ExecutionId) -> Option<Arc<State>> {
    match try_recover(shell, id).await {
        Ok(state) => state,
        Err(error) if error.is_passing() => {
            later(shell, id);
            None
        }
        Err(error) => {
            tracing::error!(execution.id = %id, error = %error.problem(), "an execution cannot be read");
            None
        }
    }
}

/// After another instance died: what it was about to carry out is carried out here, and then what it had ended
/// long ago and had not archived yet, such as behind a burst of events.
pub(crate) async fn take_over(shell: &Arc<Shell>, ids: Vec<ExecutionId>) {
    recover_all(shell, ids).await;
    match shell.ports.journal.subjects("execution.").await {
        Ok(subjects) => {
            let ids = subjects.iter().filter_map(|s| s.strip_prefix("execution."));
            let nobodys = ids
                .map(ExecutionId::from)
                .filter(|id| is_nobodys(shell, id));
            recover_all(shell, nobodys.collect()).await;
        }
        Err(error) => {
            tracing::warn!(%error, "what ended long ago is archived after the next start");
        }
    }
    if let Err(error) = admission::recover(shell).await {
        tracing::warn!(error = %error.problem(), "admissions are told again later");
    }
}

/// As far as is known here, nobody has this execution in hand.
fn is_nobodys(shell: &Shell, id: &ExecutionId) -> bool {
    let own = shell.told_up_to(id) != Revision::NONE || shell.timers.is_set(id);
    !own && !shell.archiver.has(id) && !shell.peers.have(id)
}

/// The execution, which goes on; none when there is none. It is to be put into the index.
async fn try_recover(shell: &Arc<Shell>, id: &ExecutionId) -> Result<Option<Arc<State>>, Error> {
    let _one_at_a_time = shell.lock(id).await;
    let entries = shell.read_records(id).await?;
    let written = folded(&entries);
    peers::note(shell, &written.by, id).await;
    let has_ended = written.state.execution.status.is_complete();
    if has_ended && shell.peers.have(id) {
        // Whoever ended it lives, tells of it and archives it.
        return Ok(Some(written.state));
    }
    let loaded = if has_ended && is_alone(&entries) {
        written
    } else {
        // The process may have died between an append and its publication; the topic knows the ids of
        // what it has.
        let entries = shell.believed(id, entries).await?;
        shell.tell_entries(id, entries).await
    };
    let state = loaded.state;
    if state.execution.id.as_str().is_empty() {
        return Ok(None);
    }
    shell.timers.set(id, state.next_wake());
    shell.carry_out(id.clone(), open_effects(&state));
    Ok(Some(state))
}

/// The record that created an execution under a chosen id is all that there is. Of those that ended with it
/// there may be, behind a burst of events, as many as it had; to ask the archive for each of them would keep
/// all others waiting. Nothing goes on from it: the archiver, which asks anyway, tells of it before it takes it
/// out of the log, and what it owes others can be done twice.
fn is_alone(entries: &[Entry]) -> bool {
    matches!(entries, [created] if created.batch.chosen)
}

/// After a write of which nobody knows whether it took place: as after a start, as soon as the log can
/// be read again.
pub(crate) fn later(shell: &Arc<Shell>, id: &ExecutionId) {
    let (shell, id) = (Arc::clone(shell), id.clone());
    shell.shutdown.clone().spawn_until_requested(async move {
        loop {
            match try_recover(&shell, &id).await {
                Ok(Some(_)) => return shell.index_put_newest(&id).await,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(execution.id = %id, error = %error.problem(), "a log is read again later");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    });
}
