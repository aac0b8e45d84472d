//! The contract of [`Clock`](crate::ports::Clock) and [`Ids`](crate::ports::Ids).

use std::{collections::BTreeSet, future::Future};

use super::checks;
use crate::ports::Ports;

/// Everything a clock and a source of ids guarantee.
pub async fn clock<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Ports>,
{
    checks!(make: a_sleep_never_ends_early, ids_are_new_and_ulids_sort_by_time);
}

/// The moment has come when the sleep ends.
async fn a_sleep_never_ends_early(ports: Ports) {
    let clock = &*ports.clock;
    for wait_ms in [0, 1, 2, 25] {
        let moment = clock.now().plus_ms(wait_ms);
        clock.sleep_until(moment).await;
        assert!(clock.now() >= moment, "a sleep of {wait_ms} ms ended early");
    }
}

/// Nothing is given out twice.
async fn ids_are_new_and_ulids_sort_by_time(ports: Ports) {
    let start = ports.clock.now();
    let ulids: Vec<String> = (0..1_000).map(|_| ports.ids.ulid()).collect();
    assert!(ulids.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(ulids.iter().all(|ulid| ulid.len() == 26));
    ports.clock.sleep_until(start.plus_ms(10)).await;
    assert!(ports.ids.ulid() > ulids[999]);
    let uuids: BTreeSet<String> = (0..1_000).map(|_| ports.ids.uuid()).collect();
    assert_eq!(uuids.len(), 1_000);
    let numbers: BTreeSet<u64> = (0..1_000).map(|_| ports.ids.random()).collect();
    assert!(numbers.len() > 990);
}
