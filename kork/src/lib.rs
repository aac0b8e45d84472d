//! The shared library of the suite: everything that touches the outside of a process.
//!
//! - [`ports`]: the traits. Each has one embedded adapter ([`embedded`]) and, in a cluster, one more.
//! - [`contract`]: one suite per port that every adapter must pass.
//! - [`service`]: the chassis: configuration, telemetry, metrics, health, shutdown.
//! - [`problem`]: the catalogue of error codes and their pages.
//! - [`rpc`]: typed calls over the [`ports::Rpc`] port.
//! - [`trace`]: the context of the current work, and spans about it.
//!
//! kork has no business rules. The pure words live in [`model`].

pub use kork_model as model;

/// The allocator of every process of the suite: a state of an execution is a few hundred small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod contract;
pub mod embedded;
mod measured;
pub mod ports;
pub mod problem;
pub mod rpc;
pub mod service;
pub mod trace;
