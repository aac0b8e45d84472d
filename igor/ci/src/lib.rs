//! CI servers: builds are started, followed and stopped.
//!
//! - [`config`]: which servers there are.
//! - [`server`]: what the follower needs of a server, [`BuildServer`]; [`jenkins`], [`gitlab`], [`github`] and
//!   [`generic`] are.
//! - [`follow`]: a stage that starts a build and waits for it, also across restarts of ours.
//! - [`poll`]: looks for builds whose notifications were lost.
//! - [`build`], [`git`], [`properties`], [`path`]: builds and what they leave, in Spinnaker's shapes.

mod archive;
pub mod breaker;
pub mod build;
mod calls;
pub mod config;
mod console;
#[cfg(test)]
mod double;
mod error;
pub mod follow;
pub mod generic;
pub mod git;
pub mod github;
pub mod gitlab;
pub mod jenkins;
pub mod path;
pub mod poll;
pub mod properties;
mod rest;
mod secret;
pub mod server;

pub use build::{Build, BuildArtifact, BuildResult};
pub use config::{CiConfig, Controller};
pub use error::CiError;
pub use follow::{BuildOutcome, Listener};
pub use generic::{Generic, Report};
pub use github::Github;
pub use gitlab::Gitlab;
pub use jenkins::Jenkins;
pub use path::JobPath;
pub use properties::PropertyFileError;
pub use server::{BuildRequest, BuildServer, PropertiesError, connect};
