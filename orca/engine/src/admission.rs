//! The log of one pipeline that decides which of its executions may run: exact limits.
//!
//! Subject `pipeline.<id>`. Starts and ends of one pipeline are decided here, one after the other, so
//! two starts in the same instant can never both take the last place.

use serde::{Deserialize, Serialize};

use crate::limits::WAITING_EXECUTIONS_MAX;

/// One run of an execution: `<execution>/<generation>`. A restarted execution has a new one, so a place
/// that was given back is never mistaken for the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub String);

impl Ticket {
    /// The ticket of one run.
    pub fn new(execution: &str, generation: u32) -> Self {
        Self(format!("{execution}/{generation}"))
    }

    /// The run of the execution.
    pub fn generation(&self) -> u32 {
        self.0
            .rsplit_once('/')
            .and_then(|(_, n)| n.parse().ok())
            .unwrap_or(0)
    }

    /// The execution that it belongs to.
    pub fn execution(&self) -> kork_model::ExecutionId {
        self.0
            .rsplit_once('/')
            .map_or(self.0.as_str(), |(execution, _)| execution)
            .into()
    }
}

/// Who runs and who waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Admissions {
    pub running: Vec<Ticket>,
    /// Oldest first.
    pub waiting: Vec<Ticket>,
    /// Executions that gave up their place before they asked for it, newest last (bounded).
    pub gone: Vec<Ticket>,
    /// As the newest request said.
    pub limit: u32,
    pub keep_waiting: bool,
}

/// Releases that are remembered, so that a late request of an ended execution takes no place.
const GONE_MAX: usize = 64;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdmissionCommand {
    /// A place, please.
    Request {
        ticket: Ticket,
        limit: u32,
        keep_waiting: bool,
    },
    /// The place (or the wait) is given up. `keep_waiting` as the ending execution says.
    Release { ticket: Ticket },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "camelCase")]
pub enum AdmissionEvent {
    Admitted {
        ticket: Ticket,
    },
    Queued {
        ticket: Ticket,
    },
    /// A newer one waits, and this pipeline keeps only the newest.
    Superseded {
        ticket: Ticket,
    },
    Released {
        ticket: Ticket,
    },
    Limited {
        limit: u32,
        keep_waiting: bool,
    },
}

/// Why a place is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{waiting} executions of this pipeline wait already, at most {WAITING_EXECUTIONS_MAX} are allowed"
)]
pub struct TooManyWaiting {
    pub waiting: usize,
}

/// Decides one command. An empty list: it was answered before.
pub fn decide(
    state: &Admissions,
    command: &AdmissionCommand,
) -> Result<Vec<AdmissionEvent>, TooManyWaiting> {
    let mut state = state.clone();
    let mut events = Vec::new();
    let mut emit = |state: &mut Admissions, event: AdmissionEvent| {
        apply(state, &event);
        events.push(event);
    };
    match command {
        AdmissionCommand::Request {
            ticket,
            limit,
            keep_waiting,
        } => {
            let known = state.running.contains(ticket)
                || state.waiting.contains(ticket)
                || state.gone.contains(ticket);
            if known {
                return Ok(Vec::new());
            }
            if (state.limit, state.keep_waiting) != (*limit, *keep_waiting) {
                let event = AdmissionEvent::Limited {
                    limit: *limit,
                    keep_waiting: *keep_waiting,
                };
                emit(&mut state, event);
            }
            if has_place(&state) && state.waiting.is_empty() {
                emit(
                    &mut state,
                    AdmissionEvent::Admitted {
                        ticket: ticket.clone(),
                    },
                );
            } else if state.waiting.len() >= WAITING_EXECUTIONS_MAX {
                return Err(TooManyWaiting {
                    waiting: state.waiting.len(),
                });
            } else {
                emit(
                    &mut state,
                    AdmissionEvent::Queued {
                        ticket: ticket.clone(),
                    },
                );
            }
        }
        AdmissionCommand::Release { ticket } => {
            if state.gone.contains(ticket) {
                return Ok(Vec::new());
            }
            emit(
                &mut state,
                AdmissionEvent::Released {
                    ticket: ticket.clone(),
                },
            );
        }
    }
    // Whoever may run now, runs: the oldest one when all are kept, else the newest.
    while has_place(&state) && !state.waiting.is_empty() {
        if !state.keep_waiting {
            let newest = state.waiting.len() - 1;
            let older: Vec<Ticket> = state.waiting[..newest].to_vec();
            for ticket in older {
                emit(&mut state, AdmissionEvent::Superseded { ticket });
            }
        }
        let ticket = state.waiting[0].clone();
        emit(&mut state, AdmissionEvent::Admitted { ticket });
    }
    Ok(events)
}

fn has_place(state: &Admissions) -> bool {
    state.limit == 0 || state.running.len() < state.limit as usize
}

/// Folds one event into the state.
#[must_use]
pub fn evolve(mut state: Admissions, event: &AdmissionEvent) -> Admissions {
    apply(&mut state, event);
    state
}

fn apply(state: &mut Admissions, event: &AdmissionEvent) {
    let forget = |list: &mut Vec<Ticket>, id: &Ticket| list.retain(|e| e != id);
    match event {
        AdmissionEvent::Admitted { ticket } => {
            forget(&mut state.waiting, ticket);
            state.running.push(ticket.clone());
        }
        AdmissionEvent::Queued { ticket } => state.waiting.push(ticket.clone()),
        AdmissionEvent::Superseded { ticket } | AdmissionEvent::Released { ticket } => {
            forget(&mut state.waiting, ticket);
            forget(&mut state.running, ticket);
            state.gone.push(ticket.clone());
            if state.gone.len() > GONE_MAX {
                state.gone.remove(0);
            }
        }
        AdmissionEvent::Limited {
            limit,
            keep_waiting,
        } => {
            state.limit = *limit;
            state.keep_waiting = *keep_waiting;
        }
    }
}
