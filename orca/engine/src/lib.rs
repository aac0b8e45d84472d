//! The orchestration engine: pure, total, and the same on every machine.
//!
//! An execution is a log of [`Event`]s. Three functions make the engine:
//!
//! - [`decide()`]: a command meets a state and becomes events, or a [`Rejection`].
//! - [`evolve()`]: an event changes the state; total, it never fails for a stored event.
//! - [`effects()`]: what an event asks of the outside; [`open_effects`] is the same for a state that
//!   was loaded after a crash.
//!
//! Around them: [`build`] makes an execution out of a pipeline definition, [`stage`] holds one file
//! per stage type, [`expression`] the expression language, [`admission`] the log of one pipeline that
//! decides which of its executions may run. Nothing here reads a clock, a socket or a file.

pub mod admission;
mod artifact;
pub mod build;
pub mod command;
mod context;
pub mod decide;
pub mod effects;
pub mod event;
pub mod evolve;
pub mod expression;
pub mod graph;
pub mod limits;
pub mod stage;
pub mod state;

pub use artifact::{artifacts_before, artifacts_of};
pub use command::{Command, Rejection};
pub use context::{ancestors, scope_root};
pub use decide::decide;
pub use effects::{Effect, effects, open_effects};
pub use event::Event;
pub use evolve::evolve;
pub use state::{OpenOrder, StageMeta, State, TaskMeta};
