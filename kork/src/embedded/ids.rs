//! Identifiers: from the machine's random numbers, or the same ones for the same seed.

use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, SeedableRng, rngs::StdRng};
use ulid::Ulid;

use crate::ports::{Clock, Ids};

/// Identifiers from one random generator and one clock; ULIDs of one source never go backwards, also
/// when the clock does.
pub struct SeededIds {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    random: StdRng,
    last: Ulid,
}

impl SeededIds {
    /// The same identifiers for the same seed and the same times.
    pub fn new(seed: u64, clock: Arc<dyn Clock>) -> Self {
        Self::with(StdRng::seed_from_u64(seed), clock)
    }

    /// Identifiers that nobody can guess.
    pub fn system(clock: Arc<dyn Clock>) -> Self {
        Self::with(rand::make_rng(), clock)
    }

    fn with(random: StdRng, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::new(State {
                random,
                last: Ulid::nil(),
            }),
        }
    }
}

impl Ids for SeededIds {
    fn ulid(&self) -> String {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let entropy =
            (u128::from(state.random.next_u64()) << 64) | u128::from(state.random.next_u64());
        let fresh = Ulid::from_parts(now.millis(), entropy);
        state.last = if fresh.timestamp_ms() > state.last.timestamp_ms() {
            fresh
        } else {
            // Within one millisecond the last one is counted up; at its end the time moves on.
            state
                .last
                .increment()
                .unwrap_or_else(|_| Ulid::from_parts(state.last.timestamp_ms() + 1, entropy))
        };
        state.last.to_string()
    }

    fn uuid(&self) -> String {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (high, low) = (state.random.next_u64(), state.random.next_u64());
        let version = (high & !0xf000) | 0x4000;
        let variant = (low & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            version >> 32,
            (version >> 16) & 0xffff,
            version & 0xffff,
            variant >> 48,
            variant & 0xffff_ffff_ffff
        )
    }

    fn random(&self) -> u64 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random
            .next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{embedded::TokioClock, model::Timestamp};

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_ids_and_ulids_grow() {
        let clock = TokioClock::shared(Timestamp(1_700_000_000_000));
        let one = SeededIds::new(7, Arc::clone(&clock));
        let two = SeededIds::new(7, clock);
        let first: Vec<_> = (0..100).map(|_| one.ulid()).collect();
        let second: Vec<_> = (0..100).map(|_| two.ulid()).collect();
        assert_eq!(first, second);
        assert!(
            first
                .windows(2)
                .all(|pair| pair[0] < pair[1] && pair[0].len() == 26)
        );
        let uuid = one.uuid();
        assert_eq!(uuid, two.uuid());
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!("89ab".contains(&uuid[19..20]));
    }
}
