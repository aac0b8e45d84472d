//! The six services as processes of their own, any number of each, on real servers: started, killed,
//! stopped and continued as an operator's bad day does it.

use std::{
    collections::BTreeMap,
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use kork_cluster::{ClusterConfig, setup::Setup};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    harness::{Gate, Processes, announce, eventually, profile_dir, settings, workspace_root},
    servers::{NatsServer, Proxy, RedisServer, S3Server, free_port},
};

/// The services, in the order in which they are started.
pub const SERVICES: [&str; 6] = ["front50", "clouddriver", "orca", "igor", "deck-api", "gate"];
/// How long all of them may take to be ready.
const READY_MAX: Duration = Duration::from_mins(1);
/// How long a service may take to stop: its grace and a moment.
const STOP_MAX: Duration = Duration::from_secs(12);

/// Two clusters at the same moment would disturb each other's measurements.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A running cluster; everything in it ends with it. Of each service, every second instance reaches the
/// servers through [`Proxies`].
pub struct Cluster {
    pub nats: NatsServer,
    pub redis: RedisServer,
    pub s3: S3Server,
    pub proxies: Proxies,
    services: BTreeMap<String, Service>,
    home: TempDir,
    environment: Vec<(String, String)>,
    _alone: MutexGuard<'static, ()>,
}

/// The network between some of the services and the servers.
pub struct Proxies {
    pub nats: Proxy,
    pub redis: Proxy,
    pub s3: Proxy,
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
        Self::start_with(of_each, Vec::new()).await
    }

    /// The same, with these variables in the environment of each service.
    pub async fn start_with(of_each: usize, environment: Vec<(String, String)>) -> Option<Self> {
        let alone = ONE_AT_A_TIME.lock().await;
        let home = tempfile::Builder::new()
            .prefix("gnk-six-")
            .tempdir()
            .expect("a directory can be made");
        let logins = logins(&home);
        let nats = NatsServer::start_with(&logins.join("nats/nats.conf")).await?;
        let redis = RedisServer::start_with(&logins.join("redis/redis.conf")).await?;
        let s3 = S3Server::start().await?;
        let mut cluster = Self {
            proxies: Proxies {
                nats: Proxy::start(&nats.address(), 1).await,
                redis: Proxy::start(&redis.address(), 2).await,
                s3: Proxy::start(&s3.address(), 3).await,
            },
            nats,
            redis,
            s3,
            services: BTreeMap::new(),
            environment,
            home,
            _alone: alone,
        };
        for name in SERVICES {
            for number in 1..=of_each {
                let service = cluster.service(name, number % 2 == 0);
                cluster.services.insert(format!("{name}-{number}"), service);
            }
        }
        for name in cluster.names() {
            cluster.start_again(&name);
        }
        cluster.ready().await;
        Some(cluster)
    }

    fn service(&self, name: &str, behind_proxies: bool) -> Service {
        let (health, port) = (free_port(), free_port());
        let (nats, redis, s3) = if behind_proxies {
            let Proxies { nats, redis, s3 } = &self.proxies;
            (nats.address(), redis.address(), s3.address())
        } else {
            (self.nats.address(), self.redis.address(), self.s3.address())
        };
        let login = |file: &str| self.login(name, file).into_string();
        let arguments = [
            ("--nats", format!("nats://{nats}")),
            ("--nats-nkey-file", login("nats.nkey")),
            ("--redis-user", name.to_owned()),
            ("--redis-password-file", login("redis.password")),
            ("--redis", format!("redis://{redis}")),
            ("--s3-endpoint", format!("http://{s3}")),
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

    /// Where each process serves its health and its metrics, by its name.
    pub fn management(&self) -> Vec<(String, String)> {
        let all = self.services.iter();
        all.map(|(name, of)| (name.clone(), format!("http://127.0.0.1:{}", of.health)))
            .collect()
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

    /// Process id of a service while it runs.
    pub fn pid(&self, name: &str) -> Option<u32> {
        let service = self.services.get(name)?;
        service.child.as_ref().map(Child::id)
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
        let mut command = Command::new(&service.program);
        for name in settings() {
            command.env_remove(name);
        }
        let child = command
            .args(&service.arguments)
            .env("GENNAKER_CLOUDDRIVER_DATA_DIR", directory)
            .envs(self.environment.iter().cloned())
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

    /// Asks a service to stop, as an upgrade does; how it ended.
    pub async fn stop(&mut self, name: &str) -> ExitStatus {
        let service = self.services.get_mut(name).expect("a known service");
        let mut child = service.child.take().expect("the service runs");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid is positive"), Signal::TERM).expect("it can be signalled");
        eventually(&format!("{name} ends"), STOP_MAX, async || {
            match child.try_wait() {
                Ok(Some(status)) => Ok(status),
                _ => Err(self.log(name)),
            }
        })
        .await
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
