//! An S3 server: SeaweedFS.

use std::time::Duration;

use super::{Process, READY_MAX, free_port, program};
use crate::harness::eventually;
use camino::Utf8PathBuf;
use serde_json::json;

/// Keys of the only user.
const ACCESS_KEY: &str = "gennaker-test";
const SECRET_KEY: &str = "gennaker-test-secret";

/// One S3 server with one user.
pub struct S3Server {
    program: Utf8PathBuf,
    process: Process,
    ports: [u16; 8],
}

impl S3Server {
    /// Starts one; `None` when there is no program.
    pub async fn start() -> Option<Self> {
        let program = program("weed")?;
        let mut server = Self {
            program,
            process: Process::new(),
            ports: std::array::from_fn(|_| free_port()),
        };
        server.run().await;
        Some(server)
    }

    async fn run(&mut self) {
        let dir = self.process.dir().to_owned();
        let user = json!({"identities": [{
            "name": "gennaker",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]});
        let settings = dir.join("s3.json");
        std::fs::write(&settings, user.to_string()).expect("the users can be written");
        let keys = format!(
            "[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
        );
        std::fs::write(self.credentials_file(), keys).expect("the keys can be written");
        std::fs::create_dir_all(dir.join("data")).expect("a directory can be made");
        let names = [
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "s3.port",
            "s3.port.grpc",
        ];
        let ports = names.iter().zip(&self.ports);
        let mut arguments: Vec<String> = [
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-master.electionTimeout=200ms",
            "-master.heartbeatInterval=50ms",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=100",
            "-volume.preStopSeconds=0",
            "-filer",
            "-s3",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("-dir={}", dir.join("data")));
        arguments.push(format!("-s3.config={settings}"));
        arguments.extend(ports.map(|(name, port)| format!("-{name}={port}")));
        self.process.start(&self.program, &arguments);
        let client = kork_http::client()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()
            .expect("a client can be made");
        let health = format!("{}/healthz", self.endpoint());
        eventually("S3 is ready", READY_MAX, async || {
            let asked = client.get(&health).send().await;
            let asked = asked.and_then(reqwest::Response::error_for_status);
            asked.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[6])
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[6])
    }

    /// File with the keys of the user.
    pub fn credentials_file(&self) -> Utf8PathBuf {
        self.process.dir().join("credentials")
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Kills it and starts it on the same ports and directory.
    pub async fn restart(&mut self) {
        self.kill();
        self.run().await;
    }
}
