//! The edges on the bus: orders from orca ([`worker`]) and questions from everybody ([`endpoints`]).

pub mod endpoints;
pub mod worker;
