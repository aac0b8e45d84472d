//! How long to pause between two looks.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// Age of a build, in milliseconds, and the pause between looks while it is younger.
const BY_AGE: [(u64, u64); 3] = [(60_000, 2_000), (600_000, 10_000), (u64::MAX, 30_000)];
/// The first pause after a failed call; each further one is twice as long.
const RETRY_MS: u64 = 2_000;
/// The longest pause after a failed call.
const RETRY_MS_MAX: u64 = 30_000;
/// The share of a pause that differs between builds, so that they are not looked at all at once.
const JITTER_PERCENT: u64 = 20;

/// Pauses of one build: the same ones for the same seed.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    seed: u64,
    count: u64,
}

impl Pace {
    pub(super) fn new(seed: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        Self {
            seed: hasher.finish(),
            count: 0,
        }
    }

    /// Between two looks at something of this age.
    pub(super) fn look(&mut self, age_ms: u64) -> Duration {
        let step = BY_AGE.iter().find(|(below, _)| age_ms < *below);
        self.jittered(step.map_or(RETRY_MS_MAX, |(_, pause)| *pause))
    }

    /// After so many failed calls in a row, from 1.
    pub(super) fn retry(&mut self, failures: u32) -> Duration {
        let doubled = RETRY_MS.saturating_mul(1 << failures.saturating_sub(1).min(16));
        self.jittered(doubled.min(RETRY_MS_MAX))
    }

    /// From 80 % to 100 % of a pause.
    fn jittered(&mut self, ms: u64) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.seed, self.count).hash(&mut hasher);
        self.count += 1;
        let off = ms * JITTER_PERCENT / 100 * (hasher.finish() % 1_000) / 1_000;
        Duration::from_millis(ms - off)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_stay_in_their_bounds(seed in ".{0,8}", age in any::<u64>(), failures in any::<u32>()) {
            let mut pace = Pace::new(&seed);
            for _ in 0..10 {
                let look = pace.look(age).as_millis() as u64;
                let wanted = if age < 60_000 { 2_000 } else if age < 600_000 { 10_000 } else { 30_000 };
                prop_assert!((wanted * 8 / 10..=wanted).contains(&look));
                prop_assert!((1_600..=30_000).contains(&(pace.retry(failures).as_millis() as u64)));
            }
        }
    }

    #[test]
    fn two_builds_do_not_keep_step() {
        let pauses = |seed: &str| {
            let mut pace = Pace::new(seed);
            (0..5).map(|_| pace.look(0)).collect::<Vec<_>>()
        };
        assert_ne!(pauses("a"), pauses("b"));
        assert_eq!(pauses("a"), pauses("a"));
    }
}
