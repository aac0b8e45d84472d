//! Chance that can be repeated: the same seed gives the same inputs, on every machine and in every version.

use kork_model::trace::mixed;

/// A stream of numbers that follows from a seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        // SplitMix64: a counter with an odd step, mixed.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `end`; 0 when `end` is.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 {
            return 0;
        }
        (self.number() % end as u64) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// A small number, the smaller the likelier: 1, with one half 2, with one quarter 3, ... up to `max`.
    pub fn few(&mut self, max: usize) -> usize {
        let halves = self.number().trailing_ones() as usize;
        (1 + halves).min(max)
    }

    /// One of these; none of nothing.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// A range within `0..=len`, its ends in order.
    pub fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let (one, other) = (self.below(len + 1), self.below(len + 1));
        one.min(other)..one.max(other)
    }
}
