//! What health shows of the CI servers: one that does not answer leaves igor ready, and is named.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use igor_ci::breaker::BreakerState;
use kork::service::{Health, Look, Seen};

use super::Igor;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Shows the CI servers in health, until it is dropped.
pub(crate) async fn show(igor: Arc<Igor>, health: Health) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    loop {
        let mut now: BTreeMap<String, Seen> = igor
            .ci_troubles()
            .into_iter()
            .map(|(name, trouble)| (format!("controller {name}"), seen(trouble)))
            .collect();
        for gone in known.iter().filter(|name| !now.contains_key(name.as_str())) {
            let detail = "it is not in the accounts any more".to_owned();
            health.server(gone, look(Look::Ok, detail));
        }
        known = now.keys().cloned().collect();
        while let Some((name, seen)) = now.pop_first() {
            health.server(&name, seen);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn seen(trouble: Option<String>) -> Seen {
    match trouble {
        None => look(Look::Ok, "it answers".to_owned()),
        Some(trouble) => Seen {
            next: Some("gennaker delivery sources shows more".to_owned()),
            ..look(Look::Missing, trouble)
        },
    }
}

const fn look(state: Look, detail: String) -> Seen {
    Seen {
        state,
        detail,
        next: None,
        took_ms: None,
    }
}

impl Igor {
    /// The CI servers, each with why it is left alone.
    fn ci_troubles(&self) -> Vec<(String, Option<String>)> {
        let accounts = self.accounts.now();
        let row = |controller: &igor_ci::Controller| {
            let trouble = match self.circuit(controller) {
                Ok(state) => trouble(state),
                Err(problem) => Some(problem.message()),
            };
            (controller.name.clone(), trouble)
        };
        accounts.ci_servers().map(row).collect()
    }
}

/// Why calls to a server do not go out.
pub(crate) fn trouble(state: BreakerState) -> Option<String> {
    match state {
        BreakerState::Closed { .. } => None,
        BreakerState::Open { .. } | BreakerState::Trying { .. } => {
            Some("it did not answer; it is tried again from time to time".to_owned())
        }
    }
}
