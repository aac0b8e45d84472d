//! The six services as processes of their own, any number of each, on real servers: started, killed,
//! stopped and continued as an operator's bad day does it.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use kork_cluster::{ClusterConfig, setup::Setup};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    harness::{Gate, Processes, announce, eventually, profile_dir, workspace_root},
    servers::{NatsServer, RedisServer, S3Server, free_port},
};

/// The services, in the order in which they are started.
pub const SERVICES: [&str; 6] = ["front50", "clouddriver", "orca", "igor", "deck-api", "gate"];
/// How long all of them may take to be ready.
const READY_MAX: Duration = Duration::from_mins(1);

/// A running cluster; everything in it ends with it.
pub struct Cluster {
    pub nats: NatsServer,
    pub redis: RedisServer,
    pub s3: S3Server,
    services: BTreeMap<String, Service>,
    home: TempDir,
}

struct Service {
    program: Utf8PathBuf,
    arguments: Vec<String>,
    health: u16,
    port: u16,
    child: Option<Child>,
}

impl Cluster {
    /// Starts the servers and so many of each service; `None` when a server cannot be had.
    pub async fn start(of_each: usize) -> Option<Self> {
        let home = tempfile::Builder::new()
            .prefix("gnk-six-")
            .tempdir()
            .expect("a directory can be made");
        let logins = logins(&home);
        let mut cluster = Self {
            nats: NatsServer::start_with(&logins.join("nats/nats.conf")).await?,
            redis: RedisServer::start_with(&logins.join("redis/redis.conf")).await?,
            s3: S3Server::start().await?,
            services: BTreeMap::new(),
            home,
        };
        for name in SERVICES {
            for number in 1..=of_each {
                let service = cluster.service(name);
                cluster.services.insert(format!("{name}-{number}"), service);
            }
        }
        for name in cluster.names() {
            cluster.start_again(&name);
        }
        cluster.ready().await;
        Some(cluster)
    }

    fn service(&self, name: &str) -> Service {
        let (health, port) = (free_port(), free_port());
        let login = |file: &str| self.login(name, file).into_string();
        let arguments = [
            ("--nats", self.nats.url()),
            ("--nats-nkey-file", login("nats.nkey")),
            ("--redis", self.redis.url()),
            ("--redis-user", name.to_owned()),
            ("--redis-password-file", login("redis.password")),
            ("--s3-endpoint", self.s3.endpoint()),
            ("--s3-bucket", "gennaker".to_owned()),
            (
                "--s3-credentials-file",
                self.s3.credentials_file().into_string(),
            ),
            ("--health-port", health.to_string()),
            ("--port", port.to_string()),
        ];
        Service {
            program: program(name),
            arguments: arguments
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .collect(),
            health,
            port,
            child: None,
        }
    }

    /// Names of all processes of the services, such as `orca-2`.
    pub fn names(&self) -> Vec<String> {
        self.services.keys().cloned().collect()
    }

    /// A client of every gate.
    pub fn gates(&self) -> Vec<Gate> {
        let gates = self
            .services
            .iter()
            .filter(|(name, _)| name.starts_with("gate-"));
        gates
            .map(|(_, gate)| Gate::new(&format!("http://127.0.0.1:{}", gate.port)))
            .collect()
    }

    /// A file of a user's logins, such as `nats.nkey`.
    pub fn login(&self, user: &str, file: &str) -> Utf8PathBuf {
        self.dir().join("secrets").join(user).join(file)
    }

    /// The servers, with the login of a user on NATS. The operator may look at everything.
    pub fn as_user(&self, user: &str) -> ClusterConfig {
        ClusterConfig {
            nats: self.nats.url(),
            nats_nkey_file: Some(self.login(user, "nats.nkey").into_string()),
            redis: self.redis.url(),
            redis_user: Some("gate".to_owned()),
            redis_password_file: Some(self.login("gate", "redis.password").into_string()),
            s3_endpoint: self.s3.endpoint(),
            s3_credentials_file: Some(self.s3.credentials_file().into_string()),
            ..ClusterConfig::default()
        }
    }

    /// Directory in which the tests may write.
    pub fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.home.path()).expect("the directory is UTF-8")
    }

    /// What runs on behalf of clouddriver.
    pub fn processes(&self) -> Processes {
        Processes::of(&self.clouddriver())
    }

    fn clouddriver(&self) -> Utf8PathBuf {
        self.dir().join("cd")
    }

    /// Starts a service that was killed.
    pub fn start_again(&mut self, name: &str) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir().join(format!("{name}.log")))
            .expect("a log can be written");
        let errors = log.try_clone().expect("a log has two ends");
        let directory = self.clouddriver();
        let service = self.services.get_mut(name).expect("a known service");
        let child = Command::new(&service.program)
            .args(&service.arguments)
            .env("GENNAKER_CLOUDDRIVER_DATA_DIR", directory)
            // A setting of the tests, unknown to services.
            .env_remove("GENNAKER_PARTS")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn();
        service.child = Some(child.unwrap_or_else(|e| panic!("{name} cannot be started: {e}")));
    }

    /// `kill -9`.
    pub fn kill(&mut self, name: &str) {
        let service = self.services.get_mut(name).expect("a known service");
        if let Some(mut child) = service.child.take() {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Stops a service in its tracks (SIGSTOP), or lets it go on (SIGCONT).
    pub fn hold(&self, name: &str, held: bool) {
        let child = self.services.get(name).and_then(|s| s.child.as_ref());
        let pid = child.and_then(|c| Pid::from_raw(i32::try_from(c.id()).ok()?));
        let signal = if held { Signal::STOP } else { Signal::CONT };
        if let Some(pid) = pid {
            kill_process(pid, signal).expect("an own child can be signalled");
        }
    }

    /// Waits until every service says that it is ready.
    pub async fn ready(&self) {
        let client = kork_http::client()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()
            .expect("a client can be made");
        for (name, service) in &self.services {
            let url = format!("http://127.0.0.1:{}/health/ready", service.health);
            eventually(&format!("{name} is ready"), READY_MAX, async || {
                let asked = client.get(&url).send().await;
                let answer = asked.map_err(|e| format!("{e}; {}", self.log(name)))?;
                if answer.status().is_success() {
                    return Ok(());
                }
                Err(answer.text().await.unwrap_or_default())
            })
            .await;
        }
    }

    /// The end of what a service wrote.
    pub fn log(&self, name: &str) -> String {
        let text = std::fs::read(self.dir().join(format!("{name}.log"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for name in self.names() {
            self.kill(&name);
        }
        self.processes().kill();
    }
}

/// The logins of a cluster as an operator makes them.
fn logins(home: &TempDir) -> Utf8PathBuf {
    let home = Utf8Path::from_path(home.path()).expect("the directory is UTF-8");
    let setup = Setup {
        operator: true,
        nats_store: home.join("streams").into_string(),
        ..Setup::new(home.join("secrets"))
    };
    setup.run().expect("the logins can be made");
    setup.dir
}

/// Path of a service's program, built first when it is not there.
fn program(name: &str) -> Utf8PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let path = profile_dir().join(name);
    if !path.is_file() {
        BUILT.get_or_init(|| {
            let target = profile_dir();
            let target = target.parent().expect("a profile lies in a target");
            announce("the services are not built yet");
            let built = Command::new("cargo")
                .args([
                    "build",
                    "--locked",
                    "--workspace",
                    "--all-features",
                    "--bins",
                ])
                .arg("--target-dir")
                .arg(target)
                .current_dir(workspace_root())
                .status();
            assert!(built.is_ok_and(|status| status.success()), "cargo build");
        });
    }
    path
}
