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
    sync::atomic::{AtomicU16, Ordering},
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

/// Ports that servers are given. Systems take those of outgoing connections from 32,768 on, and one of
/// these must not take a port before the server that it was chosen for.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A port that was free a moment ago, and that this process has not given out before.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    // Test processes that run side by side begin at different places.
    let first = (std::process::id() % u32::from(count)) as u16;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (first.wrapping_mul(61).wrapping_add(number) % count);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
