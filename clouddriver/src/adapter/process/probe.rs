//! One probe of one instance.

use std::{collections::BTreeMap, net::Ipv4Addr, process::Stdio, time::Duration};

use bytes::Bytes;
use camino::Utf8Path;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpStream, process::Command};

use super::spawn::inherited;
use crate::domain::health::Probe;

/// Bytes of a failed probe's answer that are shown.
const ANSWER_BYTES_MAX: usize = 512;

/// Asks instances. Every probe opens a new connection: that is what new clients do.
pub(super) struct Prober {
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Default for Prober {
    fn default() -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(HttpConnector::new());
        Self { client }
    }
}

/// Where an instance is asked.
pub(super) struct Subject<'a> {
    pub(super) ports: &'a BTreeMap<String, u16>,
    pub(super) dir: &'a Utf8Path,
    pub(super) env: &'a BTreeMap<String, String>,
    /// Variables that instances inherit; a probe gets no others either.
    pub(super) inherited: &'a [String],
    /// Tells whether the output holds a text.
    pub(super) output_has: &'a (dyn Fn(&str) -> bool + Sync),
}

impl Prober {
    /// `Err` says what was wrong, in a sentence for people.
    pub(super) async fn probe(
        &self,
        probe: &Probe,
        subject: &Subject<'_>,
        timeout: Duration,
    ) -> Result<(), String> {
        let asked = self.ask(probe, subject);
        match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "{} gave no answer within {} ms",
                name(probe),
                timeout.as_millis()
            )),
        }
    }

    async fn ask(&self, probe: &Probe, subject: &Subject<'_>) -> Result<(), String> {
        match probe {
            Probe::Running => Ok(()),
            Probe::Http { path, port } => self.http(path, port_of(subject, port)?).await,
            Probe::Tcp { port } => {
                let port = port_of(subject, port)?;
                let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                connected
                    .map(drop)
                    .map_err(|e| format!("port {port} is not open: {e}"))
            }
            Probe::Exec { command } => exec(command, subject).await,
            Probe::Log { text } => {
                let found = (subject.output_has)(text);
                if found {
                    Ok(())
                } else {
                    Err(format!("the output does not contain {text:?} yet"))
                }
            }
        }
    }

    async fn http(&self, path: &str, port: u16) -> Result<(), String> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let address = format!("http://127.0.0.1:{port}{slash}{path}");
        let uri = address
            .parse()
            .map_err(|e| format!("{address} is no address: {e}"))?;
        let answer = self.client.get(uri).await.map_err(|e| {
            let cause = std::error::Error::source(&e)
                .map(|c| format!(": {c}"))
                .unwrap_or_default();
            format!("GET {path} failed: {e}{cause}")
        })?;
        let status = answer.status();
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        Err(
            format!("GET {path} answered {}: {}", status.as_u16(), text.trim())
                .trim_end_matches(": ")
                .to_owned(),
        )
    }
}

fn name(probe: &Probe) -> String {
    match probe {
        Probe::Running => "the process".to_owned(),
        Probe::Http { path, .. } => format!("GET {path}"),
        Probe::Tcp { .. } => "the port".to_owned(),
        Probe::Exec { command } => command.join(" "),
        Probe::Log { .. } => "the output".to_owned(),
    }
}

fn port_of(subject: &Subject<'_>, name: &str) -> Result<u16, String> {
    let upper = name.to_ascii_uppercase();
    let port = subject
        .ports
        .get(&upper)
        .or_else(|| subject.ports.get(&format!("PORT_{upper}")));
    port.copied()
        .ok_or_else(|| format!("the instance has no port {name}"))
}

async fn exec(command: &[String], subject: &Subject<'_>) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("the probe has no command".to_owned());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(subject.dir)
        .env_clear()
        .envs(inherited(subject.inherited))
        .envs(subject.env);
    command.envs(
        subject
            .ports
            .iter()
            .map(|(name, port)| (name, port.to_string())),
    );
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command
        .output()
        .await
        .map_err(|e| format!("{program} cannot be started: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    let said = String::from_utf8_lossy(&said[..said.len().min(ANSWER_BYTES_MAX)]);
    Err(format!(
        "{program} ended with {}: {}",
        output.status,
        said.trim()
    ))
}
