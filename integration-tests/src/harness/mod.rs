//! The real `gennaker`, started as a user starts it, and what one needs to look at it.
//!
//! - [`Suite`]: the process with its data directory: start, kill, stop, start again.
//! - [`Gate`]: its HTTP API. [`EventStream`]: its event stream.
//! - [`Load`]: callers of a deployed service that count what fails.
//! - [`Processes`]: what runs on behalf of a data directory.
//! - [`eventually`]: the one way to wait.

mod binary;
mod events;
mod eventually;
mod gate;
mod load;
mod processes;
mod random;
mod suite;

pub(crate) use self::binary::settings;
pub use self::{
    binary::{command, gennaker, profile_dir, workspace_root},
    events::{Event, EventStream},
    eventually::{eventually, within},
    gate::{Answer, Gate, Trouble},
    load::{Counted, Load},
    processes::{Process, Processes, resident_kib},
    random::Random,
    suite::{STOP_MAX, Suite},
};

use std::io::Write;

/// Writes a line past the capture of the test runner: what somebody must see although all passed.
pub fn announce(line: &str) {
    let mut out = std::io::stderr().lock();
    // Whoever closed stderr does not want to know.
    drop(writeln!(out, "{line}"));
}

/// A number from the environment, else this default.
pub fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number"))
    })
}
