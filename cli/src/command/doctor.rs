//! `gennaker doctor`: asks each part behind a gate for a sign of life, and says what to do. The words
//! about services and servers are gate's own (`/health/parts`).

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
    part: String,
    ok: bool,
    /// `ok`, `warning` or `missing`.
    state: String,
    /// What is there, or why it is not.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// How long it took to answer.
    #[serde(rename = "tookMs", skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
}

impl Finding {
    fn ok(part: &str, detail: String) -> Self {
        Self {
            part: part.to_owned(),
            ok: true,
            state: "ok".to_owned(),
            detail,
            next: None,
            took_ms: None,
        }
    }
}

/// A request that only one service can answer.
struct Probe {
    part: &'static str,
    path: &'static [&'static str],
    /// What a good answer says.
    tell: fn(&Value) -> String,
    /// What to do when the service does not answer.
    next: &'static str,
    /// Who answers.
    service: &'static str,
}

const PROBES: [Probe; 4] = [
    Probe {
        part: "front50",
        service: "front50",
        path: &["applications"],
        tell: |all| format!("applications: {}", items(all).len()),
        next: "look for front50 in the log of the suite; its store may be unreadable",
    },
    Probe {
        part: "orca",
        service: "orca",
        path: &["stages"],
        tell: |all| format!("stage types: {}", items(all).len()),
        next: "look for orca in the log of the suite; it may still be reading executions",
    },
    Probe {
        part: "clouddriver",
        service: "clouddriver",
        path: &["credentials"],
        tell: accounts,
        next: "look for clouddriver in the log of the suite",
    },
    Probe {
        part: "proxy",
        service: "clouddriver",
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
    let other = (version != own)
        .then(|| format!("this command is version {own}; use the one of the suite"));
    let mut findings = vec![Finding {
        next: other,
        ..Finding::ok("gate", format!("version {version} at {}", client.base()))
    }];
    findings.push(health(client).await);
    findings.extend(parts(client).await);
    let is_missing = |part: &str| findings.iter().any(|f| !f.ok && f.part == part);
    // Who is known to be away is not asked again, and waited for.
    let asked: Vec<&Probe> = PROBES
        .iter()
        .filter(|probe| !is_missing(probe.service))
        .collect();
    let has_driver = !is_missing("clouddriver");
    for probe in asked {
        findings.push(match client.list(probe.path, &[]).await {
            Ok(answer) => Finding::ok(probe.part, (probe.tell)(&answer)),
            Err(failure) => missing(probe.part, &failure, probe.next),
        });
    }
    if has_driver {
        findings.push(local_account(client).await);
    }
    out.data(&findings, |paint| table(&findings, paint));
    if findings.iter().all(|f| f.ok) {
        return Ok(Exit::Success);
    }
    Ok(Exit::Unreachable)
}

/// What gate says of each service and server. One that does not know the question says nothing.
async fn parts(client: &Client) -> Vec<Finding> {
    let told = client.list(&["health", "parts"], &[]).await;
    let told = told.unwrap_or_default();
    let one = |told: &Value| Finding {
        part: member(told, "part"),
        ok: member(told, "state") != "missing",
        state: member(told, "state"),
        detail: member(told, "detail"),
        next: Some(member(told, "next")).filter(|next| !next.is_empty()),
        took_ms: told.get("tookMs").and_then(Value::as_u64),
    };
    items(&told).iter().map(one).collect()
}

async fn health(client: &Client) -> Finding {
    match client.object(&["health"], &[]).await {
        Ok(answer) if member(&answer, "status") == "UP" => Finding::ok("health", "UP".to_owned()),
        Ok(answer) => Finding {
            ok: false,
            state: "missing".to_owned(),
            ..Finding::ok("health", member(&answer, "status"))
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
            ok: false,
            state: "missing".to_owned(),
            next: Some("add one to the section `clouddriver` of the configuration".to_owned()),
            ..Finding::ok(part, "there is no account to deploy to".to_owned())
        },
        Ok(all) => Finding::ok(part, accounts(&all)),
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
        ok: false,
        state: "missing".to_owned(),
        next: Some(next.to_owned()),
        ..Finding::ok(part, detail)
    }
}

fn table(findings: &[Finding], paint: Paint) -> String {
    let mut table = Table::new(&["PART", "STATE", "TIME", "DETAIL"], "");
    for finding in findings {
        let tone = match finding.state.as_str() {
            "ok" => Tone::Good,
            "warning" => Tone::Warn,
            _ => Tone::Bad,
        };
        let state = paint.tone(tone, &finding.state);
        let time = finding.took_ms.map(|ms| format!("{ms} ms"));
        table.row([
            finding.part.clone(),
            state,
            time.unwrap_or_default(),
            finding.detail.clone(),
        ]);
    }
    // Not cut: a cause that is not shown helps nobody.
    let mut text = table.render(paint, None);
    for finding in findings {
        if let Some(next) = &finding.next {
            text.push_str("\n\n");
            text.push_str(&paint.tone(Tone::Warn, &finding.part));
            text.push_str(": ");
            text.push_str(next);
        }
    }
    text
}
