//! Inbound events: who may send them, and what they say in one shape. No IO, no clock, no randomness.
//!
//! - [`delivery`]: what came in, and what becomes of it ([`Received`] or [`Refused`]).
//! - [`source`]: the configuration of one source; [`secret`]: what it shares with us.
//! - [`limits`]: how large a delivery may be.
//! - [`receive()`]: limits, then proof, then fields; in that order, for every sender.
//! - [`proof`]: how a sender shows who it is. [`table`]: every sender, its proof and its reader, in one place.
//! - `senders`: one file per sender, from its body to events. [`git`], [`image`], [`build`] are the shapes
//!   that they share.
//! - [`redact`]: what of a delivery is never shown.
//! - [`cdevent()`]: the way back, an event as a `CDEvent`.

pub mod build;
mod cdevent;
mod content;
pub mod delivery;
mod field;
pub mod git;
pub mod image;
pub mod limits;
mod name;
pub mod proof;
mod receive;
pub mod redact;
pub mod secret;
mod senders;
pub mod source;
pub mod table;
mod wordy;

pub use cdevent::cdevent;
pub use delivery::{Delivery, Received, Refused};
pub use proof::Keys;
pub use proof::google::KeySet;
pub use receive::{receive, without_claims};
pub use secret::Secret;
pub use source::{Authentication, Source};
pub use table::Sender;

/// How a Jenkins pipeline tells us that it ended: the message, and a snippet for a `Jenkinsfile`. Markdown.
pub const JENKINSFILE: &str = include_str!("../jenkinsfile.md");
