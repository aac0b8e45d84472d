//! `redis-server` without a file.

use super::{Process, READY_MAX, free_port, program};
use crate::harness::eventually;
use camino::{Utf8Path, Utf8PathBuf};

/// One Redis server.
pub struct RedisServer {
    program: Utf8PathBuf,
    process: Process,
    port: u16,
    /// What the server is told; without it, anybody may do anything.
    config: Option<Utf8PathBuf>,
}

impl RedisServer {
    /// Starts one; `None` when there is no program.
    pub async fn start() -> Option<Self> {
        Self::with(None).await
    }

    /// Starts one with a configuration from `gennaker-setup`, on a port of its own.
    pub async fn start_with(config: &Utf8Path) -> Option<Self> {
        Self::with(Some(config.to_owned())).await
    }

    async fn with(config: Option<Utf8PathBuf>) -> Option<Self> {
        let program = program("redis-server")?;
        let mut server = Self {
            program,
            process: Process::new(),
            port: free_port(),
            config,
        };
        server.run().await;
        Some(server)
    }

    async fn run(&mut self) {
        let port = self.port.to_string();
        let dir = self.process.dir().to_string();
        let arguments = [
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            &dir,
        ];
        let config = self.config.as_ref().map(ToString::to_string);
        let arguments = arguments.map(str::to_owned);
        let arguments: Vec<String> = config.into_iter().chain(arguments).collect();
        self.process.start(&self.program, &arguments);
        let address = format!("127.0.0.1:{}", self.port);
        eventually("Redis listens", READY_MAX, async || {
            let connected = tokio::net::TcpStream::connect(&address).await;
            connected.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Kills it and starts an empty one on the same port.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.run().await;
    }
}
