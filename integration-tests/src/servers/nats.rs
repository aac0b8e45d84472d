//! `nats-server` with JetStream.

use std::time::Duration;

use super::{Process, READY_MAX, free_port, program};
use crate::harness::eventually;
use camino::Utf8PathBuf;
use rustix::process::{Pid, Signal, kill_process};

/// A server that sends its clients away is gone by then.
const LAME_MAX: Duration = Duration::from_mins(1);

/// One NATS server; its streams survive [`Self::restart`].
pub struct NatsServer {
    program: Utf8PathBuf,
    process: Process,
    port: u16,
}

impl NatsServer {
    /// Starts one whose streams are flushed with every message, as the logs need it; `None` when
    /// there is no program.
    pub async fn start() -> Option<Self> {
        let program = program("nats-server")?;
        let mut server = Self {
            program,
            process: Process::new(),
            port: free_port(),
        };
        server.run("always").await;
        Some(server)
    }

    /// Starts one that flushes now and then, for tests that write very much.
    pub async fn start_lazy() -> Option<Self> {
        let program = program("nats-server")?;
        let mut server = Self {
            program,
            process: Process::new(),
            port: free_port(),
        };
        server.run("2m").await;
        Some(server)
    }

    async fn run(&mut self, sync: &str) {
        let config = format!(
            "listen: \"127.0.0.1:{}\"\nmax_payload: 8388608\nping_interval: 2s\n\
             ping_max: 2\nlame_duck_grace_period: 1s\n\
             lame_duck_duration: 30s\njetstream {{ store_dir: \"{}\", \
             sync_interval: {sync} }}\n",
            self.port,
            self.process.dir().join("store"),
        );
        let path = self.process.dir().join("nats.conf");
        std::fs::write(&path, config).expect("the configuration can be written");
        self.process
            .start(&self.program, &["-c".to_owned(), path.to_string()]);
        let address = format!("127.0.0.1:{}", self.port);
        eventually("NATS listens", READY_MAX, async || {
            let connected = tokio::net::TcpStream::connect(&address).await;
            connected.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Lets it send its clients away, one after the other, and end (lame duck mode, as before an
    /// upgrade); then starts it again.
    pub async fn upgrade(&mut self) {
        let pid = self
            .pid()
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.expect("it runs"), Signal::USR2).expect("it can be signalled");
        eventually("the lame server ends", LAME_MAX, async || {
            if self.process.has_ended() {
                return Ok(());
            }
            Err("it still runs".to_owned())
        })
        .await;
        self.run("always").await;
    }

    /// Kills it and starts it on the same port and directory.
    pub async fn restart(&mut self) {
        self.kill();
        self.run("always").await;
    }
}
