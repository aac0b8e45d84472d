//! A fuzzer of every parser that reads bytes from outside, on a stable compiler and without unsafe code.
//!
//! - [`target`]: the table of parsers; [`targets`] runs each of them and says what must hold.
//! - [`mutate`]: changes of inputs. [`random`]: chance that can be repeated.
//! - [`outcome`]: the feedback. An input is kept when its answer has a shape that none had before: which error
//!   in which words, which fields are set, how many of what.
//! - [`mod@run`]: one input. [`campaign`]: many. [`shrink`]: a smaller one that does the same.
//! - [`corpus`]: what is kept, in the repository and beside the build.

pub mod campaign;
pub mod corpus;
pub mod input;
pub mod mutate;
pub mod outcome;
pub mod random;
pub mod run;
pub mod shrink;
pub mod target;
pub mod targets;

pub use input::Input;
pub use outcome::{Fault, Outcome, Shape};
pub use run::run;
pub use target::Target;
