//! The chassis of a service: what each of the six has, written once.

pub mod config;
mod health;
pub mod management;
mod metrics;
mod process;
mod shutdown;
pub mod telemetry;

pub use health::{Health, HealthReport, Look, Part, Seen};
pub use metrics::{Counter, Gauge, Histogram, Metrics};
pub use shutdown::Shutdown;

/// What a service is started with besides its configuration and its ports.
#[derive(Clone, Default)]
pub struct Chassis {
    pub shutdown: Shutdown,
    pub health: Health,
    pub metrics: Metrics,
}
