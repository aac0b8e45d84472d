//! `gennaker up` as a process with a data directory that outlives it.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::{Instant, timeout},
};

use super::{Gate, Processes, binary::command, eventually};

/// A suite that was asked to stop has ended by then.
pub const STOP_MAX: Duration = Duration::from_secs(10);
/// Time for a suite to tell where it is, on a busy machine.
const START_MAX: Duration = Duration::from_mins(1);
/// Rounds of killing what is left; each ends what was born since the one before.
const KILL_ROUNDS_MAX: usize = 100;
/// Lines of the log that are shown when a test fails.
const LOG_LINES: usize = 40;

/// A running suite, or one that was killed. Everything it started is killed when it is dropped.
pub struct Suite {
    data: Utf8PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    gate: Option<Gate>,
    health: String,
    took: Duration,
    /// Removed when the suite is dropped.
    home: tempfile::TempDir,
}

impl Suite {
    /// How long a test waits for something that should come soon, on a busy machine.
    pub const PATIENCE: Duration = Duration::from_mins(1);

    /// Starts a suite on an empty directory and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with(&[], &[]).await
    }

    /// The same with further options and environment variables.
    pub async fn start_with(options: &[&str], environment: &[(&str, &str)]) -> Self {
        let home = tempfile::Builder::new().prefix("gnk-").tempdir();
        let home = home.expect("a directory for the data can be made");
        let data = Utf8Path::from_path(home.path()).expect("temporary paths are UTF-8");
        let mut suite = Self {
            data: data.join("data"),
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            environment: environment
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            child: None,
            gate: None,
            health: String::new(),
            took: Duration::ZERO,
            home,
        };
        suite.start_again().await;
        suite
    }

    /// Starts it on the same directory, and waits until it answers. How long that took.
    pub async fn start_again(&mut self) -> Duration {
        assert!(self.child.is_none(), "the suite runs already");
        let began = Instant::now();
        let mut child = self.command().spawn().expect("gennaker can be started");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        self.child = Some(child);
        let mut lines = BufReader::new(stdout);
        let gate = self.first_line(&mut lines).await;
        let second = read_line(&mut lines).await;
        let health = second.strip_prefix("health and metrics are at ");
        let health = health.and_then(|rest| rest.split_once("/health/ready"));
        self.health = health.map_or_else(
            || panic!("the second line does not say where the health is: {second:?}"),
            |(base, _)| base.to_owned(),
        );
        // The rest of stdout must not fill the pipe.
        tokio::spawn(async move {
            let mut rest = Vec::new();
            drop(lines.read_to_end(&mut rest).await);
        });
        let gate = Gate::new(&gate);
        eventually("the suite is healthy", START_MAX, async || {
            gate.get("/health").await.map_err(|t| t.to_string())
        })
        .await;
        self.gate = Some(gate);
        self.took = began.elapsed();
        self.took
    }

    /// From the start of the process to its first healthy answer, the last time.
    pub fn start_took(&self) -> Duration {
        self.took
    }

    async fn first_line(&mut self, lines: &mut BufReader<ChildStdout>) -> String {
        let line = read_line(lines).await;
        match line.strip_prefix("gate listens on ") {
            Some(url) => url.to_owned(),
            None => panic!("the first line is {line:?}; the log: {}", self.log()),
        }
    }

    /// The command that starts a suite on this directory; not started.
    pub fn command(&self) -> Command {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_path());
        let ports = ["up", "--gate-port", "0", "--health-port", "0"];
        let mut command = command(&ports);
        command
            .arg("--data-dir")
            .arg(&self.data)
            .args(&self.options)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("the log can be written"));
        command
    }

    /// Its API.
    pub fn gate(&self) -> &Gate {
        self.gate.as_ref().expect("a suite that runs has a gate")
    }

    /// Where health and metrics are, such as `http://127.0.0.1:7002`.
    pub fn health(&self) -> &str {
        &self.health
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        let pid = self.child.as_ref().and_then(Child::id);
        pid.expect("a suite that runs has a pid")
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Utf8Path {
        &self.data
    }

    /// A path beside the data, for files of the test.
    pub fn beside(&self, name: &str) -> Utf8PathBuf {
        self.data.with_file_name(name)
    }

    /// The end of what it wrote to stderr.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.home.path().join("log")
    }

    /// Kills the process with SIGKILL, without any warning, and waits until it has gone.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("the suite runs");
        child.kill().await.expect("a child can be killed");
    }

    /// Starts it, and kills it so long after the process began: while it opens its files, reads its logs
    /// or has just begun to work.
    pub async fn start_and_kill(&mut self, after: Duration) {
        assert!(self.child.is_none(), "the suite runs already");
        let mut child = self.command().spawn().expect("gennaker can be started");
        tokio::time::sleep(after).await;
        child.kill().await.expect("a child can be killed");
    }

    /// Asks it to stop and waits until it has gone; how it ended. Fails when that takes longer than
    /// [`STOP_MAX`].
    pub async fn stop(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid is positive"), Signal::TERM).expect("it can be signalled");
        let child = self.child.as_mut().expect("the suite runs");
        let ended = timeout(STOP_MAX, child.wait()).await;
        let status = ended.unwrap_or_else(|_| {
            panic!(
                "still there {STOP_MAX:?} after SIGTERM; the log: {}",
                self.log()
            )
        });
        self.child = None;
        status.expect("a child can be waited for")
    }

    /// What runs on behalf of this data directory, the suite itself included.
    pub fn processes(&self) -> Processes {
        Processes::of(&self.data)
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        if std::thread::panicking() {
            super::announce(&format!("the end of the log:\n{}", self.log()));
        }
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            drop(child.start_kill());
        }
        for _ in 0..KILL_ROUNDS_MAX {
            let left = self.processes();
            if left.0.is_empty() {
                return;
            }
            left.kill();
            std::thread::park_timeout(Duration::from_millis(20));
        }
        super::announce(&format!("processes are left: {:#?}", self.processes()));
    }
}

async fn read_line(lines: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    let read = timeout(START_MAX, lines.read_line(&mut line)).await;
    read.unwrap_or_else(|_| panic!("the suite says nothing for {START_MAX:?}"))
        .expect("a pipe can be read");
    line.trim().to_owned()
}
