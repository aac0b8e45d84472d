//! The shell around the log of one pipeline that decides which of its executions run.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use kork::ports::{JournalError, Revision};
use kork_model::{Kind, Problem};
use orca_engine::{
    Command,
    admission::{AdmissionCommand, AdmissionEvent, Admissions, Ticket, decide, evolve},
};
use serde::{Deserialize, Serialize};

use super::{Error, Shell, token};
use crate::bus::commands;

const CONFLICTS_MAX: usize = 64;
/// One message of a pipeline's log: what happened, and what is true since. Reading the newest is
/// enough, so older ones are dropped.
#[derive(Default, Serialize, Deserialize)]
struct Entry {
    events: Vec<AdmissionEvent>,
    state: Admissions,
}

/// Prefix of the subjects of these logs.
const PREFIX: &str = "pipeline.";

fn subject(pipeline: &str) -> String {
    format!("{PREFIX}{}", token(pipeline))
}

/// Asks for a place. The answer comes to the execution as a command, now or when a place is free.
pub(crate) async fn request(
    shell: &Arc<Shell>,
    pipeline: &str,
    ticket: &Ticket,
    limit: u32,
    keep_waiting: bool,
) -> Result<(), Error> {
    let ticket = ticket.clone();
    let command = AdmissionCommand::Request {
        ticket: ticket.clone(),
        limit,
        keep_waiting,
    };
    let state = change(shell, pipeline, &command).await?;
    // Asked again after a crash: the answer is in the log already, the execution may not know it.
    if state.running.contains(&ticket) {
        admit(shell, &ticket).await?;
    } else if state.gone.contains(&ticket) {
        supersede(shell, &ticket).await?;
    }
    Ok(())
}

/// Gives a place back; whoever is next gets it.
pub(crate) async fn release(
    shell: &Arc<Shell>,
    pipeline: &str,
    ticket: &Ticket,
) -> Result<(), Error> {
    let command = AdmissionCommand::Release {
        ticket: ticket.clone(),
    };
    change(shell, pipeline, &command).await.map(drop)
}

/// After a crash: whoever was let through is told again. Telling twice changes nothing.
pub(crate) async fn recover(shell: &Arc<Shell>) -> Result<(), Error> {
    let journal = &shell.ports.journal;
    let subjects = journal
        .subjects(PREFIX)
        .await
        .map_err(|e| failed("pipelines", e))?;
    for subject in subjects {
        let (_, entry) = read(shell, &subject).await?;
        tell(shell, &entry.events).await?;
        for ticket in &entry.state.running {
            admit(shell, ticket).await?;
        }
    }
    Ok(())
}

async fn change(
    shell: &Arc<Shell>,
    pipeline: &str,
    command: &AdmissionCommand,
) -> Result<Admissions, Error> {
    let subject = subject(pipeline);
    for _ in 0..CONFLICTS_MAX {
        let (revision, before) = read(shell, &subject).await?;
        // Whoever wrote it may have died, or not have heard that it was written, before it told.
        tell_once(shell, &subject, revision, &before.events).await?;
        let events = decide(&before.state, command).map_err(|e| {
            let text = format!("pipeline {pipeline} cannot take another execution");
            Error::Problem(Box::new(
                Problem::new("ORCA-0006", Kind::TooLarge, text).because(&e),
            ))
        })?;
        if events.is_empty() {
            return Ok(before.state);
        }
        let state = events.iter().fold(before.state, evolve);
        let entry = Entry { events, state };
        let payload = serde_json::to_vec(&entry).map_err(|source| Error::Unreadable {
            id: pipeline.to_owned(),
            source,
        })?;
        let journal = &shell.ports.journal;
        match journal
            .append(&subject, revision, Bytes::from(payload))
            .await
        {
            Ok(written) => {
                tell_once(shell, &subject, written, &entry.events).await?;
                if revision != Revision::NONE
                    && let Err(error) = journal.purge(&subject, revision).await
                {
                    tracing::debug!(%subject, %error, "old entries are dropped with the next one");
                }
                return Ok(entry.state);
            }
            Err(JournalError::Conflict { .. }) => {}
            Err(error) => return Err(failed(pipeline, error)),
        }
    }
    let text = format!("pipeline {pipeline} is started by too many at once");
    Err(Error::Problem(Box::new(
        Problem::new("ORCA-0008", Kind::Unavailable, text).retry_after(1),
    )))
}

async fn read(shell: &Arc<Shell>, subject: &str) -> Result<(Revision, Entry), Error> {
    let records = shell.ports.journal.read(subject, Revision::NONE).await;
    let records = records.map_err(|e| failed(subject, e))?;
    let Some(newest) = records.last() else {
        return Ok((Revision::NONE, Entry::default()));
    };
    let entry: Entry =
        serde_json::from_slice(&newest.payload).map_err(|source| Error::Unreadable {
            id: subject.to_owned(),
            source,
        })?;
    Ok((newest.revision, entry))
}

/// Tells of an entry what this process has not told yet. Told twice, it changes nothing.
async fn tell_once(
    shell: &Arc<Shell>,
    subject: &str,
    revision: Revision,
    events: &[AdmissionEvent],
) -> Result<(), Error> {
    if shell
        .told
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(subject)
        == Some(&revision)
    {
        return Ok(());
    }
    tell(shell, events).await?;
    let mut told = shell.told.lock().unwrap_or_else(PoisonError::into_inner);
    told.insert(subject.to_owned(), revision);
    Ok(())
}

async fn tell(shell: &Arc<Shell>, events: &[AdmissionEvent]) -> Result<(), Error> {
    for event in events {
        match event {
            AdmissionEvent::Admitted { ticket } => admit(shell, ticket).await?,
            AdmissionEvent::Superseded { ticket } => supersede(shell, ticket).await?,
            AdmissionEvent::Queued { .. }
            | AdmissionEvent::Released { .. }
            | AdmissionEvent::Limited { .. } => {}
        }
    }
    Ok(())
}

async fn admit(shell: &Arc<Shell>, ticket: &Ticket) -> Result<(), Error> {
    let command = Command::Admit {
        generation: ticket.generation(),
    };
    let key = format!("{}/admit", ticket.0);
    commands::send(shell, &key, &ticket.execution(), &command).await
}

async fn supersede(shell: &Arc<Shell>, ticket: &Ticket) -> Result<(), Error> {
    let command = Command::Supersede {
        generation: ticket.generation(),
    };
    let key = format!("{}/superseded", ticket.0);
    commands::send(shell, &key, &ticket.execution(), &command).await
}

fn failed(what: &str, source: JournalError) -> Error {
    Error::Journal {
        id: what.to_owned(),
        source,
    }
}
