//! The suite on the servers of a cluster.
//!
//! - [`contracts`]: the adapters of the ports, on real NATS, Redis and S3.
//! - [`permissions`]: who may do what on NATS and Redis. [`raw`]: a connection that hears refusals.
//! - [`worker`]: a stage of one's own.
//! - [`doctor`]: it names what is missing. [`figures`]: what is served is what is documented.
//! - [`traces`]: one delivery is one trace.
//! - [`instances`]: what users notice when one of two instances stands still, dies, or is upgraded.
//! - [`nats`], [`others`]: the adapters while connections break and servers fill up, change or go.
//! - [`fire`]: two of each service deliver while what can go wrong does: [`fault`] says what, [`watch`]
//!   what users see meanwhile.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod contracts;
mod doctor;
mod fault;
mod figures;
mod fire;
mod instances;
mod nats;
mod others;
mod outside;
mod permissions;
mod raw;
mod traces;
mod watch;
mod worker;
