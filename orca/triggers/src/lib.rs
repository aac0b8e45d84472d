//! Which triggers an event fires, why the others do not, and when the clock fires one.
//!
//! - [`index`]: the triggers of all pipelines, found by what an event says ([`TriggerIndex`]).
//! - [`fired`]: what a trigger that matched starts, and under which key.
//! - [`explain`]: in words, why a trigger did or did not fire.
//! - [`finished`]: triggers that wait for the end of another pipeline.
//! - [`past`]: what the triggers of a pipeline did.
//! - [`cron`]: schedules, time zones, missed fire times.
//! - [`json_path`]: the part of `JsonPath` that constraints and status fields use.
//!
//! Nothing here does IO, reads a clock or waits.

mod artifact;
mod constraint;
pub mod cron;
pub mod explain;
pub mod finished;
pub mod fired;
mod glob;
pub mod index;
pub mod json_path;
mod member;
mod mismatch;
pub mod past;
mod pattern;
mod range;
mod seen;
mod signature;
mod trigger;

pub use explain::Verdict;
pub use finished::Finished;
pub use fired::Fired;
pub use index::TriggerIndex;
pub use trigger::is_of_builds;
