//! The use cases of orca.
//!
//! [`Shell::execute`] is the loop of the whole service: load, decide, append, evolve, carry out. It
//! contains no decision about pipelines; those are the engine's.

pub mod admission;
pub mod archive;
pub(crate) mod archiver;
pub(crate) mod behind;
mod carry_out;
pub(crate) use carry_out::unavailable;
pub(crate) mod chosen;
pub(crate) mod cron;
mod definitions;
pub(crate) mod dependents;
mod event_stream;
pub(crate) mod inbox;
pub mod index;
mod measures;
pub(crate) mod pages;
pub(crate) mod parent;
mod past;
pub(crate) mod peers;
pub(crate) mod publisher;
pub mod queries;
pub mod recovery;
pub(crate) mod results;
mod spans;
pub mod start;
mod states;
mod templates;
pub mod timers;
pub mod triggers;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use kork::{
    ports::{CacheError, JournalError, Ports, Revision},
    service::{Metrics, Shutdown},
};
use kork_model::{ExecutionId, Kind, Problem, Timestamp};
use orca_engine::{Command, Event, Rejection, State, decide, evolve};
use serde::{Deserialize, Serialize};

use crate::Config;

/// Times that a command is decided again because another writer was first.
const CONFLICTS_MAX: usize = 64;
/// Locks that keep commands on one execution from getting in each other's way. They save work;
/// the journal's expected revision is what decides. Many, because two executions may share one, and one that
/// is archived holds it for as long as the object store takes.
const LOCKS: usize = 8192;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    #[error("the log of execution {id} cannot be used")]
    Journal {
        id: String,
        #[source]
        source: JournalError,
    },
    #[error("the log of execution {id} cannot be read")]
    Unreadable {
        id: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{what} failed")]
    Store {
        what: String,
        #[source]
        source: kork::ports::ObjectStoreError,
    },
    #[error("the index of executions cannot be used")]
    Index {
        #[source]
        source: CacheError,
    },
}

impl Error {
    /// The problem that a caller sees.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Rejected(rejection) => rejection.problem(),
            Self::Problem(problem) => (**problem).clone(),
            Self::Journal {
                source: JournalError::TooLarge { .. },
                ..
            } => {
                let text = "the change is too large for the log of an execution";
                Problem::new("ORCA-0006", Kind::TooLarge, text).because(self)
            }
            Self::Journal { .. } | Self::Store { .. } => Problem::new(
                "KORK-0008",
                Kind::Unavailable,
                "the store of executions does not answer",
            )
            .because(self)
            .retry_after(1),
            Self::Index { .. } => Problem::new(
                "KORK-0008",
                Kind::Unavailable,
                "executions cannot be listed just now; each can be read by its id",
            )
            .because(self)
            .retry_after(1),
            Self::Unreadable { .. } => {
                Problem::new("KORK-0007", Kind::Bug, "a stored execution cannot be read")
                    .because(self)
            }
        }
    }

    /// True when trying again later may help.
    pub fn is_passing(&self) -> bool {
        self.problem().kind.is_passing()
    }
}

/// One message of an execution's log: all events of one decision.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// Version of the message; readers refuse what they do not know.
    pub v: u8,
    /// The instance of orca that wrote it, and carries out what follows.
    #[serde(default)]
    pub by: String,
    /// The next moment at which the engine wants to look at the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<Timestamp>,
    /// It creates an execution under an id that others may have used. As long as no second record follows,
    /// the archive may have that execution already, and then this one is none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chosen: bool,
    pub events: Vec<Event>,
}

/// Version of [`Batch`] that is written.
const BATCH_VERSION: u8 = 1;

/// The shell around the engine. Shared by everything in the service.
pub struct Shell {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) shutdown: Shutdown,
    /// This instance, among those that share the work.
    pub(crate) me: String,
    pub(crate) peers: peers::Peers,
    pub(crate) timers: timers::Timers,
    pub(crate) triggers: triggers::Triggers,
    pub(crate) definitions: definitions::Definitions,
    pub(crate) templates: templates::Templates,
    pub(crate) cron: cron::Cron,
    states: states::States,
    locks: Vec<tokio::sync::Mutex<()>>,
    index_building: tokio::sync::Mutex<()>,
    /// The build of the index that was last seen to be whole.
    index_build: Mutex<Option<Arc<str>>>,
    pub(crate) archiver: archiver::Archiver,
    pub(crate) behind: behind::Behind,
    pub(crate) inbox: inbox::Inbox,
    pub(crate) pages: pages::Pages,
    pub(crate) publisher: publisher::Publisher,
    pub(crate) measures: measures::Measures,
    /// Up to where the log of each open execution was told on the event stream.
    pub(crate) marks: Mutex<HashMap<ExecutionId, Revision>>,
    /// Ends of executions whose dependents were started, and which still have a log.
    dependents: Mutex<HashMap<ExecutionId, Timestamp>>,
    /// Entries of pipelines' logs that this process has told of, by subject.
    pub(crate) told: Mutex<HashMap<String, Revision>>,
}

impl Shell {
    /// A shell on these ports. Nothing runs yet.
    pub fn new(config: Config, ports: Ports, shutdown: Shutdown) -> Self {
        Self {
            me: ports.ids.ulid(),
            peers: peers::Peers::default(),
            states: states::States::new(
                config.states_in_memory_max,
                config.states_in_memory_bytes_max,
            ),
            index_building: tokio::sync::Mutex::default(),
            index_build: Mutex::default(),
            archiver: archiver::Archiver::default(),
            behind: behind::Behind::default(),
            inbox: inbox::Inbox::default(),
            timers: timers::Timers::default(),
            triggers: triggers::Triggers::default(),
            definitions: definitions::Definitions::default(),
            templates: templates::Templates::default(),
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::new(())).collect(),
            marks: Mutex::default(),
            told: Mutex::default(),
            dependents: Mutex::default(),
            cron: cron::Cron::default(),
            pages: pages::Pages::default(),
            publisher: publisher::Publisher::default(),
            measures: measures::Measures::new(&Metrics::default()),
            config,
            ports,
            shutdown,
        }
    }

    /// Counts into these metrics from now on.
    #[must_use]
    pub fn measured(mut self, metrics: &Metrics) -> Self {
        self.measures = measures::Measures::new(metrics);
        self
    }

    /// Subject of an execution's log.
    pub(crate) fn subject(id: &ExecutionId) -> String {
        format!("execution.{}", token(id.as_str()))
    }

    /// Answers one command on one execution: the state after it, durable.
    pub async fn execute(
        self: &Arc<Self>,
        id: &ExecutionId,
        command: &Command,
    ) -> Result<Arc<State>, Error> {
        self.execute_as(id, command, Id::Own).await
    }

    /// The same, for an execution whose id was chosen elsewhere: it is created once, whoever else creates it.
    pub(crate) async fn execute_as(
        self: &Arc<Self>,
        id: &ExecutionId,
        command: &Command,
        chosen: Id,
    ) -> Result<Arc<State>, Error> {
        let began = self.ports.clock.now();
        let _one_at_a_time = self.lock(id).await;
        let mut outcome = self.decide_and_append(id, command, chosen).await;
        if let (
            Id::Chosen,
            Ok(Outcome {
                changed: Some(changed),
                ..
            }),
        ) = (chosen, &outcome)
            && let Err(error) = self.was_first(id, changed.revision).await
        {
            self.states.forget(id);
            if error.is_passing() {
                // It goes on as soon as the archive can be asked.
                recovery::later(self, id);
            }
            outcome = Err(error);
        }
        let took_ms = self.ports.clock.now().ms_since(began);
        let word = match &outcome {
            Ok(Outcome {
                changed: Some(_), ..
            }) => "done",
            Ok(_) => "nothing",
            Err(_) => "refused",
        };
        self.measures.command(command, word, took_ms);
        let outcome = outcome?;
        if let Some(changed) = &outcome.changed {
            let Changed {
                events,
                before,
                revision,
            } = changed;
            self.follow_up(&outcome.state, events, *before, *revision)
                .await;
        }
        Ok(outcome.state)
    }

    /// Another instance may have created, ended and archived it since it was looked for, as after a halt of
    /// this process: then its log was empty again. Nothing has followed from this record yet, and it goes.
    pub(crate) async fn was_first(
        &self,
        id: &ExecutionId,
        revision: Revision,
    ) -> Result<(), Error> {
        if self.get_archive(id).await?.is_none() {
            return Ok(());
        }
        let purged = self.ports.journal.purge(&Self::subject(id), revision).await;
        purged.map_err(|source| Error::Journal {
            id: id.to_string(),
            source,
        })?;
        Err(Error::Rejected(Rejection::AlreadyExists(id.to_string())))
    }

    pub(crate) fn dependents(&self) -> MutexGuard<'_, HashMap<ExecutionId, Timestamp>> {
        let dependents = self.dependents.lock();
        dependents.unwrap_or_else(PoisonError::into_inner)
    }

    async fn decide_and_append(
        self: &Arc<Self>,
        id: &ExecutionId,
        command: &Command,
        chosen: Id,
    ) -> Result<Outcome, Error> {
        for _ in 0..CONFLICTS_MAX {
            let loaded = self.load_for(id, command).await?;
            let now = self.ports.clock.now();
            let decided = decide(&loaded.state, command, now).map_err(|r| named(r, id));
            let is_written = decided.as_ref().is_ok_and(|events| !events.is_empty());
            // An append is refused when another instance was faster; what is not appended has to be
            // decided on the newest state too.
            if (loaded.archived || !is_written) && !self.is_newest(id, &loaded).await? {
                self.states.forget(id);
                continue;
            }
            let events = decided?;
            if events.is_empty() {
                return Ok(Outcome {
                    state: loaded.state,
                    changed: None,
                });
            }
            if loaded.archived && !matches!(command, Command::Restart { .. }) {
                let state = Arc::new(fold(&loaded.state, &events));
                let archived = self.put_archive(&state).await?;
                self.states.put(id, archived);
                return Ok(Outcome {
                    state,
                    changed: None,
                });
            }
            let state = Arc::new(fold(&loaded.state, &events));
            let batch = Batch {
                v: BATCH_VERSION,
                by: self.me.clone(),
                wake: state.next_wake(),
                chosen: chosen == Id::Chosen && loaded.revision == Revision::NONE,
                events,
            };
            match self.append(id, loaded.revision, &batch).await {
                Ok((revision, bytes)) => {
                    let kept = states::Loaded {
                        state: Arc::clone(&state),
                        revision,
                        bytes: loaded.bytes + bytes,
                        ..states::Loaded::default()
                    };
                    self.states.put(id, kept);
                    return Ok(Outcome {
                        state,
                        changed: Some(Changed {
                            events: batch.events,
                            before: loaded.revision,
                            revision,
                        }),
                    });
                }
                Err(JournalError::Conflict { actual, .. }) => {
                    self.states.forget(id);
                    if creates(command) && actual != Revision::NONE {
                        // Whoever wrote first made it. Its log need not be read, nor the archive be asked.
                        return Err(Error::Rejected(Rejection::AlreadyExists(id.to_string())));
                    }
                }
                Err(source) => {
                    self.states.forget(id);
                    // Nobody knows whether it was written; if it was, what follows must follow.
                    recovery::later(self, id);
                    return Err(Error::Journal {
                        id: id.to_string(),
                        source,
                    });
                }
            }
        }
        let text = format!("execution {id} is changed by too many at once");
        Err(Error::Problem(Box::new(
            Problem::new("ORCA-0008", Kind::Unavailable, text).retry_after(1),
        )))
    }

    /// An archived execution has no log; a restart brings it back into one.
    async fn load_for(&self, id: &ExecutionId, command: &Command) -> Result<states::Loaded, Error> {
        let loaded = self.load(id).await?;
        if loaded.archived && matches!(command, Command::Restart { .. }) {
            return Ok(states::Loaded {
                archived: false,
                ..states::Loaded::default()
            });
        }
        if loaded.archived && matches!(command, Command::Create { .. }) {
            return Err(Error::Rejected(Rejection::AlreadyExists(id.to_string())));
        }
        Ok(loaded)
    }

    async fn append(
        &self,
        id: &ExecutionId,
        expected: Revision,
        batch: &Batch,
    ) -> Result<(Revision, usize), JournalError> {
        let payload = serde_json::to_vec(batch).map_err(|e| JournalError::Corrupt {
            reason: format!("events cannot be written: {e}"),
        })?;
        let bytes = payload.len();
        let subject = Self::subject(id);
        let appended = self
            .ports
            .journal
            .append(&subject, expected, Bytes::from(payload));
        appended.await.map(|revision| (revision, bytes))
    }

    pub(crate) async fn lock(&self, id: &ExecutionId) -> tokio::sync::MutexGuard<'_, ()> {
        let hash = id
            .as_str()
            .bytes()
            .fold(0_usize, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
        self.locks[hash % LOCKS].lock().await
    }

    /// The state of an execution, from memory, its log or the archive.
    pub async fn state(&self, id: &ExecutionId) -> Result<Arc<State>, Error> {
        self.current(id).await.map(|loaded| loaded.state)
    }

    /// The same with what is known about it.
    pub(crate) async fn current(&self, id: &ExecutionId) -> Result<states::Loaded, Error> {
        let mut loaded = self.load(id).await?;
        if !self.is_newest(id, &loaded).await? {
            self.states.forget(id);
            loaded = self.load(id).await?;
        }
        known(loaded, id)
    }

    /// The state of an execution as this instance knows it: another one may have written a moment ago.
    pub(crate) async fn seen(&self, id: &ExecutionId) -> Result<states::Loaded, Error> {
        known(self.load(id).await?, id)
    }

    /// The last record of an execution's log.
    pub(crate) async fn last(&self, id: &ExecutionId) -> Result<Revision, Error> {
        let last = self.ports.journal.last(&Self::subject(id)).await;
        last.map_err(|source| Error::Journal {
            id: id.to_string(),
            source,
        })
    }

    /// Nobody has written since.
    async fn is_newest(&self, id: &ExecutionId, loaded: &states::Loaded) -> Result<bool, Error> {
        let last = self.last(id).await?;
        if last != loaded.revision || !loaded.archived {
            return Ok(last == loaded.revision);
        }
        // What is archived is changed and deleted without a record that others would hear of.
        self.is_archived_so(id, &loaded.etag).await
    }
}

/// Where the id of an execution comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id {
    /// Made here, and nowhere else.
    Own,
    /// Named by a caller, or derived from what happened: others may have used it.
    Chosen,
}

struct Outcome {
    state: Arc<State>,
    changed: Option<Changed>,
}

/// Events that led the log from one revision to another.
struct Changed {
    events: Vec<Event>,
    before: Revision,
    revision: Revision,
}

fn known(loaded: states::Loaded, id: &ExecutionId) -> Result<states::Loaded, Error> {
    if loaded.state.execution.id.as_str().is_empty() {
        return Err(Error::Rejected(Rejection::UnknownExecution(id.to_string())));
    }
    Ok(loaded)
}

fn creates(command: &Command) -> bool {
    matches!(
        command,
        Command::Create { .. } | Command::CreateRefused { .. }
    )
}

pub(crate) fn fold(state: &State, events: &[Event]) -> State {
    events.iter().fold(state.clone(), evolve)
}

fn named(rejection: Rejection, id: &ExecutionId) -> Error {
    Error::Rejected(match rejection {
        Rejection::UnknownExecution(_) => Rejection::UnknownExecution(id.to_string()),
        other => other,
    })
}

/// Text as one word of a subject: what is not a letter, a digit, `-` or `_` is written in hex.
pub(crate) fn token(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let mut word = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            word.push(char::from(byte));
        } else {
            word.push('=');
            word.extend(
                [byte >> 4, byte & 15].map(|d| char::from_digit(d.into(), 16).unwrap_or('0')),
            );
        }
    }
    word
}
