//! The only sources of time and of randomness.

use async_trait::async_trait;

use crate::model::Timestamp;

/// The time. Manual in tests.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    /// Returns at or shortly after `moment`, never before; at once when it has passed.
    async fn sleep_until(&self, moment: Timestamp);
}

/// New identifiers and random numbers. Seeded in tests.
pub trait Ids: Send + Sync {
    /// A ULID, 26 characters; later ones of one source sort behind earlier ones.
    fn ulid(&self) -> String;
    /// A random UUID in its usual text form.
    fn uuid(&self) -> String;
    /// A random number, for jitter.
    fn random(&self) -> u64;
}
