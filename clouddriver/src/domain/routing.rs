//! The table of the proxy, and the fair choice between weights.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

/// All of the traffic: weights go in steps of 0.1 %.
pub const WEIGHT_PERMILLE_MAX: u32 = 1000;

/// Everything the proxy does. Replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Table {
    pub listeners: BTreeMap<String, Listener>,
}

/// One address that clients call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Port 0: the proxy takes a free one, says which, and keeps it.
    pub address: SocketAddr,
    pub pools: Vec<Pool>,
}

/// The ready instances of one server group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    pub server_group: String,
    pub weight_permille: u32,
    pub targets: Vec<Target>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Changes with every start of the instance.
    pub id: String,
    pub address: SocketAddr,
}

impl Table {
    /// The proxy has nothing to do.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }
}

/// Smooth weighted round robin: over any `sum(weights)` choices each gets exactly its weight.
#[derive(Debug, Clone, Default)]
pub struct Fair {
    current: Vec<i64>,
}

impl Fair {
    /// The next of `weights`, of which those with weight 0 are never chosen. `None` when all are 0.
    pub fn next(&mut self, weights: &[u32]) -> Option<usize> {
        self.current.resize(weights.len(), 0);
        let total: i64 = weights.iter().map(|w| i64::from(*w)).sum();
        let mut best: Option<usize> = None;
        for (at, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0) {
            self.current[at] += i64::from(*weight);
            if best.is_none_or(|b| self.current[at] > self.current[b]) {
                best = Some(at);
            }
        }
        self.current[best?] -= total;
        best
    }
}

/// Milliseconds up to which a request counts in each bucket; one more bucket holds the rest.
pub const LATENCY_BUCKETS_MS: [u64; 13] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// What a server group's requests came to since the proxy started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    pub requests: u64,
    /// 1xx, 2xx, 3xx, 4xx, 5xx.
    pub status_classes: [u64; 5],
    /// No answer came.
    pub failed: u64,
    /// Cut because they outlived the drain.
    pub cut: u64,
    pub in_flight: u64,
    /// Requests by [`LATENCY_BUCKETS_MS`], not cumulative.
    pub latency_buckets: Vec<u64>,
    pub latency_ms_sum: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32], choices: usize) -> Vec<usize> {
        let mut fair = Fair::default();
        let mut counts = vec![0; weights.len()];
        for _ in 0..choices {
            counts[fair.next(weights).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn each_gets_its_weight_exactly() {
        assert_eq!(shares(&[900, 100], 10_000), [9000, 1000]);
        assert_eq!(shares(&[999, 1], 10_000), [9990, 10]);
        assert_eq!(shares(&[1000, 1000, 1000], 9), [3, 3, 3]);
    }

    #[test]
    fn weight_zero_gets_nothing_and_only_zeros_give_nobody() {
        assert_eq!(shares(&[0, 1, 0], 50), [0, 50, 0]);
        assert_eq!(Fair::default().next(&[0, 0]), None);
        assert_eq!(Fair::default().next(&[]), None);
    }

    #[test]
    fn a_small_weight_is_spread_and_not_sent_in_a_row() {
        let mut fair = Fair::default();
        let chosen: Vec<_> = (0..20).map(|_| fair.next(&[90, 10]).unwrap()).collect();
        assert!(!chosen.windows(2).any(|pair| pair == [1, 1]), "{chosen:?}");
        assert_eq!(chosen.iter().filter(|c| **c == 1).count(), 2);
    }
}
