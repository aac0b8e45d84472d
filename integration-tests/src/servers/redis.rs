//! `redis-server` without a file.

use super::{Process, READY_MAX, free_port, program};
use crate::harness::eventually;
use camino::Utf8PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One Redis server.
pub struct RedisServer {
    program: Utf8PathBuf,
    process: Process,
    port: u16,
}

impl RedisServer {
    /// Starts one; `None` when there is no program.
    pub async fn start() -> Option<Self> {
        let program = program("redis-server")?;
        let mut server = Self {
            program,
            process: Process::new(),
            port: free_port(),
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
        let arguments = arguments.map(str::to_owned);
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

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Removes everything that it holds.
    pub async fn flush(&self) {
        let address = self.address();
        let flushed = async {
            let mut connection = tokio::net::TcpStream::connect(&address).await?;
            connection.write_all(b"FLUSHALL\r\n").await?;
            let mut answer = [0; 5];
            connection.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = flushed.await.expect("Redis answers");
        assert_eq!(&answer, b"+OK\r\n", "Redis is flushed");
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Kills it and starts an empty one on the same port.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.run().await;
    }
}
