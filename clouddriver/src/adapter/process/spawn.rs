//! From a launch to a process in a group of its own.

use std::{collections::BTreeMap, process::Stdio};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use kork_model::{Kind, Problem};
use tokio::process::{Child, Command};

use super::{
    Shared,
    identity::Identity,
    record::Record,
    sweep::{ORIGIN, RUN},
};
use crate::app::ports::Launch;

/// Starts the process and stores its record.
pub(super) fn spawn(shared: &Shared, launch: &Launch) -> Result<(Child, Record), Problem> {
    let names = std::iter::once("PORT".to_owned()).chain(
        launch
            .ports
            .iter()
            .map(|n| format!("PORT_{}", n.to_ascii_uppercase())),
    );
    let mut ports = BTreeMap::new();
    let mut held = Vec::new();
    for name in names {
        let Some((port, socket)) = shared.ports.take() else {
            shared.ports.give_back(ports.into_values());
            let range = shared.config.instance_ports;
            let text = format!("no port between {} and {} is free", range.first, range.last);
            return Err(Problem::new("CLOUDDRIVER-0019", Kind::Unavailable, text));
        };
        ports.insert(name, port);
        held.push(socket);
    }
    let started = command(shared, launch, &ports).and_then(|mut command| {
        // From here on the ports are the child's to take.
        held.clear();
        command.spawn().map_err(|e| cannot_start(launch, &e))
    });
    let child = match started {
        Ok(child) => child,
        Err(problem) => {
            shared.ports.give_back(ports.into_values());
            return Err(problem);
        }
    };
    let pid = child.id().unwrap_or_default();
    let record = Record {
        id: launch.id.clone(),
        pid,
        identity: Identity::of(pid),
        ports,
        started: shared.clock.now(),
        ready: false,
    };
    record
        .store(&shared.dir)
        .map_err(|e| cannot_start(launch, &e))?;
    Ok((child, record))
}

fn cannot_start(launch: &Launch, error: &std::io::Error) -> Problem {
    let program = launch
        .command
        .first()
        .map_or("its artifact", String::as_str);
    let text = format!("instance {} cannot be started with {program}", launch.id);
    Problem::new("CLOUDDRIVER-0019", Kind::Unavailable, text).because(error)
}

fn command(
    shared: &Shared,
    launch: &Launch,
    ports: &BTreeMap<String, u16>,
) -> Result<Command, Problem> {
    let own = own_program(&shared.config.self_exe);
    let mut words: BTreeMap<String, String> = ports
        .iter()
        .map(|(name, port)| (name.clone(), port.to_string()))
        .collect();
    words.insert("GENNAKER".to_owned(), own);
    if let Some(artifact) = &launch.artifact {
        words.insert("ARTIFACT".to_owned(), artifact.to_string());
    }
    let mut argv: Vec<String> = launch.command.iter().map(|arg| fill(arg, &words)).collect();
    if let (true, Some(artifact)) = (argv.is_empty(), &launch.artifact) {
        argv.push(artifact.to_string());
    }
    let Some((program, arguments)) = argv.split_first() else {
        let text = format!(
            "server group {} has neither a command nor an artifact",
            launch.id.group
        );
        return Err(Problem::new("CLOUDDRIVER-0001", Kind::Invalid, text));
    };
    let mut command = Command::new(resolve(&launch.dir, program)?);
    command.args(arguments).current_dir(&launch.dir).env_clear();
    command.envs(inherited(&shared.config.inherited_environment));
    command.envs(&launch.env);
    command.envs(ports.iter().map(|(name, port)| (name, port.to_string())));
    command
        .env(ORIGIN, &shared.dir)
        .env(RUN, launch.id.to_string());
    let (stdout, stderr) = shared
        .logs
        .open(&launch.id)
        .map_err(|e| cannot_start(launch, &e))?;
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .kill_on_drop(false);
    Ok(command)
}

/// The variables of this process that are handed on; all others are not.
pub(super) fn inherited(names: &[String]) -> impl Iterator<Item = (&String, std::ffi::OsString)> {
    names
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// The path of this program, for `$GENNAKER`.
fn own_program(self_exe: &[String]) -> String {
    self_exe.first().cloned().unwrap_or_else(|| {
        std::env::current_exe().map_or_else(
            |_| "gennaker".to_owned(),
            |p| p.to_string_lossy().into_owned(),
        )
    })
}

/// A program with a relative path lies in the group's directory and nowhere else.
fn resolve(dir: &Utf8Path, program: &str) -> Result<Utf8PathBuf, Problem> {
    let path = Utf8Path::new(program);
    if path.is_absolute() || !program.contains('/') {
        return Ok(path.to_owned());
    }
    if path.components().any(|c| c == Utf8Component::ParentDir) {
        let text = format!("the program {program} leads out of the directory of the server group");
        return Err(Problem::new("CLOUDDRIVER-0010", Kind::Invalid, text));
    }
    Ok(dir.join(path))
}

/// Fills in `$NAME`; a longer name is meant before a shorter one that it begins with.
fn fill(text: &str, words: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let end = after
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(after.len());
        let (name, tail) = after.split_at(end);
        if let Some(value) = words.get(name) {
            filled.push_str(value);
        } else {
            filled.push('$');
            filled.push_str(name);
        }
        rest = tail;
    }
    filled + rest
}

/// Working directory of a process that runs already.
pub(super) fn dir_of(pid: u32) -> Option<Utf8PathBuf> {
    let path = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    Utf8PathBuf::from_path_buf(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_in_and_others_stay() {
        let words = BTreeMap::from([
            ("PORT".to_owned(), "80".to_owned()),
            ("PORT_ADMIN".to_owned(), "81".to_owned()),
        ]);
        assert_eq!(
            fill("--listen=:$PORT,$PORT_ADMIN", &words),
            "--listen=:80,81"
        );
        assert_eq!(fill("$HOME/$x $ $$PORT", &words), "$HOME/$x $ $80");
    }

    #[test]
    fn a_relative_program_stays_inside() {
        let dir = Utf8Path::new("/data/app");
        assert_eq!(resolve(dir, "./bin/x").unwrap(), "/data/app/./bin/x");
        assert_eq!(resolve(dir, "python3").unwrap(), "python3");
        assert_eq!(
            resolve(dir, "../other/x").unwrap_err().code,
            "CLOUDDRIVER-0010"
        );
    }
}
