//! The chassis of a service: what each of the six has, written once.

mod health;
mod shutdown;

pub use health::{Health, HealthReport, Part};
pub use shutdown::Shutdown;

/// What a service is started with besides its configuration and its ports.
#[derive(Clone, Default)]
pub struct Chassis {
    pub shutdown: Shutdown,
    pub health: Health,
}
