//! The persistence service: applications, permissions, pipelines, strategies, notifications and
//! projects, in the bucket layout of Spinnaker's Front50.
//!
//! - [`domain`]: what documents are and which are acceptable. Pure.
//! - [`app`]: the use cases, with every document in memory.
//! - [`bus`]: requests, changes of other instances, work orders.

pub mod app;
pub mod bus;
pub mod domain;

use std::sync::Arc;

use kork::{
    model::{Timestamp, event::subject},
    ports::{Clock, Ports, RpcError, Start, TopicError, TopicStream},
    service::{Chassis, Part},
};
use serde::{Deserialize, Serialize};

use crate::{app::Front50, domain::Limits};

/// Pause before the bucket is asked again when it did not answer at the start, in milliseconds.
const RELOAD_MS: u64 = 1_000;
/// Broken objects that the health part names; the log names all.
const BROKEN_SHOWN_MAX: usize = 5;

/// Settings of the service. It works without any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Root folder of the bucket layout, as `spinnaker.s3.rootFolder`. Own records (reserved names,
    /// finished work) lie beside it under `<root_folder>-rs`.
    pub root_folder: String,
    /// Milliseconds between two full listings, which repair whatever was missed.
    pub refresh_interval_ms: u64,
    /// Milliseconds between two looks at the markers, which show what foreign writers changed.
    pub marker_interval_ms: u64,
    /// What is too large to be stored.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root_folder: "front50".to_owned(),
            refresh_interval_ms: 60_000,
            marker_interval_ms: 5_000,
            limits: Limits::default(),
        }
    }
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the endpoints of front50 cannot be served")]
    Serve(#[from] RpcError),
    #[error("front50 cannot follow the changes of other instances")]
    Subscribe(#[from] TopicError),
}

/// Loads the bucket, serves, and returns when a stop is requested. The part `front50.store` is
/// ready once everything is loaded.
///
/// # Errors
/// When the bus refuses the subscription or the endpoints. A bucket that does not answer is waited
/// for.
pub async fn run(config: Config, ports: Ports, chassis: Chassis) -> Result<(), Error> {
    let part = chassis.health.part("front50.store");
    let front50 = Front50::new(&config.root_folder, config.limits.clone(), &ports);
    // Subscribed first, loaded then: no change falls between.
    let stream = follow(&ports, &chassis, &part).await?;
    let loaded = tokio::select! {
        () = chassis.shutdown.requested() => false,
        () = load(&front50, &*ports.clock, &part) => true,
    };
    if !loaded {
        return Ok(());
    }
    let registrations = bus::endpoints::all(&*ports.rpc, &front50).await?;
    let shutdown = &chassis.shutdown;
    let following = bus::changes::follow(Arc::clone(&front50), ports.clone(), stream);
    shutdown.spawn_until_requested(following);
    let working = bus::work::work(Arc::clone(&front50), ports.clone(), shutdown.clone());
    shutdown.spawn_until_requested(working);
    let refreshing = refresh(
        config,
        Arc::clone(&front50),
        Arc::clone(&ports.clock),
        part.clone(),
    );
    shutdown.spawn_until_requested(refreshing);
    ready(&front50, &part);
    tracing::info!("front50 serves");
    shutdown.requested().await;
    drop(registrations);
    Ok(())
}

/// Subscribes to the changes of other instances; again when the topic does not answer just now.
async fn follow(
    ports: &Ports,
    chassis: &Chassis,
    part: &Part,
) -> Result<Box<dyn TopicStream>, TopicError> {
    loop {
        match ports.topic.subscribe(subject::FRONT50, Start::Now).await {
            Err(error @ TopicError::Unavailable { .. }) if !chassis.shutdown.is_requested() => {
                tracing::warn!(%error, "changes are followed later");
                part.missing(error.to_string());
                pause(&*ports.clock, RELOAD_MS).await;
            }
            outcome => return outcome,
        }
    }
}

async fn load(front50: &Arc<Front50>, clock: &dyn Clock, part: &Part) {
    while let Err(problem) = front50.load().await {
        part.missing(problem.message());
        tracing::warn!(error = %problem, "the bucket cannot be loaded, trying again");
        pause(clock, RELOAD_MS).await;
    }
}

/// Looks at the markers, and lists everything now and then. Reads go on from memory meanwhile.
async fn refresh(config: Config, front50: Arc<Front50>, clock: Arc<dyn Clock>, part: Part) {
    let mut good: Timestamp = clock.now();
    let mut listed = good;
    loop {
        pause(&*clock, config.marker_interval_ms.max(1)).await;
        let is_due = clock.now().ms_since(listed) >= config.refresh_interval_ms;
        let result = if is_due {
            front50.repair().await
        } else {
            front50.check_markers().await
        };
        match result {
            Ok(()) => {
                good = clock.now();
                if is_due {
                    listed = good;
                }
                ready(&front50, &part);
            }
            Err(problem) => {
                let age_s = clock.now().ms_since(good) / 1_000;
                let note = format!(
                    "reads come from memory of {age_s} s ago: {}",
                    problem.message()
                );
                tracing::warn!(error = %problem, age_s, "the bucket was not read");
                part.ready_with(note);
            }
        }
    }
}

fn ready(front50: &Front50, part: &Part) {
    let broken = front50.broken();
    if broken.is_empty() {
        part.ready();
        return;
    }
    let keys: Vec<&str> = broken
        .iter()
        .take(BROKEN_SHOWN_MAX)
        .map(|(key, _)| key.as_str())
        .collect();
    part.ready_with(format!(
        "{} unreadable objects: {}",
        broken.len(),
        keys.join(", ")
    ));
}

/// Waits some milliseconds by the service's clock.
async fn pause(clock: &dyn Clock, ms: u64) {
    clock.sleep_until(clock.now().plus_ms(ms)).await;
}
