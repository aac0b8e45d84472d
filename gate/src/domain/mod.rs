//! Pure views and checks: what becomes of the answers of other services. No IO.

pub(crate) mod application;
pub(crate) mod task;
pub(crate) mod template;
pub(crate) mod trigger;
