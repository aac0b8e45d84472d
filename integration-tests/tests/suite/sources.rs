//! What every file must keep to, and what must not be in the repository.

use std::collections::BTreeSet;

use integration_tests::workspace::{Source, sources};
use regex::Regex;

/// Lines of a file above its tests.
const LINES_MAX: usize = 600;
/// Lines of a file that is only tests.
const TEST_LINES_MAX: usize = 1_000;
/// Where every package comes from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn no_file_is_too_long() {
    let sources = sources();
    let rust = sources.iter().filter(|s| s.is_rust());
    let long: Vec<String> = rust
        .filter_map(|s| {
            let (lines, max) = if s.is_test() {
                (s.text.lines().count(), TEST_LINES_MAX)
            } else {
                (s.above_tests().lines().count(), LINES_MAX)
            };
            (lines > max).then(|| format!("{}: {lines} lines, at most {max}", s.path))
        })
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    let sources = sources();
    let rust = sources
        .iter()
        .filter(|s| s.is_rust() && !s.path.ends_with("tests.rs"));
    let silent: Vec<_> = rust
        .filter(|s| !s.text.starts_with("//!"))
        .map(|s| &s.path)
        .collect();
    assert!(
        silent.is_empty(),
        "no purpose in the first line: {silent:#?}"
    );
}

#[test]
fn every_error_code_has_its_page() {
    let code = Regex::new(r#""([A-Z][A-Z0-9]*-\d{4})\b"#).unwrap();
    let services: BTreeSet<&str> = kork::problem::all()
        .iter()
        .filter_map(|c| c.code.split_once('-'))
        .map(|(service, _)| service)
        .collect();
    assert!(
        services.contains("ORCA") && services.contains("GATE"),
        "{services:?}"
    );
    let (mut found, mut missing) = (BTreeSet::new(), Vec::new());
    for source in sources().iter().filter(|s| s.is_rust() && !s.is_test()) {
        if source.path == "kork/src/problem/table.rs" {
            continue;
        }
        for capture in code.captures_iter(&source.code()) {
            let used = &capture[1];
            let is_code = used
                .split_once('-')
                .is_some_and(|(s, _)| services.contains(s));
            if is_code && kork::problem::lookup(used).is_none() {
                missing.push(format!("{used} in {}", source.path));
            }
            found.insert(used.to_owned());
        }
    }
    assert!(missing.is_empty(), "no page: {missing:#?}");
    assert!(found.len() > 50, "only {} codes were found", found.len());
    let unused = kork::problem::all()
        .iter()
        .filter(|c| !found.contains(c.code));
    let unused: Vec<_> = unused.map(|c| c.code).collect();
    assert!(unused.is_empty(), "nobody answers with these: {unused:?}");
}

/// Each file in which a pattern is found, with the line.
fn lines(sources: &[Source], pattern: &Regex) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (n, line) in source.text.lines().enumerate() {
            if pattern.is_match(line) {
                found.push(format!("{}:{}: {}", source.path, n + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn nothing_is_left_to_be_done() {
    // In parts, so that this file does not hold what it looks for.
    let words = [
        r"\bTO",
        r"DO\b|\bFIX",
        r"ME\b|\bto",
        r"do!|\bunimple",
        r"mented!|#\[igno",
        "re",
    ];
    let found = lines(&sources(), &Regex::new(&words.concat()).unwrap());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_machine_and_no_mirror_is_named() {
    let directories = [r"(^|[^A-Za-z0-9_.-])/(wo", r"rk|ro", r"ot)/[a-z]"];
    let found = lines(&sources(), &Regex::new(&directories.concat()).unwrap());
    assert!(found.is_empty(), "paths of one machine: {found:#?}");

    let all = sources();
    let lock = all.iter().find(|s| s.path == "Cargo.lock").unwrap();
    let origins = lock
        .text
        .lines()
        .filter_map(|l| l.strip_prefix("source = "));
    let others: Vec<_> = origins
        .filter(|o| o.trim_matches('"') != REGISTRY)
        .collect();
    assert!(others.is_empty(), "packages from elsewhere: {others:#?}");
    let hosts = [
        r"(index|static)\.crates\.",
        r"io|registry\.",
        r"npmjs|py",
        r"pi\.org|\bgh",
        r"cr\.io",
    ];
    let found = lines(&all, &Regex::new(&hosts.concat()).unwrap());
    assert!(found.is_empty(), "hosts of registries: {found:#?}");
    let settings = all.iter().filter(|s| s.path.starts_with(".cargo"));
    assert_eq!(
        settings.count(),
        0,
        "settings of cargo belong to the machine"
    );
}
