//! A real registry, and what a client that pushes does.

use std::{
    fmt::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, Response, StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::{program, skipped};

/// How long it may take to be ready.
const READY_MAX: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// `ana` with the password `s3cret`.
const USERS: &str = "ana:$2b$04$7kzA1O85CJERk5Cz0fs/sOZUgxPWFkzlH66kz/HcXnbCZl1Jh0l32\n";

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Who is let in.
pub(crate) enum Doors {
    Open,
    /// `ana` with `s3cret`.
    Users,
    /// Whoever has a token of this server, signed for this certificate.
    Tokens {
        realm: String,
        certificate: PathBuf,
    },
}

pub(crate) struct RegistryServer {
    child: Child,
    pub(crate) port: u16,
    http: reqwest::Client,
    /// `Authorization` of a push.
    pub(crate) authorization: Option<String>,
    dir: TempDir,
}

/// The programs that are there: the current registry, which pages its lists, and the older one of Debian.
pub(crate) fn programs() -> Vec<PathBuf> {
    ["registry", "docker-registry"]
        .into_iter()
        .filter_map(program)
        .collect()
}

impl RegistryServer {
    pub(crate) async fn start(program: &PathBuf, doors: &Doors) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let root = dir.path().join("data");
        let mut config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage:\n  filesystem: {{ rootdirectory: {} }}\n  delete: \
             {{ enabled: true }}\nhttp: {{ addr: '127.0.0.1:{port}', secret: tests }}\n",
            root.display()
        );
        let users = dir.path().join("users");
        match doors {
            Doors::Open => {}
            Doors::Users => {
                std::fs::write(&users, USERS).expect("it is written");
                let users = users.display();
                writeln!(
                    config,
                    "auth: {{ htpasswd: {{ realm: tests, path: {users} }} }}"
                )
                .expect("it is text");
            }
            Doors::Tokens { realm, certificate } => {
                let certificate = certificate.display();
                writeln!(
                    config,
                    "auth: {{ token: {{ realm: '{realm}', service: tests, issuer: tests, rootcertbundle: \
                     {certificate} }} }}"
                )
                .expect("it is text");
            }
        }
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).expect("it is written");
        let log = std::fs::File::create(dir.path().join("log")).expect("a log");
        let child = Command::new(program)
            .arg("serve")
            .arg(&file)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log has two ends"))
            .stderr(log)
            .spawn()
            .expect("it can be started");
        let server = Self {
            child,
            port,
            http: igor_watch::client().expect("a client"),
            authorization: None,
            dir,
        };
        server.ready().await;
        server
    }

    async fn ready(&self) {
        let up = async {
            loop {
                let answer = self.http.get(self.url("")).send().await;
                if answer.is_ok_and(|a| matches!(a.status().as_u16(), 200 | 401)) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(READY_MAX, up).await.is_err() {
            let log = std::fs::read_to_string(self.dir.path().join("log"));
            panic!("the registry is not ready: {log:?}");
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self, rest: &str) -> String {
        format!("http://127.0.0.1:{}/v2/{rest}", self.port)
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    /// Pushes an image that differs by `content`, and gives its digest.
    pub(crate) async fn push(&self, repository: &str, tag: &str, content: &str) -> String {
        let manifest = self.manifest(repository, content).await;
        self.put(repository, tag, MANIFEST, &manifest).await
    }

    /// Pushes an image under many tags.
    pub(crate) async fn push_all(&self, repository: &str, tags: &[String]) -> String {
        let manifest = self.manifest(repository, "many").await;
        let mut digest = String::new();
        for tag in tags {
            digest = self.put(repository, tag, MANIFEST, &manifest).await;
        }
        digest
    }

    /// Pushes an image for two platforms: the tag points to an index.
    pub(crate) async fn push_index(&self, repository: &str, tag: &str) -> String {
        let mut manifests = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let manifest = self.manifest(repository, architecture).await;
            let digest = digest_of(&manifest);
            self.put(repository, &digest, MANIFEST, &manifest).await;
            manifests.push(json!({
                "mediaType": MANIFEST, "digest": digest, "size": manifest.len(),
                "platform": { "os": "linux", "architecture": architecture },
            }));
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        self.put(repository, tag, INDEX, &index.to_string()).await
    }

    async fn manifest(&self, repository: &str, content: &str) -> String {
        let config = json!({ "os": "linux", "architecture": content }).to_string();
        let described = |kind: &str, bytes: &str| -> Value {
            json!({ "mediaType": kind, "digest": digest_of(bytes), "size": bytes.len() })
        };
        self.upload(repository, &config).await;
        self.upload(repository, content).await;
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described("application/vnd.oci.image.config.v1+json", &config),
            "layers": [described("application/vnd.oci.image.layer.v1.tar", content)],
        })
        .to_string()
    }

    async fn upload(&self, repository: &str, bytes: &str) {
        let begun = self
            .request(
                Method::POST,
                &self.url(&format!("{repository}/blobs/uploads/")),
            )
            .send()
            .await
            .expect("it is there");
        let begun = expect(begun, StatusCode::ACCEPTED).await;
        let to = begun.headers()["location"].to_str().expect("text");
        let to = if to.starts_with('/') {
            format!("http://127.0.0.1:{}{to}", self.port)
        } else {
            to.to_owned()
        };
        let joint = if to.contains('?') { '&' } else { '?' };
        let to = format!("{to}{joint}digest={}", digest_of(bytes));
        let request = self.request(Method::PUT, &to).body(bytes.to_owned());
        expect(
            request.send().await.expect("it is there"),
            StatusCode::CREATED,
        )
        .await;
    }

    async fn put(&self, repository: &str, tag: &str, kind: &str, manifest: &str) -> String {
        let url = self.url(&format!("{repository}/manifests/{tag}"));
        let request = self
            .request(Method::PUT, &url)
            .header("content-type", kind)
            .body(manifest.to_owned());
        expect(
            request.send().await.expect("it is there"),
            StatusCode::CREATED,
        )
        .await;
        digest_of(manifest)
    }

    /// Takes an image and its tags away.
    pub(crate) async fn delete(&self, repository: &str, digest: &str) {
        let url = self.url(&format!("{repository}/manifests/{digest}"));
        let answer = self.request(Method::DELETE, &url).send().await;
        expect(answer.expect("it is there"), StatusCode::ACCEPTED).await;
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn expect(answer: Response, status: StatusCode) -> Response {
    if answer.status() == status {
        return answer;
    }
    let (url, found) = (answer.url().clone(), answer.status());
    panic!("{url}: {found} {}", answer.text().await.unwrap_or_default());
}

pub(crate) fn digest_of(bytes: &str) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold("sha256:".to_owned(), |text, byte| {
            format!("{text}{byte:02x}")
        })
}

/// Says so when there is no registry at all.
pub(crate) fn some_programs() -> Vec<PathBuf> {
    let programs = programs();
    if programs.is_empty() {
        skipped("no registry can be started");
    }
    programs
}

/// A port that was free a moment ago. Systems take those of outgoing connections from 32,768 on.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + (std::process::id() % 18_000) as u16;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
