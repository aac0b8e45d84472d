//! Plugins of Jenkins that tell of builds: Notification, Outbound Webhook, `CloudEvents`, Generic Event.

use serde_json::Value;

use super::{
    Message, Read, Reading,
    cloudevents::CloudEvent,
    jenkins::{Told, with_scm},
};
use crate::field;

/// Notification plugin: `{"name":…,"url":…,"build":{"full_url":…,"number":…,"phase":…,"status":…,"scm":{…}}}`.
pub(super) fn notification(message: &Message<'_>) -> Reading {
    let body = message.body;
    let url = field::first_text(body, &["/build/full_url", "/build/url", "/url"]);
    let told = Told {
        url: url
            .ok_or_else(|| message.missing("/build/full_url"))?
            .to_owned(),
        place: "body.build.full_url",
        number: field::number(body, "/build/number"),
        phase: message.need("/build/phase")?.to_owned(),
        result: message.text("/build/status"),
        ..Told::default()
    };
    let scm = body.pointer("/build/scm").unwrap_or(&Value::Null);
    Read::one(with_scm(told, scm).event(message)?)
}

/// Outbound Webhook plugin: `{"buildUrl":…,"event":"start"|"success"|"failure"|"unstable",…}`.
pub(super) fn outbound_webhook(message: &Message<'_>) -> Reading {
    let (phase, result) = match message.need("/event")? {
        "start" => ("STARTED", None),
        // Whatever else ended it: the build is fetched, and says how.
        result => ("COMPLETED", Some(result.to_owned())),
    };
    let told = Told {
        url: message.need("/buildUrl")?.to_owned(),
        place: "body.buildUrl",
        phase: phase.to_owned(),
        result,
        ..Told::default()
    };
    Read::one(told.event(message)?)
}

/// `CloudEvents` plugin: `org.jenkinsci.job.started` and so on, with the fields of a build in camel case.
pub(super) fn cloud_event(message: &Message<'_>, event: &CloudEvent) -> Reading {
    let data = &event.data;
    let kind = event.attribute("type");
    let Some(phase) = kind.strip_prefix("org.jenkinsci.job.") else {
        let kind: String = kind.chars().take(64).collect();
        return Read::ignored(format!("`{kind}` is about no build"));
    };
    let Some(url) = field::first_text(data, &["/build/fullUrl", "/build/url"]) else {
        return Read::ignored("it is about a job and about no build");
    };
    let told = Told {
        url: url.to_owned(),
        place: "data.build.fullUrl",
        number: field::number(data, "/build/number"),
        phase: field::text(data, "/build/phase")
            .unwrap_or(phase)
            .to_owned(),
        result: field::owned(data, "/build/status"),
        delivery: Some(event.delivery()),
        ..Told::default()
    };
    let scm = data.pointer("/build/scmState").unwrap_or(&Value::Null);
    Read::one(with_scm(told, scm).event(message)?)
}

/// Generic Event plugin: `{"type":"run.finalized","source":"job/a/","data":{"run":{"number":…}}}`; runs of
/// other kinds of jobs have the fields of the run in `data` itself.
pub(super) fn generic_event(message: &Message<'_>) -> Reading {
    let body = message.body;
    let phase = match message.need("/type")? {
        "run.started" => "STARTED",
        "run.completed" => "COMPLETED",
        "run.finalized" => "FINALIZED",
        other => {
            let other: String = other.chars().take(64).collect();
            return Read::ignored(format!("`{other}` is about no build that runs or ended"));
        }
    };
    let run = if field::object(body, "/data/run").is_some() {
        "/data/run"
    } else {
        "/data"
    };
    let told = Told {
        url: message.need("/source")?.to_owned(),
        place: "body.source",
        number: field::number(body, &format!("{run}/number")),
        phase: phase.to_owned(),
        result: field::owned(body, &format!("{run}/result")),
        delivery: message.text("/id"),
        ..Told::default()
    };
    Read::one(told.event(message)?)
}
