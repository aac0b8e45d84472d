//! Registries of images that speak the OCI distribution API (Docker Hub, GHCR, Harbor, ECR, distribution, ...).
//!
//! - [`Registry`], [`DockerRegistry`]: the configuration, in clouddriver's words where it has them.
//! - [`Client`]: lists tags and tells digests of one account.
//! - [`poll_registry`]: one look at one repository.
//!
//! Repositories are configured, not found: the catalogue of a registry is switched off nearly everywhere.

mod address;
mod answer;
mod auth;
mod challenge;
mod client;
mod config;
mod link;
mod plan;
mod poll;

pub use client::{Client, Tags};
pub(crate) use config::POLL_MS_MIN;
pub use config::{DockerRegistry, Registry};
pub use poll::{poll_registry, resolve_digest};
