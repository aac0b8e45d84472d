//! Deliveries of every sender, right and wrong.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod cdevent;
mod fuzz;
mod google;
mod harness;
mod limits;
mod proof;
mod shapes;
