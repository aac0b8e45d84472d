//! The edges on the bus: orders from orca ([`worker`]) and questions from everybody ([`endpoints`]).

pub(crate) mod endpoints;
pub(crate) mod worker;
