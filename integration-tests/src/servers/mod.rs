//! Real servers for tests: NATS, Redis and S3, each started on free ports of loopback with a directory
//! of its own, and gone with its value.
//!
//! The programs are looked for in the directory that `GENNAKER_PARTS` names, in `target/parts` (where
//! `integration-tests/parts.sh` puts them) and in `PATH`. A test whose server cannot be had says so.

mod collector;
mod minio;
mod nats;
mod proxy;
mod redis;
mod s3;

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

pub use self::{
    collector::{CollectedSpan, Collector},
    minio::MinioServer,
    nats::NatsServer,
    proxy::{Passes, Proxy},
    redis::RedisServer,
    s3::S3Server,
};
use crate::harness::{announce, profile_dir};

/// How long a server may take to be ready.
const READY_MAX: Duration = Duration::from_secs(30);

/// A program of this name, or `None` after saying that a test is skipped.
pub fn program(name: &str) -> Option<Utf8PathBuf> {
    let own = std::env::var("GENNAKER_PARTS").ok().map(Utf8PathBuf::from);
    let made = profile_dir()
        .parent()
        .map(|target| target.join("parts/bin"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = path.split(':').map(Utf8PathBuf::from);
    let found = own
        .into_iter()
        .chain(made)
        .chain(path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        announce(&format!(
            "SKIPPED: there is no {name}; integration-tests/parts.sh obtains it"
        ));
    }
    found
}

/// A server process with its directory.
struct Process {
    child: Option<Child>,
    dir: TempDir,
}

impl Process {
    fn new() -> Self {
        Self {
            child: None,
            dir: tempfile::Builder::new()
                .prefix("gnk-server-")
                .tempdir()
                .expect("a directory can be made"),
        }
    }

    fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.dir.path()).expect("the directory is UTF-8")
    }

    fn start(&mut self, program: &Utf8Path, arguments: &[String]) {
        self.start_with(program, arguments, &[]);
    }

    fn start_with(
        &mut self,
        program: &Utf8Path,
        arguments: &[String],
        environment: &[(&str, &str)],
    ) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir().join("log"))
            .expect("a log can be written");
        let errors = log.try_clone().expect("a log has two ends");
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn();
        self.child = Some(child.unwrap_or_else(|e| panic!("{program} cannot be started: {e}")));
    }

    /// As a power failure of the process.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// It has ended by itself, or was killed.
    fn has_ended(&mut self) -> bool {
        let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)));
        self.child.as_mut().is_none_or(ended)
    }

    fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}
