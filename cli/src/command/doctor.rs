//! `gennaker doctor`: asks each part behind a gate for a sign of life, and says what to do.

use serde::Serialize;
use serde_json::Value;

use super::items;
use crate::{
    client::{Client, Failure},
    exit::Exit,
    output::{Out, Paint, Table, Tone, member},
};

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    part: &'static str,
    ok: bool,
    /// What is there, or why it is not.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A request that only one service can answer.
struct Probe {
    part: &'static str,
    path: &'static [&'static str],
    /// What a good answer says.
    tell: fn(&Value) -> String,
    /// What to do when the service does not answer.
    next: &'static str,
}

const PROBES: [Probe; 4] = [
    Probe {
        part: "front50",
        path: &["applications"],
        tell: |all| format!("applications: {}", items(all).len()),
        next: "look for front50 in the log of the suite; its store may be unreadable",
    },
    Probe {
        part: "orca",
        path: &["stages"],
        tell: |all| format!("stage types: {}", items(all).len()),
        next: "look for orca in the log of the suite; it may still be reading executions",
    },
    Probe {
        part: "clouddriver",
        path: &["credentials"],
        tell: accounts,
        next: "look for clouddriver in the log of the suite",
    },
    Probe {
        part: "proxy",
        path: &["loadBalancers"],
        tell: |all| format!("load balancers: {}", items(all).len()),
        next: "look for proxy in the log of the suite",
    },
];

pub(super) async fn run(client: &Client, out: &Out) -> Result<Exit, Failure> {
    // Nothing else can be checked when gate itself is not there.
    let version = client.object(&["version"], &[]).await?;
    let version = member(&version, "version");
    let own = env!("CARGO_PKG_VERSION");
    let mut findings = vec![Finding {
        part: "gate",
        ok: true,
        detail: format!("version {version} at {}", client.base()),
        next: (version != own)
            .then(|| format!("this command is version {own}; use the one of the suite")),
    }];
    findings.push(health(client).await);
    for probe in PROBES {
        findings.push(match client.list(probe.path, &[]).await {
            Ok(answer) => Finding {
                part: probe.part,
                ok: true,
                detail: (probe.tell)(&answer),
                next: None,
            },
            Err(failure) => missing(probe.part, &failure, probe.next),
        });
    }
    findings.push(local_account(client).await);
    out.data(&findings, |paint| table(&findings, paint));
    if findings.iter().all(|f| f.ok) {
        return Ok(Exit::Success);
    }
    Ok(Exit::Unreachable)
}

async fn health(client: &Client) -> Finding {
    match client.object(&["health"], &[]).await {
        Ok(answer) => Finding {
            part: "health",
            ok: member(&answer, "status") == "UP",
            detail: member(&answer, "status"),
            next: None,
        },
        Err(failure) => missing(
            "health",
            &failure,
            "a part is starting or broken: read /health/ready on the health port that `gennaker up` tells",
        ),
    }
}

async fn local_account(client: &Client) -> Finding {
    let part = "account";
    match client.list(&["credentials"], &[]).await {
        Ok(all) if items(&all).is_empty() => Finding {
            part,
            ok: false,
            detail: "there is no account to deploy to".to_owned(),
            next: Some("add one to the section `clouddriver` of the configuration".to_owned()),
        },
        Ok(all) => Finding {
            part,
            ok: true,
            detail: accounts(&all),
            next: None,
        },
        Err(failure) => missing(part, &failure, "see clouddriver"),
    }
}

fn accounts(all: &Value) -> String {
    let names: Vec<String> = items(all)
        .iter()
        .map(|account| {
            let provider = ["cloudProvider", "type"].map(|key| member(account, key));
            let provider = provider
                .into_iter()
                .find(|p| !p.is_empty())
                .unwrap_or_default();
            format!("{} ({provider})", member(account, "name"))
        })
        .collect();
    format!("accounts: {}", names.join(", "))
}

fn missing(part: &'static str, failure: &Failure, next: &str) -> Finding {
    let told = failure.told();
    let mut detail = told.detail;
    for cause in told.causes {
        detail.push_str(": ");
        detail.push_str(&cause);
    }
    Finding {
        part,
        ok: false,
        detail,
        next: Some(next.to_owned()),
    }
}

fn table(findings: &[Finding], paint: Paint) -> String {
    let mut table = Table::new(&["PART", "STATE", "DETAIL"], "");
    for finding in findings {
        let state = if finding.ok {
            paint.tone(Tone::Good, "ok")
        } else {
            paint.tone(Tone::Bad, "missing")
        };
        table.row([finding.part.to_owned(), state, finding.detail.clone()]);
    }
    // Not cut: a cause that is not shown helps nobody.
    let mut text = table.render(paint, None);
    for finding in findings {
        if let Some(next) = &finding.next {
            text.push_str("\n\n");
            text.push_str(&paint.tone(Tone::Warn, finding.part));
            text.push_str(": ");
            text.push_str(next);
        }
    }
    text
}
