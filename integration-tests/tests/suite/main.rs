//! The suite as its users meet it, with faults; and the rules of its sources.
//!
//! - [`blackbox`], [`bad_input`]: one real process and its API.
//! - [`restart`], [`chaos`], [`events`]: the process is stopped and killed while it works.
//! - [`limits`]: what must be exact however many ask at once.
//! - [`messages`]: what processes say to each other while a cluster is upgraded.
//! - [`corpus`]: behaviour beside recordings of the original.
//! - [`architecture`], [`sources`]: who may know whom; what must not be in the repository.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
#![expect(
    clippy::print_stdout,
    reason = "seeds and tables are for whoever reads a failed run"
)]

mod architecture;
mod bad_input;
mod blackbox;
mod chaos;
mod corpus;
mod dashboards;
mod events;
mod limits;
mod messages;
mod restart;
mod sources;
