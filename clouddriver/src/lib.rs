//! x
mod adapter;
pub mod app;
mod artifact;
pub mod config;
pub mod domain;
pub mod proxy;
