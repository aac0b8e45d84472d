//! What others ask of igor: requests, and orders for builds.

pub(crate) mod endpoints;
pub(crate) mod work;
