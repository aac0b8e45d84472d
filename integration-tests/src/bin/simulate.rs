//! Runs the simulation: `--seeds N` the first N seeds, `--seed S` one of them, twice.

use std::process::ExitCode;

use integration_tests::simulation::simulate;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (first, last) = match (number("--seed"), number("--seeds")) {
        (Some(seed), _) => (seed, seed),
        (None, Some(count)) => (1, count),
        (None, None) => {
            eprintln!("usage: simulate --seeds N | --seed S");
            return ExitCode::from(2);
        }
    };
    let mut kills = 0;
    for seed in first..=last {
        match simulate(seed) {
            Ok(report) => {
                kills += report.kills;
                if first == last {
                    println!("seed {seed}: {report:?}");
                    let again = simulate(seed);
                    println!("again the same: {}", again == Ok(report));
                }
            }
            Err(error) => {
                eprintln!("seed {seed} fails: {error}");
                eprintln!(
                    "replay it: cargo run -p integration-tests --bin simulate -- --seed {seed}"
                );
                return ExitCode::FAILURE;
            }
        }
        if seed % 100 == 0 {
            println!("{seed} seeds, {kills} kills");
        }
    }
    println!("{} seeds hold", last - first + 1);
    ExitCode::SUCCESS
}
