//! The edges on the bus: requests, changes of other instances, work.

pub(crate) mod changes;
pub(crate) mod endpoints;
pub mod templates;
pub(crate) mod work;
