//! After a start: every open execution is read again, and its open work is issued again at once.

use std::{sync::Arc, time::Duration};

use kork_model::ExecutionId;
use orca_engine::open_effects;

use super::{Error, Shell, admission, peers};

/// Pause before a log that could not be read is read again.
const RETRY: Duration = Duration::from_millis(200);

/// Reads all logs. What is finished is archived; what is open goes on.
pub(crate) async fn run(shell: &Arc<Shell>) -> Result<(), Error> {
    shell.ensure_index().await?;
    let subjects = shell.ports.journal.subjects("execution.").await;
    let subjects = subjects.map_err(|source| Error::Journal {
        id: "all".to_owned(),
        source,
    })?;
    let found = subjects.len();
    for subject in subjects {
        let Some(id) = subject.strip_prefix("execution.") else {
            continue;
        };
        recover(shell, &ExecutionId::from(id)).await;
    }
    admission::recover(shell).await?;
    if found > 0 {
        tracing::info!(executions = found, "open executions go on");
    }
    Ok(())
}

/// One unreadable execution must not keep the others from going on.
async fn recover(shell: &Arc<Shell>, id: &ExecutionId) {
    if let Err(error) = try_recover(shell, id).await {
        if error.is_passing() {
            return later(shell, id);
        }
        tracing::error!(execution.id = %id, error = %error.problem(), "an execution cannot be read");
    }
}

/// After another instance died: what it was about to carry out is carried out here.
pub(crate) async fn take_over(shell: &Arc<Shell>, ids: Vec<ExecutionId>) {
    for id in ids {
        recover(shell, &id).await;
    }
    if let Err(error) = admission::recover(shell).await {
        tracing::warn!(error = %error.problem(), "admissions are told again later");
    }
}

async fn try_recover(shell: &Arc<Shell>, id: &ExecutionId) -> Result<(), Error> {
    let _one_at_a_time = shell.lock(id).await;
    // The process may have died between an append and its publication; the topic knows the ids of
    // what it has.
    let loaded = shell.tell_from_log(id).await?;
    peers::note(shell, &loaded.by, id).await;
    let state = loaded.state;
    if state.execution.id.as_str().is_empty() {
        return Ok(());
    }
    shell.timers.set(id, state.next_wake());
    shell.index_put(&state).await;
    shell.carry_out(id.clone(), open_effects(&state));
    Ok(())
}

/// After a write of which nobody knows whether it took place: as after a start, as soon as the log can
/// be read again.
pub(crate) fn later(shell: &Arc<Shell>, id: &ExecutionId) {
    let (shell, id) = (Arc::clone(shell), id.clone());
    shell.shutdown.clone().spawn_until_requested(async move {
        while let Err(error) = try_recover(&shell, &id).await {
            tracing::warn!(execution.id = %id, error = %error.problem(), "a log is read again later");
            tokio::time::sleep(RETRY).await;
        }
    });
}
