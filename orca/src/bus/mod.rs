//! orca on the bus: requests, reports of workers, commands to itself, and its own worker.

pub(crate) mod commands;
pub(crate) mod endpoints;
pub(crate) mod reports;
pub(crate) mod worker;
