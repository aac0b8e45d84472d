//! How every part of the suite looks from here: what `gennaker doctor` shows.
//!
//! In one process the parts are those of the process. In a cluster each service is asked over the bus,
//! and each tells how the servers behind it look.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use kork::{
    ports::RpcError,
    service::{HealthReport, Look, Seen},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    http::{
        answer::{Answer, Outcome},
        call::Call,
        route::{Route, Verb, run},
    },
    server::Gate,
};

/// Services besides gate.
const SERVICES: [&str; 5] = ["orca", "clouddriver", "front50", "igor", "deck-api"];
/// How long a service may take to say how it is.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Slower answers are worth a word.
const SLOW_MS: u64 = 500;

pub(crate) const ROUTES: &[Route] = &[Route::new(
    Verb::Get,
    "/health/parts",
    "healthParts",
    run!(parts),
)
.about(
    "gate",
    "Every service and server behind this gate: ok, warning or missing, how long it took to answer, \
     and what to do.",
)
.json("Object[]")];

/// One service or server.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    part: String,
    #[serde(flatten)]
    seen: Seen,
}

/// What another service says of itself.
#[derive(Default, Deserialize)]
struct Told {
    parts: BTreeMap<String, String>,
    #[serde(default)]
    servers: BTreeMap<String, Seen>,
}

async fn parts(call: Call) -> Outcome {
    let gate = &call.gate;
    let own = gate.chassis.health.report();
    if own.servers.is_empty() {
        return Answer::json(&of_process(&own));
    }
    let asked = join_all(SERVICES.map(|service| ask(gate, service))).await;
    let mut servers = own.servers.clone();
    let mut findings = vec![finding("gate", of_parts(&own.parts, None))];
    for (service, seen, told) in asked {
        findings.push(finding(service, seen));
        for (server, seen) in told.servers {
            worse(&mut servers, server, seen, service);
        }
    }
    let servers = servers.into_iter();
    findings.extend(servers.map(|(server, seen)| finding(&server, seen)));
    Answer::json(&findings)
}

fn finding(part: &str, seen: Seen) -> Finding {
    Finding {
        part: part.to_owned(),
        seen,
    }
}

fn of_process(own: &HealthReport) -> Vec<Finding> {
    let parts = own.parts.iter();
    let one = |(name, text): (&String, &String)| {
        let alone = BTreeMap::from([(name.clone(), text.clone())]);
        finding(name, of_parts(&alone, None))
    };
    parts.map(one).collect()
}

async fn ask(gate: &Gate, service: &'static str) -> (&'static str, Seen, Told) {
    let began = Instant::now();
    let asked = gate
        .ports
        .rpc
        .call(service, "health", Bytes::new(), ANSWER_MAX);
    let answer = asked.await;
    let took_ms = began.elapsed().as_millis() as u64;
    match answer {
        Ok(body) => {
            let told: Told = serde_json::from_slice(&body).unwrap_or_default();
            (service, of_parts(&told.parts, Some(took_ms)), told)
        }
        Err(error) => (service, absent(service, &error), Told::default()),
    }
}

/// Parts that are not up, in words.
fn of_parts(parts: &BTreeMap<String, String>, took_ms: Option<u64>) -> Seen {
    let slow = took_ms.filter(|ms| *ms > SLOW_MS);
    let down: Vec<String> = parts
        .iter()
        .filter(|(_, text)| !text.starts_with("UP"))
        .map(|(name, text)| format!("{name}: {text}"))
        .collect();
    let notes: Vec<String> = parts
        .iter()
        .filter_map(|(name, text)| Some(format!("{name}: {}", text.strip_prefix("UP, ")?)))
        .collect();
    let (state, detail, next) = if !down.is_empty() {
        let next = "it waits for what is named, or look at its log";
        (Look::Missing, down.join("; "), Some(next.to_owned()))
    } else if let Some(ms) = slow {
        let next = "look at the load of its machine, or start another instance";
        let detail = format!("slow: it took {ms} ms to answer");
        (Look::Warning, detail, Some(next.to_owned()))
    } else if notes.is_empty() {
        (Look::Ok, "every part works".to_owned(), None)
    } else {
        (Look::Ok, notes.join("; "), None)
    };
    Seen {
        state,
        detail,
        next,
        took_ms,
    }
}

fn absent(service: &str, error: &RpcError) -> Seen {
    let next = match error {
        RpcError::NoResponder { .. } => {
            format!("start {service}; when it runs, its log says what it waits for")
        }
        RpcError::Timeout { .. } => format!(
            "an instance of {service} runs and says nothing: it is stopped, overloaded or cut off; look at \
             its log, start it again"
        ),
        RpcError::Unavailable { .. } | RpcError::Problem(_) | RpcError::TooLarge { .. } => {
            "nobody can be asked while the bus is away: see nats".to_owned()
        }
    };
    Seen {
        state: Look::Missing,
        detail: error.to_string(),
        next: Some(next),
        took_ms: None,
    }
}

/// What looks worse from another service counts, with its name.
fn worse(servers: &mut BTreeMap<String, Seen>, server: String, seen: Seen, from: &str) {
    let known = servers.get(&server).map(|known| known.state);
    if known.is_none_or(|known| seen.state > known) {
        let detail = format!("{} (seen from {from})", seen.detail);
        servers.insert(server, Seen { detail, ..seen });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = of.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        owned.collect()
    }

    #[test]
    fn a_part_that_is_down_is_named_and_a_slow_answer_is_told() {
        let down = of_parts(
            &parts(&[("orca.recovery", "starting"), ("x", "UP")]),
            Some(3),
        );
        assert_eq!(down.state, Look::Missing);
        assert_eq!(down.detail, "orca.recovery: starting");
        let slow = of_parts(&parts(&[("x", "UP")]), Some(900));
        assert_eq!(slow.state, Look::Warning);
        assert!(slow.detail.contains("900 ms"), "{slow:?}");
        let noted = of_parts(&parts(&[("clouddriver.local", "UP, stands by")]), Some(3));
        assert_eq!((noted.state, noted.next), (Look::Ok, None));
        assert_eq!(noted.detail, "clouddriver.local: stands by");
    }

    #[test]
    fn what_looks_worse_from_elsewhere_counts() {
        let seen = |state, detail: &str| Seen {
            state,
            detail: detail.to_owned(),
            next: None,
            took_ms: None,
        };
        let mut servers = BTreeMap::from([("redis".to_owned(), seen(Look::Ok, "fine"))]);
        worse(
            &mut servers,
            "redis".to_owned(),
            seen(Look::Missing, "gone"),
            "orca",
        );
        worse(
            &mut servers,
            "redis".to_owned(),
            seen(Look::Warning, "slow"),
            "igor",
        );
        assert_eq!(servers["redis"].detail, "gone (seen from orca)");
    }
}
