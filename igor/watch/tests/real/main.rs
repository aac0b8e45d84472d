//! Real git servers and real registries are asked, and servers that misbehave as real ones do.
//!
//! `integration-tests/parts-registry.sh` obtains the programs; a test without its program says so.

mod git;
mod git_server;
mod registry;
mod registry_misbehaves;
mod registry_names;
mod registry_server;
mod registry_tokens;

mod server;
mod token_server;

use std::{io::Write as _, path::PathBuf, process::Command};

use igor_watch::Polled;

/// A program, or `None` after saying that a test is skipped.
fn program(name: &str) -> Option<PathBuf> {
    let own = std::env::var_os("GENNAKER_PARTS").map(PathBuf::from);
    let made = std::env::current_exe().ok().and_then(|test| {
        // target/debug/deps/<test>
        Some(test.ancestors().nth(3)?.join("parts/bin"))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = own
        .into_iter()
        .chain(made)
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        skipped(&format!("there is no {name}"));
    }
    found
}

/// Says so past the harness, which swallows what passing tests print.
fn skipped(reason: &str) {
    let text = format!("SKIPPED: {reason}; integration-tests/parts-registry.sh obtains it");
    writeln!(std::io::stderr(), "{text}").expect("it is written");
}

/// Runs a program to its end and gives what it printed.
#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("it can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output.stdout
}

/// The events of a poll as `name@identity`, and nothing that was warned about.
#[track_caller]
fn told(polled: &Polled) -> Vec<String> {
    assert_eq!(polled.warnings, [], "nothing is to be warned about");
    polled
        .events
        .iter()
        .map(|event| {
            let name = event.branch.as_ref().or(event.tag.as_ref());
            let identity = event.commit.as_ref().or(event.digest.as_ref());
            format!(
                "{}@{}",
                name.expect("a name"),
                identity.expect("an identity")
            )
        })
        .collect()
}
