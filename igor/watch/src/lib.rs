//! Registries and git repositories that are asked for what is new: tags, digests, branches, commits.
//!
//! - [`registry`]: a client of the OCI distribution API, and one poll of one repository of images.
//! - [`git`]: a client of git's smart HTTP protocol, and one poll of one git repository.
//! - [`diff`]: what is new between two looks, as events; the one place where that is decided. Pure.
//! - [`Schedule`]: when the next poll is due, and how the last one went. Pure.
//!
//! Nothing here keeps time or state: who calls owns the schedule, and the [`Cursor`] of each watched repository.
//! It is stored after the events of its poll are out: when that fails, they are told again with the same ids.

mod credentials;
mod cursor;
mod diff;
mod error;
mod event;
pub mod git;
mod http;
mod order;
mod pattern;
pub mod registry;
mod schedule;

pub use cursor::{Cursor, Images, Refs, Seen, Warning, Watched};
pub use diff::{Diff, Limits, diff};
pub use error::Error;
pub use git::poll_git;
pub use http::client;
pub use registry::{poll_registry, resolve_digest};
pub use schedule::{Schedule, ScheduleError};

use kork_model::Timestamp;
use kork_model::inbound::InboundEvent;

/// What one poll brought.
#[derive(Debug)]
pub struct Polled {
    /// What is new, the oldest first.
    pub events: Vec<InboundEvent>,
    /// To be given to the next poll.
    pub cursor: Cursor,
    /// What a person should know about, though the poll went on.
    pub warnings: Vec<Warning>,
    /// The server asked not to be asked before that.
    pub not_before: Option<Timestamp>,
}
