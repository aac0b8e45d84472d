//! Git repositories over the smart HTTP protocol: new commits of branches, new tags.
//!
//! - [`GitRepository`]: the configuration.
//! - [`Client`]: lists branches and tags of one repository, without a clone.
//! - [`poll_git`]: one look at it.

mod client;
mod config;
mod pkt;
mod poll;
mod refs;
mod watch;

pub use client::{Client, Listed};
pub use config::{GitRepository, SourceType};
pub use poll::poll_git;
