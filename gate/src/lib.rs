//! The API gateway: Spinnaker Gate's HTTP contract in front of orca, front50 and clouddriver.
//!
//! - [`config`]: what can be set, and the limits that can be moved.
//! - [`server`]: binding, running, stopping.
//! - `http`: the edge: route table, requests, answers, problems, guards against browsers.
//! - `routes`: one module per part of the contract, each with its slice of the route table.
//! - `domain`: pure views and checks; no IO.
//! - `openapi`: the document and the page that are generated from the route table.
//!
//! Gate holds no state and decides nothing about pipelines: it turns HTTP into typed calls on the
//! bus and answers back into the shapes that `spin`, Deck and scripts read.

pub mod config;
mod domain;
pub mod error;
mod http;
pub mod limit;
mod openapi;
mod routes;
pub mod server;

pub use config::{Config, Identity, Limits};
pub use error::Error;
pub use openapi::document;
pub use server::{Server, bind, run};
