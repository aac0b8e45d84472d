//! What the tests of the whole suite are made of.
//!
//! - [`cluster`]: the six services as processes of their own.
//! - [`harness`]: the real binary as a process that is started, killed and started again.
//! - [`pipeline`]: the definitions that the tests run.
//! - [`servers`]: real NATS, Redis and S3 servers.
//! - [`workspace`]: the sources of the suite, for the tests of its architecture.

pub mod cluster;
pub mod figures;
pub mod harness;
pub mod pipeline;
pub mod servers;
pub mod simulation;
pub mod workspace;
