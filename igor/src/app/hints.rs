//! Events that are not believed as they come: builds are read from their controllers, images get their digests.

use igor_ci::{JobPath, config::Kind as CiKind};
use igor_inbound::without_claims;
use kork_model::{
    InboundEvent,
    inbound::{EventKind, Verified},
};
use serde_json::Value;

use super::{Igor, accounts::Accounts};

/// How long a build that is not final waits for the word that it is.
const FINAL_WAIT_MS: u64 = 60_000;

/// What may be done with an event that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It is read from the controller first, whoever sent it.
    LookedUp,
    /// It counts as far as its sender is believed.
    AsSent,
    /// It speaks for a CI server that is configured here and is not asked about it: nobody may without a proof.
    ToBeProved,
}

/// The CI server that a build is said to have run on.
pub(crate) fn master(event: &InboundEvent) -> &str {
    let said = event.trigger.get("master").and_then(Value::as_str);
    said.unwrap_or(&event.source)
}

impl Igor {
    /// What has to be learnt about an event before it starts anything. `verified` is what its sender proved.
    pub(crate) fn to_be_completed(&self, event: &mut InboundEvent, verified: Verified) -> Trust {
        let accounts = self.accounts.now();
        if event.kind == EventKind::Build {
            return build(event, verified, &accounts);
        }
        if let Some(id) = self.polls.id_of_push(event) {
            event.id = id;
        }
        let lacks_digest = event.image.is_some() && event.tag.is_some() && event.digest.is_none();
        if lacks_digest {
            let image = event.image.as_deref().unwrap_or_default();
            event.incomplete |= self.polls.registry(image).is_some();
        }
        Trust::AsSent
    }
}

/// A build that may have ended is a hint, whatever its messenger says of it and by whatever path: it gets the name
/// that everybody gives to it, and what it is comes from its controller. One that runs starts nothing.
fn build(event: &mut InboundEvent, verified: Verified, accounts: &Accounts) -> Trust {
    let Some(controller) = accounts.controller(master(event)) else {
        event.verified = verified;
        return Trust::AsSent;
    };
    match controller.kind {
        CiKind::Jenkins => {}
        CiKind::Gitlab | CiKind::GithubActions => {
            // Triggers may want a property file.
            event.incomplete |= event.building != Some(true);
            return Trust::ToBeProved;
        }
        CiKind::Generic => return Trust::ToBeProved,
    }
    event.verified = Verified::No;
    if verified == Verified::No {
        without_claims(event);
    }
    let job = event
        .job
        .as_deref()
        .and_then(|job| JobPath::parse(job).ok());
    if let (Some(job), Some(number)) = (job, event.build_number) {
        event.id = format!("jenkins:{}:{job}:{number}", controller.name);
    }
    if event.building != Some(true) {
        event.incomplete = true;
        if event.trigger.get("phase").and_then(Value::as_str) == Some("COMPLETED") {
            event.not_before = Some(event.received.plus_ms(FINAL_WAIT_MS));
        }
    }
    Trust::LookedUp
}
