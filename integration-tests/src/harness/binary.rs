//! Where the binary under test is, and that it is the current one.
//!
//! Cargo tells only tests of the same package where a binary lies. `cargo test --workspace` has built
//! it before any test runs. Whoever runs the tests of this package alone gets it built here, once.

use std::{fs::File, process::Command, sync::OnceLock, time::SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use super::announce;

/// Path of `gennaker`: `GENNAKER_BIN` if set, else the one that belongs to this test's profile and
/// target directory, built first when a source is newer than it.
pub fn gennaker() -> &'static Utf8Path {
    static PATH: OnceLock<Utf8PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let given = std::env::var("GENNAKER_BIN").ok();
        given.map_or_else(built, Utf8PathBuf::from)
    })
}

/// The binary with these arguments, in an environment without settings of a suite.
pub fn command(arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(gennaker());
    command.args(arguments).kill_on_drop(true);
    for name in settings() {
        command.env_remove(name);
    }
    command
}

/// Variables that a service would take for settings; those for the tests are among them.
pub(crate) fn settings() -> impl Iterator<Item = std::ffi::OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_string_lossy().starts_with("GENNAKER_"))
}

/// The root of the workspace.
pub fn workspace_root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in the workspace")
}

/// Directory of the profile that this program was built with, such as `target/debug`.
pub fn profile_dir() -> Utf8PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let own = Utf8PathBuf::from_path_buf(own).expect("the target directory is UTF-8");
    let dir = own.parent().expect("a program lies in a directory");
    match dir.file_name() {
        Some("deps") => dir.parent().expect("deps lies in a profile").to_owned(),
        _ => dir.to_owned(),
    }
}

fn built() -> Utf8PathBuf {
    let profile = profile_dir();
    let binary = profile.join("gennaker");
    let lock = File::create(profile.join(".gennaker.lock")).expect("the target can be written");
    lock.lock().expect("a file can be locked");
    if !is_current(&binary) {
        build(&profile);
    }
    assert!(
        binary.is_file(),
        "{binary} is not there; build it: cargo build -p gennaker, or set GENNAKER_BIN"
    );
    binary
}

/// True when no source that the binary was made of changed after it; cargo lists them beside it.
fn is_current(binary: &Utf8Path) -> bool {
    let Some(made) = changed(binary) else {
        return false;
    };
    let Ok(list) = std::fs::read_to_string(binary.with_extension("d")) else {
        return false;
    };
    let Some((_, sources)) = list.split_once(": ") else {
        return false;
    };
    let sources = sources.trim().replace("\\ ", "\0");
    sources.split(' ').all(|source| {
        let source = source.replace('\0', " ");
        changed(Utf8Path::new(&source)).is_some_and(|changed| changed <= made)
    })
}

fn changed(path: &Utf8Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

fn build(profile: &Utf8Path) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let target = profile.parent().expect("a profile lies in a target");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--locked", "-p", "gennaker", "--target-dir"])
        .arg(target)
        .current_dir(workspace_root());
    match profile.file_name() {
        Some("debug") | None => {}
        Some(name) => {
            command.args(["--profile", name]);
        }
    }
    announce(&format!(
        "the binary under test is not current: {command:?}"
    ));
    let status = command.status().expect("cargo can be run");
    assert!(status.success(), "cargo build -p gennaker: {status}");
}
