//! An S3 server: the one of `compose.yaml`.

use std::time::Duration;

use super::{Process, READY_MAX, free_port, program};
use crate::harness::eventually;
use camino::Utf8PathBuf;

/// Keys of its only user.
const ACCESS_KEY: &str = "gennaker-test";
const SECRET_KEY: &str = "gennaker-test-secret";

/// One server with one user.
pub struct MinioServer {
    process: Process,
    port: u16,
}

impl MinioServer {
    /// Starts one; `None` when there is no program.
    pub async fn start() -> Option<Self> {
        let program = program("minio")?;
        let mut server = Self {
            process: Process::new(),
            port: free_port(),
        };
        let dir = server.process.dir().to_owned();
        let keys = format!(
            "[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
        );
        std::fs::write(server.credentials_file(), keys).expect("the keys can be written");
        let environment = [
            ("MINIO_ROOT_USER", ACCESS_KEY),
            ("MINIO_ROOT_PASSWORD", SECRET_KEY),
            ("MINIO_BROWSER", "off"),
            ("MINIO_UPDATE", "off"),
        ];
        let data = dir.join("data").into_string();
        let address = format!("127.0.0.1:{}", server.port);
        let arguments = ["server", &data, "--address", &address, "--quiet"].map(str::to_owned);
        server
            .process
            .start_with(&program, &arguments, &environment);
        let client = kork_http::client()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()
            .expect("a client can be made");
        let health = format!("{}/minio/health/ready", server.endpoint());
        eventually("MinIO is ready", READY_MAX, async || {
            let asked = client.get(&health).send().await;
            let asked = asked.and_then(reqwest::Response::error_for_status);
            asked.map(drop).map_err(|e| e.to_string())
        })
        .await;
        Some(server)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// File with the keys of the user.
    pub fn credentials_file(&self) -> Utf8PathBuf {
        self.process.dir().join("credentials")
    }
}
