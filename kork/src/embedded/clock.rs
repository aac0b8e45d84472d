//! The two clocks: the machine's own, and one that follows tokio's time so that tests can pause it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{model::Timestamp, ports::Clock};

/// Longest sleep before the wall clock is read again. A timer that was set before the machine slept,
/// or before its clock was set forward, is at most this late.
pub const WALL_CLOCK_RECHECK_MAX: Duration = Duration::from_secs(15);

/// Longest sleep that is asked of tokio at once; its instants do not reach to the end of time.
const FAR: Duration = Duration::from_hours(24 * 365);

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock port")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp(since_epoch.as_millis() as u64)
    }

    async fn sleep_until(&self, moment: Timestamp) {
        loop {
            let left = self.now().until(moment);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(WALL_CLOCK_RECHECK_MAX)).await;
        }
    }
}

/// A clock that starts at a chosen moment and moves with tokio's time: with a paused runtime it jumps
/// from timer to timer. Clones show the same time.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    base: Timestamp,
    start: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that shows `base` now. Make it inside the runtime whose time it follows.
    pub fn new(base: Timestamp) -> Self {
        Self {
            base,
            start: tokio::time::Instant::now(),
        }
    }

    /// The same, ready for a port.
    pub fn shared(base: Timestamp) -> Arc<dyn Clock> {
        Arc::new(Self::new(base))
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.base.plus_ms(self.start.elapsed().as_millis() as u64)
    }

    async fn sleep_until(&self, moment: Timestamp) {
        loop {
            let left = self.now().until(moment);
            if left.is_zero() {
                return;
            }
            // A moment too far for tokio's instants is waited for in pieces.
            tokio::time::sleep(left.min(FAR)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_jumps_to_the_moment_and_never_before() {
        let clock = TokioClock::new(Timestamp(1_000));
        clock.sleep_until(Timestamp(61_000)).await;
        assert_eq!(clock.now(), Timestamp(61_000));
        clock.sleep_until(Timestamp(5)).await;
        assert_eq!(clock.now(), Timestamp(61_000));
    }

    #[tokio::test]
    async fn the_wall_clock_has_reached_the_moment_when_the_sleep_ends() {
        let moment = SystemClock.now().plus_ms(15);
        SystemClock.sleep_until(moment).await;
        assert!(SystemClock.now() >= moment);
    }
}
