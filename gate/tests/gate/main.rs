//! The real server on a free port, driven over HTTP, with contract-shaped services behind it.

mod bad_input;
mod contract;
mod guards;
mod services;
mod stream;
