//! The service on embedded ports in memory, with an orca that only takes events, and a Jenkins double.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod builds;
mod deliveries;
mod faulty;
mod http;
mod projects;
mod reports;
mod withdrawals;
mod world;
