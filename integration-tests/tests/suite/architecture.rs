//! Who may know whom: between packages, and between the layers of a service.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use integration_tests::{harness::workspace_root, workspace::sources};
use regex::Regex;
use serde_json::Value;

/// Packages that run as a part of the suite.
const SERVICES: [&str; 6] = ["gate", "orca", "front50", "clouddriver", "igor", "deck-api"];
/// Clients of a cluster's servers, for which a newcomer does not wait.
const HEAVY: [&str; 4] = ["kork-cluster", "async-nats", "aws-sdk-s3", "redis"];
/// Packages that may link several services.
const LINKERS: [&str; 2] = ["gennaker", "integration-tests"];
/// Packages in which nothing can reach the outside.
const PURE: [&str; 2] = ["kork-model", "orca-engine"];
/// Packages that reach the outside; a star stands for the rest of a name.
const OUTSIDE: [&str; 12] = [
    "tokio*",
    "actix*",
    "async-nats",
    "redis",
    "reqwest",
    "redb",
    "hyper*",
    "mio",
    "socket2",
    "rustix",
    "kork",
    "async-std",
];
/// What a layer of a service must not use, because it lies further out. The inside of orca is a package
/// of its own, `orca-engine`.
const OUTER: [(&str, &str, &[&str]); 6] = [
    ("gate", "domain", &["http", "openapi", "routes", "server"]),
    ("front50", "domain", &["app", "bus"]),
    ("front50", "app", &["bus"]),
    (
        "clouddriver",
        "domain",
        &["app", "artifact", "adapter", "bus", "proxy"],
    ),
    ("clouddriver", "app", &["adapter", "bus", "proxy"]),
    ("orca", "webhook", &["app", "bus"]),
];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    let output = command
        .args(arguments)
        .current_dir(workspace_root())
        .output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The packages of the workspace with the names of what they depend on, tests not counted.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = cargo(&[
        "metadata",
        "--no-deps",
        "--locked",
        "--offline",
        "--format-version=1",
    ]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies.filter(|d| d["kind"].is_null());
            let names = normal.map(|d| d["name"].as_str().unwrap().to_owned());
            let name = package["name"].as_str().unwrap().to_owned();
            (name, names.collect())
        })
        .collect()
}

#[test]
fn services_know_nothing_of_each_other() {
    let packages = packages();
    for service in SERVICES {
        assert!(packages.contains_key(service), "{service} is not a package");
    }
    for (package, dependencies) in &packages {
        if LINKERS.contains(&package.as_str()) {
            continue;
        }
        let services: Vec<_> = SERVICES
            .iter()
            .filter(|s| dependencies.contains(**s))
            .collect();
        assert!(services.is_empty(), "{package} depends on {services:?}");
    }
}

#[test]
fn a_service_has_only_the_shared_library_and_parts_of_its_own() {
    let packages = packages();
    for service in SERVICES {
        let own = packages[service]
            .iter()
            .filter(|d| packages.contains_key(*d));
        let own: Vec<_> = own
            .filter(|d| !d.starts_with("kork") && !d.starts_with(&format!("{service}-")))
            .collect();
        assert!(own.is_empty(), "{service} depends on {own:?}");
    }
    let kork = packages["kork"]
        .iter()
        .filter(|d| packages.contains_key(*d));
    assert_eq!(kork.collect::<Vec<_>>(), ["kork-model"]);
}

#[test]
fn the_suite_in_one_process_is_built_without_the_clients_of_a_cluster() {
    let tree = ["tree", "-p", "gennaker", "-e", "normal", "--prefix", "none"];
    let tree = cargo(&[&tree[..], &["--locked", "--offline"]].concat());
    let names: BTreeSet<&str> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
    assert!(names.contains("kork"), "{tree}");
    let heavy: Vec<_> = HEAVY.iter().filter(|name| names.contains(*name)).collect();
    assert!(heavy.is_empty(), "gennaker needs {heavy:?}");
}

#[test]
fn nothing_in_the_pure_packages_reaches_the_outside() {
    let is_outside = |name: &str| {
        OUTSIDE.iter().any(|o| match o.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *o,
        })
    };
    for package in PURE {
        let tree = ["tree", "-p", package, "-e", "normal", "--prefix", "none"];
        let tree = cargo(&[&tree[..], &["--locked", "--offline"]].concat());
        let names: BTreeSet<&str> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
        assert!(names.contains(package), "{package}: {tree}");
        let reached: Vec<_> = names.into_iter().filter(|n| is_outside(n)).collect();
        assert!(reached.is_empty(), "{package} reaches {reached:?}");
    }
}

/// First words of the paths behind `crate::`, also those in braces.
fn used(code: &str) -> BTreeSet<String> {
    let single = Regex::new(r"\bcrate::([a-z_0-9]+)").unwrap();
    let group = Regex::new(r"\bcrate::\{").unwrap();
    let mut found: BTreeSet<String> = single
        .captures_iter(code)
        .map(|c| c[1].to_owned())
        .collect();
    for start in group.find_iter(code) {
        let (mut depth, mut word) = (0, String::new());
        let mut words = Vec::new();
        for character in code[start.end()..].chars() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => words.push(std::mem::take(&mut word)),
                other if depth == 0 => word.push(other),
                _ => {}
            }
        }
        words.push(word);
        let first = |w: &String| w.trim().split("::").next().unwrap_or_default().to_owned();
        found.extend(words.iter().map(first).filter(|w| !w.is_empty()));
    }
    found
}

#[test]
fn uses_are_found() {
    let code = "use crate::{\n    app::{Shell, ports::X},\n    config::Config,\n};\nlet x = crate::bus::y();";
    let found = used(code);
    assert_eq!(found.iter().collect::<Vec<_>>(), ["app", "bus", "config"]);
}

#[test]
fn inside_a_service_arrows_point_inwards() {
    let sources = sources();
    let (mut looked, mut wrong) = (0, Vec::new());
    for (service, layer, outer) in OUTER {
        let before = looked;
        let dir = format!("{service}/src/{layer}/");
        let file = format!("{service}/src/{layer}.rs");
        let own = |path: &str| path.starts_with(&dir) || path == file;
        let own = sources
            .iter()
            .filter(|s| s.is_rust() && own(s.path.as_str()));
        for source in own.filter(|s| !s.is_test()) {
            looked += 1;
            let used = used(&source.code());
            let wrongly: Vec<_> = outer.iter().filter(|l| used.contains(**l)).collect();
            if !wrongly.is_empty() {
                wrong.push(format!("{}: {wrongly:?}", source.path));
            }
        }
        assert!(looked > before, "{service} has no layer {layer}");
    }
    assert!(
        wrong.is_empty(),
        "layers use what lies further out: {wrong:#?}"
    );
}

#[test]
fn what_decides_is_not_async() {
    let mut looked = 0;
    for source in sources() {
        let path = source.path.as_str();
        let pure = path.starts_with("orca/engine/src/") || path.starts_with("kork/model/src/");
        if !source.is_rust() || !(pure || path.contains("/src/domain/")) {
            continue;
        }
        looked += 1;
        let code = source.code();
        for word in [
            "async fn",
            ".await",
            "std::fs::",
            "std::net::",
            "std::process::Command",
        ] {
            assert!(!code.contains(word), "{path} has {word:?}");
        }
    }
    assert!(looked > 80, "only {looked} files were looked at");
}
