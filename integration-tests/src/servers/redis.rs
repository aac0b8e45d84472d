//! `redis-server` without a file.

use super::{Process, READY_MAX, free_port, program};
use crate::harness::eventually;
use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
        let arguments = arguments.map(str::to_owned);
        let config = self.config.as_ref().map(|config| self.told(config));
        let arguments: Vec<String> = match config {
            Some([config, users]) => std::iter::once(config)
                .chain(arguments)
                .chain(["--aclfile".to_owned(), users])
                .collect(),
            None => arguments.to_vec(),
        };
        self.process.start(&self.program, &arguments);
        let address = format!("127.0.0.1:{}", self.port);
        eventually("Redis listens", READY_MAX, async || {
            let connected = tokio::net::TcpStream::connect(&address).await;
            connected.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    /// The configuration, and its users with one more: the tests may remove everything.
    fn told(&self, config: &Utf8Path) -> [String; 2] {
        let users = config.with_file_name("users.acl");
        let users = std::fs::read_to_string(users).expect("the users are there");
        let more = format!("{users}user tests on nopass ~* -@all +flushall\n");
        let path = self.process.dir().join("users.acl");
        std::fs::write(&path, more).expect("the users can be written");
        [config.to_string(), path.into_string()]
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
            let login: &[u8] = match self.config {
                Some(_) => b"AUTH tests any\r\nFLUSHALL\r\n",
                None => b"PING\r\nFLUSHALL\r\n",
            };
            connection.write_all(login).await?;
            let mut first = [0; 5];
            connection.read_exact(&mut first).await?;
            if &first == b"+PONG" {
                connection.read_exact(&mut [0; 2]).await?;
            }
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
        self.kill();
        self.run().await;
    }
}
