//! Pipelines of GitLab CI.

use super::{Message, Read, Reading};
use crate::{build::Build, field};

/// The job is the whole path of the project, the number the pipeline's id, which is unique per instance.
pub(super) fn pipeline(message: &Message<'_>) -> Reading {
    let body = message.body;
    let job = message.need("/project/path_with_namespace")?;
    // It is a part of the pipeline that started it, which has an event of its own.
    if field::text(body, "/object_attributes/source") == Some("parent_pipeline") {
        return Read::ignored("it is a child of another pipeline");
    }
    // Nobody asks for the pipelines of strangers' commits by name, as with merge requests.
    let project = |side: &str| field::number(body, &format!("/merge_request/{side}_project_id"));
    if project("source") != project("target") {
        return Read::ignored("it is a pipeline of a commit of a fork");
    }
    let number = field::number(body, "/object_attributes/id")
        .ok_or_else(|| message.missing("/object_attributes/id"))?;
    let result = match message.need("/object_attributes/status")? {
        "success" => Some("SUCCESS"),
        "failed" => Some("FAILURE"),
        "canceled" => Some("ABORTED"),
        "skipped" => Some("NOT_BUILT"),
        _ => None,
    };
    let reference = message.text("/object_attributes/ref");
    let (branch, tag) = match field::flag(body, "/object_attributes/tag") {
        Some(true) => (None, reference),
        _ => (reference, None),
    };
    let mut event = Build {
        master: message.controller().to_owned(),
        job: job.to_owned(),
        number,
        result: result.map(str::to_owned),
        building: Some(result.is_none()),
        url: message.text("/object_attributes/url"),
        repository: Some(job.to_owned()),
        branch,
        tag,
        commit: message.text("/object_attributes/sha"),
        ..Build::default()
    }
    .event();
    event.actor = message.text("/user/username");
    event.action = Some("pipeline".to_owned());
    event.id = crate::name::bounded(format!("gitlab-ci:{}:{job}:{number}", message.controller()));
    Read::one(event)
}
