//! Spinnaker's own events over HTTP: builds and images as igor told echo about them.

use kork_model::inbound::InboundEvent;
use serde_json::Value;

use super::{Message, Read, Reading, plain};
use crate::{build::Build, field, image::Image};

/// `{"project":{"name":…,"lastBuild":{"building":…,"number":…,"result":…,"url":…}},"master":…}`. The job is
/// written with `/job/` between folders.
pub(crate) fn build(message: &Message<'_>) -> Reading {
    let body = message.body;
    let master = message.need("/master")?;
    let name = message.need("/project/name")?;
    let number = field::number(body, "/project/lastBuild/number")
        .ok_or_else(|| message.missing("/project/lastBuild/number"))?;
    let job = name.replace("/job/", "/");
    let result = message
        .text("/project/lastBuild/result")
        .filter(|result| result != "BUILDING");
    let mut event = Build {
        master: master.to_owned(),
        job: job.clone(),
        number,
        result,
        building: field::flag(body, "/project/lastBuild/building"),
        url: message.text("/project/lastBuild/url"),
        ..Build::default()
    }
    .event();
    event.id = crate::name::bounded(format!("jenkins:{master}:{job}:{number}"));
    event.trigger.insert("job".to_owned(), name.into());
    if let Some(build) = field::object(body, "/project/lastBuild") {
        let build = Value::Object(build.clone());
        event.trigger.insert("buildInfo".to_owned(), build);
    }
    given(message, &mut event);
    Read::one(event)
}

/// `{"account":…,"registry":…,"repository":…,"tag":…,"digest":…}`.
pub(crate) fn docker(message: &Message<'_>) -> Reading {
    let event = Image {
        host: message.text("/registry"),
        repository: message.need("/repository")?.to_owned(),
        tag: message.text("/tag"),
        digest: message.text("/digest"),
    }
    .event(message);
    let Some(mut event) = event else {
        return Read::ignored("the image has no tag, or a tag that no registry allows");
    };
    let configured = message.source.and_then(|source| source.account.as_ref());
    if let Some(account) = message.text("/account").filter(|_| configured.is_none()) {
        event.trigger.insert("account".to_owned(), account.into());
    }
    given(message, &mut event);
    Read::one(event)
}

/// What any body may bring along.
fn given(message: &Message<'_>, event: &mut InboundEvent) {
    event.parameters = plain::parameters(message.body);
    let artifacts = plain::given_artifacts(message.body);
    if !artifacts.is_empty() {
        event.artifacts = artifacts;
    }
}
