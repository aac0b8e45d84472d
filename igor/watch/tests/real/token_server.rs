//! A token server as registries name one, with a key that the registry knows the certificate of.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use kork::{embedded::SystemClock, ports::Clock as _};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    program, run,
    server::{Reply, Request, Server},
};

pub(crate) struct TokenServer {
    pub(crate) server: Server,
    signer: Arc<Signer>,
    /// So many of the next tokens have ended already.
    pub(crate) stale: Arc<AtomicUsize>,
}

impl TokenServer {
    /// One that gives tokens to `login` (`user:password`) or, without one, to anybody; `None` when there is no
    /// openssl.
    pub(crate) async fn start(login: Option<&'static str>) -> Option<Self> {
        let signer = Arc::new(Signer::new()?);
        let stale = Arc::new(AtomicUsize::new(0));
        let (signs, ends) = (signer.clone(), stale.clone());
        let server = Server::start(move |request| give(request, login, &signs, &ends)).await;
        Some(Self {
            server,
            signer,
            stale,
        })
    }

    pub(crate) fn realm(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.server.port)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.signer.dir.path().join("cert.pem")
    }

    /// For pushing and deleting.
    pub(crate) fn authorization(&self, repository: &str) -> String {
        let scope = format!("repository:{repository}:pull,push,delete");
        format!("Bearer {}", self.signer.token(&scope, 3600))
    }
}

fn give(request: &Request, login: Option<&str>, signer: &Signer, stale: &AtomicUsize) -> Reply {
    let expected = login.map(|login| format!("Basic {}", STANDARD.encode(login)));
    if expected.is_some_and(|expected| request.header("authorization") != expected) {
        return Reply::new(401, r#"{"details":"incorrect username or password"}"#);
    }
    let query: Vec<_> = url::form_urlencoded::parse(request.query.as_bytes()).collect();
    let value = |name: &str| {
        let found = query.iter().find(|(n, _)| n == name);
        found.map_or_else(String::new, |(_, value)| value.to_string())
    };
    if value("service") != "tests" {
        return Reply::new(400, r#"{"details":"another service"}"#);
    }
    let is_stale = stale.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    let lifetime_s = if is_stale.is_ok() { -3600 } else { 3600 };
    let token = signer.token(&value("scope"), lifetime_s);
    Reply::new(
        200,
        json!({ "token": token, "expires_in": 3600 }).to_string(),
    )
}

/// A key and its certificate.
struct Signer {
    openssl: PathBuf,
    dir: TempDir,
    /// The certificate in base64, without its frame.
    certificate: String,
}

impl Signer {
    fn new() -> Option<Self> {
        let openssl = program("openssl")?;
        let dir = tempfile::tempdir().expect("a directory");
        let make = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=tests",
            "-days",
            "2",
        ];
        run(Command::new(&openssl)
            .args(make)
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(dir.path()));
        let pem = std::fs::read_to_string(dir.path().join("cert.pem")).expect("a certificate");
        let certificate = pem
            .lines()
            .filter(|line| !line.starts_with("---"))
            .collect();
        Some(Self {
            openssl,
            dir,
            certificate,
        })
    }

    /// A token by RFC 7515 and 7519 for a scope of the registry, `repository:<name>:<action>,<action>`.
    fn token(&self, scope: &str, lifetime_s: i64) -> String {
        let now = (SystemClock.now().millis() / 1000) as i64;
        let mut parts = scope.rsplitn(2, ':');
        let actions: Vec<_> = parts.next().unwrap_or_default().split(',').collect();
        let name = parts.next().unwrap_or_default();
        let name = name.strip_prefix("repository:").unwrap_or_default();
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [self.certificate] });
        let claims = json!({
            "iss": "tests", "sub": "ana", "aud": "tests", "jti": "1",
            "iat": now - 7200, "nbf": now - 7200, "exp": now + lifetime_s,
            "access": [{ "type": "repository", "name": name, "actions": actions }],
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let mut child = Command::new(&self.openssl)
            .args(["dgst", "-sha256", "-sign", "key.pem"])
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(bytes).expect("it is read");
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "it signs");
        output.stdout
    }
}
