//! A thousand seeds of the simulation; each failure names the seed that replays it.

use integration_tests::simulation::simulate;

const SEEDS: u64 = 1_000;
const THREADS: u64 = 2;

#[test]
fn a_thousand_seeds_hold() {
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            std::thread::spawn(move || {
                let mut kills = 0;
                for seed in (1..=SEEDS).filter(|seed| seed % THREADS == n) {
                    match simulate(seed) {
                        Ok(report) => kills += report.kills,
                        Err(error) => panic!("seed {seed} fails: {error}"),
                    }
                }
                kills
            })
        })
        .collect();
    let kills: usize = threads
        .into_iter()
        .map(|t| t.join().expect("no seed fails"))
        .sum();
    assert!(
        kills > 100,
        "only {kills} kills: the simulation does not disturb"
    );
}

#[test]
fn a_seed_replays_exactly() {
    for seed in (1..=8).chain([14, 42, 4_711]) {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}
