//! The local provider with real processes, a real proxy and real requests.
//!
//! This program is also the sample server, the proxy and a suite that can be killed: the test
//! `role_process` plays the role that the environment names.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::exit,
    reason = "a test, a sample server and a program that fails"
)]

#[path = "local/faults.rs"]
mod faults;
#[path = "local/harness.rs"]
mod harness;
#[path = "local/roles.rs"]
mod roles;
#[path = "local/scenarios.rs"]
mod scenarios;
#[path = "local/traffic.rs"]
mod traffic;
