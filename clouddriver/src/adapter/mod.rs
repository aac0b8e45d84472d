//! The machine: processes and the proxy.

pub(crate) mod process;
pub(crate) mod proxy;
