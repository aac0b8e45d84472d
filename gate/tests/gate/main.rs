//! The real server on a free port, driven over HTTP, with contract-shaped services behind it.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod bad_input;
mod contract;
mod guards;
mod lists;
mod services;
mod stream;
mod templates;
