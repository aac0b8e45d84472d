//! The suite on the servers of a cluster.
//!
//! - [`contracts`]: the adapters of the ports, on real NATS, Redis and S3.
//! - [`permissions`]: who may do what on NATS and Redis. [`raw`]: a connection that hears refusals.
//! - [`worker`]: a stage of one's own.
//! - [`fire`]: two of each service deliver while services and servers are killed and stopped.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod contracts;
mod fire;
mod permissions;
mod raw;
mod worker;
