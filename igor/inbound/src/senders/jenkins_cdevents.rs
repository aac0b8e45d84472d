//! `CDEvents` plugin of Jenkins: runs of pipelines and of their stages.

use serde_json::Value;

use super::{Message, Read, Reading, cdevents, cloudevents::CloudEvent, jenkins::Told};
use crate::field;

/// A pipeline run is a build. A task run is a stage of one and starts nothing.
pub(super) fn read(message: &Message<'_>, data: &Value, envelope: Option<&CloudEvent>) -> Reading {
    let kind = field::text(data, "/context/type")
        .and_then(cdevents::what)
        .unwrap_or_default();
    let phase = match kind.as_str() {
        "pipelinerun.queued" => "QUEUED",
        "pipelinerun.started" => "STARTED",
        // The plugin tells it when the result is known; whether the log is closed it does not say.
        "pipelinerun.finished" => "COMPLETED",
        other if other.starts_with("taskrun.") => {
            return Read::ignored("a stage of a build is no build");
        }
        other => {
            let other: String = other.chars().take(64).collect();
            return Read::ignored(format!("`{other}` is about no build"));
        }
    };
    let url = field::first_text(
        data,
        &[
            "/subject/content/uri",
            "/subject/content/url",
            "/subject/id",
        ],
    );
    // The plugin makes ABORTED and NOT_BUILT a failure and FAILURE an error: the build itself says which.
    let result = field::text(data, "/subject/content/outcome").map(|outcome| match outcome {
        "success" => "SUCCESS",
        _ => "FAILURE",
    });
    let told = Told {
        url: url.unwrap_or_default().to_owned(),
        place: "data.subject.content.uri",
        phase: phase.to_owned(),
        result: result.map(str::to_owned),
        delivery: envelope
            .map(CloudEvent::delivery)
            .or_else(|| field::owned(data, "/context/id")),
        ..Told::default()
    };
    Read::one(told.event(message)?)
}
