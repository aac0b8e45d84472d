//! `CDEvents` plugin of Jenkins: runs of pipelines and of their stages, as the plugin sends them and as its
//! documentation shows them.

use serde_json::Value;

use super::{
    Message, Read, Reading, cdevents,
    cloudevents::CloudEvent,
    jenkins::{Told, with_scm},
};
use crate::{build::Location, field};

/// Where the plugin writes which build it is; only of a start it has the URL where the specification has it.
const URLS: [&str; 7] = [
    "/subject/content/uri",
    "/subject/content/url",
    "/customData/build/fullUrl",
    "/build/fullUrl",
    "/context/source",
    "/customData/build/url",
    "/build/url",
];

/// A pipeline run is a build. A task run is a stage of one and starts nothing.
pub(super) fn read(message: &Message<'_>, data: &Value, envelope: Option<&CloudEvent>) -> Reading {
    let attribute = |name| {
        let text = envelope.map(|envelope| envelope.attribute(name));
        text.filter(|text| !text.is_empty())
    };
    let kind = field::text(data, "/context/type").or_else(|| attribute("type"));
    let kind = kind.and_then(cdevents::what).unwrap_or_default();
    let phase = match kind.as_str() {
        "pipelinerun.started" => "STARTED",
        // The plugin tells it when the result is known; whether the log is closed it does not say.
        "pipelinerun.finished" => "COMPLETED",
        "pipelinerun.queued" => {
            return Read::ignored("what waits in the queue has no build number yet");
        }
        other if other.starts_with("taskrun.") => {
            return Read::ignored("a stage of a build is no build");
        }
        other => {
            let other: String = other.chars().take(64).collect();
            return Read::ignored(format!("`{other}` is about no build"));
        }
    };
    let build = ["/customData/build", "/build"]
        .iter()
        .find_map(|at| data.pointer(at).filter(|build| build.is_object()))
        .unwrap_or(&Value::Null);
    let number = field::number(build, "/number").or_else(|| field::number(data, "/subject/id"));
    let urls = URLS.iter().filter_map(|at| field::text(data, at));
    let url = urls
        .chain(["url", "source"].into_iter().filter_map(attribute))
        .find(|url| Location::parse(url).is_some_and(|at| at.number.or(number).is_some()));
    let told = Told {
        url: url.unwrap_or_default().to_owned(),
        place: "data.subject.content.uri",
        number,
        phase: phase.to_owned(),
        result: result(data, build, attribute("outcome")),
        delivery: envelope
            .map(CloudEvent::delivery)
            .or_else(|| field::owned(data, "/context/id")),
        ..Told::default()
    };
    let scm = build.pointer("/scmState").unwrap_or(&Value::Null);
    Read::one(with_scm(told, scm).event(message)?)
}

/// The plugin makes `ABORTED` and `NOT_BUILT` a failure and `FAILURE` an error: the build itself says which, where it
/// is told.
fn result(data: &Value, build: &Value, outcome: Option<&str>) -> Option<String> {
    let outcome = || {
        let outcome = field::text(data, "/subject/content/outcome").or(outcome)?;
        Some(match outcome {
            "success" => "SUCCESS",
            _ => "FAILURE",
        })
    };
    let result = field::text(build, "/status").or_else(outcome);
    result.map(str::to_owned)
}
