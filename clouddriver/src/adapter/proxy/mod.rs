//! The proxy process as clouddriver sees it: started when it is needed, found again after a restart,
//! started again when it died.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use kork_model::{Kind, Problem};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::Command as Process,
    sync::Mutex,
};

use crate::{
    app::ports::Traffic,
    config::Config,
    domain::routing::{Metrics, Table},
    proxy::{
        SOCKET,
        protocol::{Answer, Command},
    },
};

/// Pause between tries to reach a proxy that is starting.
const START_PAUSE: Duration = Duration::from_millis(20);
/// Time for the proxy to answer, on top of what the command itself may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest name of a Unix socket, bytes.
const SOCKET_BYTES_MAX: usize = 100;

/// Talks to the proxy of one directory.
pub(crate) struct LocalProxy {
    dir: Utf8PathBuf,
    self_exe: Vec<String>,
    start_timeout: Duration,
    /// The connection that replaces tables; waiting for drains has connections of its own.
    connection: Mutex<Option<BufReader<UnixStream>>>,
}

impl LocalProxy {
    /// The proxy under `config.data_dir`; it is not started before there is something to do.
    pub(crate) fn new(config: &Config) -> Result<Self, Problem> {
        let unusable = |error: &std::io::Error| {
            let text = format!("the data directory {} cannot be used", config.data_dir);
            Problem::new("CLOUDDRIVER-0019", Kind::Unavailable, text).because(error)
        };
        let dir = Utf8Path::new(&config.data_dir).join("proxy");
        std::fs::create_dir_all(&dir).map_err(|e| unusable(&e))?;
        let dir = dir.canonicalize_utf8().map_err(|e| unusable(&e))?;
        if dir.join(SOCKET).as_str().len() > SOCKET_BYTES_MAX {
            let text = format!(
                "the path {} is longer than the {SOCKET_BYTES_MAX} bytes that the name of a socket may have; choose a shorter data directory",
                dir.join(SOCKET)
            );
            return Err(Problem::new("CLOUDDRIVER-0019", Kind::Invalid, text));
        }
        let self_exe = match config.self_exe.as_slice() {
            [] => vec![
                std::env::current_exe()
                    .map_err(|e| unusable(&e))?
                    .to_string_lossy()
                    .into_owned(),
            ],
            given => given.to_vec(),
        };
        let start_timeout = Duration::from_millis(config.proxy.start_timeout_ms);
        Ok(Self {
            dir,
            self_exe,
            start_timeout,
            connection: Mutex::default(),
        })
    }

    async fn connect(&self) -> std::io::Result<BufReader<UnixStream>> {
        UnixStream::connect(self.dir.join(SOCKET))
            .await
            .map(BufReader::new)
    }

    async fn connect_or_start(&self) -> Result<BufReader<UnixStream>, Problem> {
        if let Ok(connection) = self.connect().await {
            return Ok(connection);
        }
        let mut child = self
            .start()
            .map_err(|e| unavailable("the proxy cannot be started").because(&e))?;
        // It is a child as long as this process lives, and must be waited for when it ends.
        tokio::spawn(async move {
            match child.wait().await {
                Ok(status) => tracing::info!(%status, "the proxy process has ended"),
                Err(error) => tracing::warn!(%error, "how the proxy ended is not known"),
            }
        });
        let deadline = tokio::time::Instant::now() + self.start_timeout;
        loop {
            match self.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if tokio::time::Instant::now() >= deadline => {
                    let log = self.dir.join("proxy.log");
                    let text = format!("the proxy does not answer after its start; see {log}");
                    return Err(unavailable(&text).because(&error));
                }
                Err(_) => tokio::time::sleep(START_PAUSE).await,
            }
        }
    }

    fn start(&self) -> std::io::Result<tokio::process::Child> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("proxy.log"))?;
        let (program, arguments) = self
            .self_exe
            .split_first()
            .ok_or_else(|| std::io::Error::other("no program is configured"))?;
        Process::new(program)
            .args(arguments)
            .args(["proxy", "--dir", self.dir.as_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(false)
            .spawn()
    }

    /// One command on a connection of its own, to a proxy that runs.
    async fn once(&self, command: &Command, timeout: Duration) -> Result<Answer, Problem> {
        let connection = self.connect().await;
        let mut connection =
            connection.map_err(|e| unavailable("the proxy is not there").because(&e))?;
        ask(&mut connection, command, timeout + ANSWER_TIMEOUT).await
    }
}

fn unavailable(text: &str) -> Problem {
    Problem::new("CLOUDDRIVER-0012", Kind::Unavailable, text).retry_after(1)
}

async fn ask(
    connection: &mut BufReader<UnixStream>,
    command: &Command,
    timeout: Duration,
) -> Result<Answer, Problem> {
    let talk = async {
        let mut line = serde_json::to_vec(command).map_err(std::io::Error::other)?;
        line.push(b'\n');
        connection.write_all(&line).await?;
        let mut answer = Vec::new();
        if connection.read_until(b'\n', &mut answer).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
        serde_json::from_slice(&answer).map_err(std::io::Error::other)
    };
    match tokio::time::timeout(timeout, talk).await {
        Ok(answer) => answer.map_err(|e| unavailable("the proxy does not answer").because(&e)),
        Err(_) => Err(unavailable("the proxy took too long")),
    }
}

#[async_trait]
impl Traffic for LocalProxy {
    async fn apply(&self, table: &Table) -> Result<BTreeMap<String, u16>, Problem> {
        let mut slot = self.connection.lock().await;
        let command = Command::Apply {
            table: table.clone(),
        };
        // A connection that was open may belong to a proxy that has gone: then one more try.
        if let Some(mut connection) = slot.take()
            && let Ok(answer) = ask(&mut connection, &command, ANSWER_TIMEOUT).await
        {
            *slot = Some(connection);
            return Ok(ports(answer));
        }
        if table.is_empty() && self.connect().await.is_err() {
            return Ok(BTreeMap::new());
        }
        let mut connection = self.connect_or_start().await?;
        let answer = ask(&mut connection, &command, ANSWER_TIMEOUT).await?;
        *slot = Some(connection);
        Ok(ports(answer))
    }

    async fn is_connected(&self) -> bool {
        let slot = self.connection.lock().await;
        let Some(connection) = slot.as_ref() else {
            return false;
        };
        // Nothing is ever sent without being asked: bytes or an end mean that it has gone.
        let mut byte = [0];
        matches!(connection.get_ref().try_read(&mut byte), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
    }

    async fn idle(&self, targets: Vec<String>, timeout: Duration) -> Result<u64, Problem> {
        let timeout_ms = timeout.as_millis() as u64;
        let answer = self
            .once(
                &Command::Idle {
                    targets,
                    timeout_ms,
                },
                timeout,
            )
            .await?;
        Ok(answer.in_flight)
    }

    async fn cut(&self, targets: Vec<String>) -> Result<u64, Problem> {
        Ok(self
            .once(&Command::Cut { targets }, Duration::ZERO)
            .await?
            .cut)
    }

    async fn metrics(&self) -> BTreeMap<String, Metrics> {
        self.once(&Command::Metrics, Duration::ZERO)
            .await
            .map(|a| a.metrics)
            .unwrap_or_default()
    }
}

fn ports(answer: Answer) -> BTreeMap<String, u16> {
    for problem in answer.problems {
        tracing::warn!(problem, "the proxy cannot do all that it should");
    }
    answer.ports
}
