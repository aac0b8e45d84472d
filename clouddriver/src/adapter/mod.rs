//! The machine: processes and the proxy.

pub mod process;
pub mod proxy;
