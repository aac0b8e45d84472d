//! The words and the rules of the local provider; nothing here can do IO.
//!
//! - [`names`]: `app-stack-detail-v003` and what follows it.
//! - [`group`]: what a server group should be. [`request`]: what an order asks for.
//! - [`health`], [`restart`]: state machines of one instance.
//! - [`plan`]: from desired and observed to the steps between them.
//! - [`routing`]: the table of the proxy, and the fair choice between weights.
//! - [`target`]: which server groups of a cluster an operation means.

pub mod group;
pub mod health;
pub mod names;
pub mod plan;
pub mod request;
pub mod restart;
pub mod routing;
pub mod target;
