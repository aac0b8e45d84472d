//! `nats-server` with JetStream.

use std::time::Duration;

use super::{Process, READY_MAX, free_port, program};
use crate::harness::eventually;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};

/// A server that sends its clients away is gone by then.
const LAME_MAX: Duration = Duration::from_mins(1);

/// One NATS server; its streams survive [`Self::restart`].
pub struct NatsServer {
    program: Utf8PathBuf,
    process: Process,
    port: u16,
    /// What the server is told; without it, anybody may do anything.
    config: Option<Utf8PathBuf>,
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
            config: None,
        };
        server.run("always").await;
        Some(server)
    }

    /// Starts one with a configuration from `gennaker-setup`, on a port of its own.
    pub async fn start_with(config: &Utf8Path) -> Option<Self> {
        let program = program("nats-server")?;
        let mut server = Self {
            program,
            process: Process::new(),
            port: free_port(),
            config: Some(config.to_owned()),
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
            config: None,
        };
        server.run("2m").await;
        Some(server)
    }

    async fn run(&mut self, sync: &str) {
        let arguments = match &self.config {
            Some(config) => self.told(config),
            None => self.open(sync),
        };
        self.process.start(&self.program, &arguments);
        let address = format!("127.0.0.1:{}", self.port);
        eventually("NATS listens", READY_MAX, async || {
            let connected = tokio::net::TcpStream::connect(&address).await;
            connected.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    fn told(&self, config: &Utf8Path) -> Vec<String> {
        let (port, monitoring) = (self.port.to_string(), free_port().to_string());
        let mut text = std::fs::read_to_string(config).expect("the configuration is there");
        for account in ["SUITE", "LOGS"] {
            let users = format!("{account} {{\n    jetstream: enabled\n    users: [\n");
            assert!(text.contains(&users), "{account} has users");
            // The tests may do anything.
            let more = format!("{users}      {{ user: {account:?}, password: {account:?} }}\n");
            text = text.replace(&users, &more);
        }
        let config = self.process.dir().join("nats.conf");
        std::fs::write(&config, text).expect("the configuration can be written");
        let flags = [
            ("-c", config.as_str()),
            ("-a", "127.0.0.1"),
            ("-p", &port),
            ("-m", &monitoring),
        ];
        let flags = flags.iter().flat_map(|(flag, value)| [*flag, *value]);
        flags.map(str::to_owned).collect()
    }

    fn open(&self, sync: &str) -> Vec<String> {
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
        ["-c".to_owned(), path.to_string()].to_vec()
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A connection of somebody who may do anything in one of the accounts, `SUITE` or `LOGS`.
    pub async fn anything_in(&self, account: &str) -> Result<async_nats::Client, String> {
        let login =
            async_nats::ConnectOptions::with_user_and_password(account.into(), account.into());
        login.connect(self.url()).await.map_err(|e| e.to_string())
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it did not let somebody do, in its own words.
    pub fn refusals(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.process.dir().join("log"));
        let log = log.expect("the server has a log");
        let lines = log.lines().filter(|line| line.contains("Violation"));
        lines.map(str::to_owned).collect()
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
