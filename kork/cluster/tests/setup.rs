//! The command `gennaker-setup`: what it writes, what it keeps, what it says.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

fn setup(dir: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gennaker-setup"));
    command.arg("--dir").arg(dir).args(more);
    command.output().unwrap()
}

/// Runs it; the files that it says it wrote, from the directory on.
fn written(dir: &Path, more: &[&str]) -> Vec<String> {
    let output = setup(dir, more);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let prefix = format!("{}/", dir.display());
    let lines = text(&output.stdout);
    lines
        .lines()
        .map(|line| line.strip_prefix(&prefix).unwrap().to_owned())
        .collect()
}

/// Every file with what is in it; nothing may be open to others.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in fs::read_dir(dir).unwrap().flatten() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path()), 0o700, "{}", folder.path().display());
        for file in fs::read_dir(folder.path()).unwrap().flatten() {
            assert_eq!(mode(&file.path()), 0o600, "{}", file.path().display());
            let name = file.path().strip_prefix(dir).unwrap().to_owned();
            let text = fs::read_to_string(file.path()).unwrap();
            found.insert(name.to_str().unwrap().to_owned(), text);
        }
    }
    found
}

#[test]
fn everything_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut said = written(dir.path(), &[]);
    said.sort_unstable();
    let made = files(dir.path());
    assert_eq!(said, made.keys().cloned().collect::<Vec<_>>());
    let services = ["clouddriver", "deck-api", "front50", "gate", "igor", "orca"];
    let each = ["nats.nkey", "redis.password", "s3.credentials"];
    let mut expected: Vec<String> = services
        .iter()
        .flat_map(|service| each.map(|file| format!("{service}/{file}")))
        .chain(
            [
                "nats/nats.conf",
                "redis/redis.conf",
                "redis/users.acl",
                "s3/root-password",
                "s3/root-user",
                "worker/nats.nkey",
            ]
            .map(str::to_owned),
        )
        .collect();
    expected.sort_unstable();
    assert_eq!(said, expected);
    assert!(written(dir.path(), &[]).is_empty());
    assert_eq!(files(dir.path()), made);
}

#[test]
fn servers_are_told_no_secret_of_a_service() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), &[]);
    let made = files(dir.path());
    let told = made["nats/nats.conf"].clone() + &made["redis/users.acl"];
    let mut secrets: Vec<&str> = Vec::new();
    for (name, text) in &made {
        if name.ends_with("nats.nkey") || name.ends_with("redis.password") {
            secrets.extend(text.lines());
        }
    }
    let all = secrets.len();
    assert_eq!(all, 6 + 2 + 6, "a login is missing, or one too many");
    for secret in &secrets {
        assert!(secret.len() >= 56 && !told.contains(secret));
    }
    secrets.sort_unstable();
    secrets.dedup();
    assert_eq!(secrets.len(), all, "two have the same secret");
}

#[test]
fn a_secret_that_is_taken_away_is_renewed_alone() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), &[]);
    let before = files(dir.path());
    fs::remove_file(dir.path().join("gate/redis.password")).unwrap();
    fs::write(dir.path().join("gate/s3.credentials"), "of my own").unwrap();
    let said = written(dir.path(), &["--nats-store", "/elsewhere"]);
    assert_eq!(
        said,
        ["nats/nats.conf", "gate/redis.password", "redis/users.acl"].map(str::to_owned)
    );
    let after = files(dir.path());
    assert_ne!(after["gate/redis.password"], before["gate/redis.password"]);
    assert_eq!(after["orca/redis.password"], before["orca/redis.password"]);
    assert_eq!(after["gate/s3.credentials"], "of my own");
    assert!(after["nats/nats.conf"].contains("store_dir: \"/elsewhere\""));
}

#[test]
fn an_operator_stays() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), &[]);
    assert!(!files(dir.path())["nats/nats.conf"].contains("# operator"));
    let said = written(dir.path(), &["--operator"]);
    assert_eq!(said, ["operator/nats.nkey", "nats/nats.conf"]);
    assert!(written(dir.path(), &[]).is_empty());
    assert!(files(dir.path())["nats/nats.conf"].contains("# operator"));
}

#[test]
fn what_is_open_to_others_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), &[]);
    let file = dir.path().join("orca/nats.nkey");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(written(dir.path(), &[]).is_empty());
    files(dir.path());
}

#[test]
fn what_is_wrong_is_said_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), &[]);
    let file = dir.path().join("orca/nats.nkey");
    let seed = fs::read_to_string(&file).unwrap();
    fs::write(&file, seed.lines().next().unwrap()).unwrap();
    let output = setup(dir.path(), &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("orca/nats.nkey should hold a seed"), "{said}");
    assert!(!said.contains(seed.lines().next().unwrap()));
    let output = setup(dir.path(), &["--namespace", "a.b"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot be a namespace"), "{said}");
}
