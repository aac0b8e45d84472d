//! GitHub's packages, as far as they are images, and workflow runs.

use kork_model::inbound::EventKind;

use super::{Message, Read, Reading};
use crate::{build::Build, field, image::Image};

/// Where GitHub keeps images, for packages that come without their URL.
const IMAGES: &str = concat!("ghcr", ".io");

/// An image that was published. `package` and `registry_package` tell the same: its digest names it.
pub(super) fn package(message: &Message<'_>) -> Reading {
    let Some(package) = ["package", "registry_package"]
        .iter()
        .find_map(|name| message.body.get(name).filter(|value| value.is_object()))
    else {
        return Err(message.missing("/package"));
    };
    let kinds = ["/package_type", "/ecosystem", "/registry/type"];
    let is_container = kinds
        .iter()
        .filter_map(|at| field::text(package, at))
        .any(|kind| kind.eq_ignore_ascii_case("container"))
        || field::object(package, "/package_version/container_metadata").is_some();
    if !is_container {
        return Read::ignored("the package is no container image");
    }
    let tag = field::owned(package, "/package_version/container_metadata/tag/name");
    let digest = field::owned(package, "/package_version/container_metadata/tag/digest");
    let url = field::text(package, "/package_version/package_url")
        .and_then(|url| Image::parse(url.trim_end_matches(':')))
        .map(|image| Image {
            repository: image.repository.to_ascii_lowercase(),
            ..image
        });
    let named = || {
        let namespace = field::text(package, "/namespace")?;
        let name = field::text(package, "/name")?;
        Some(Image {
            host: Some(IMAGES.to_owned()),
            repository: format!("{namespace}/{name}").to_ascii_lowercase(),
            ..Image::default()
        })
    };
    let Some(image) = url.filter(|image| image.host.is_some()).or_else(named) else {
        return Err(message.missing("/package/package_version/package_url"));
    };
    let event = Image {
        tag,
        digest,
        ..image
    }
    .event(message);
    let Some(mut event) = event else {
        return Read::ignored("the image has no tag: it is one platform of an image that has one");
    };
    event.actor = message.text("/sender/login");
    event.url = field::owned(package, "/html_url");
    // Of packages that no workflow published a branch stands there.
    let is_hash = |text: &String| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    event.commit = field::owned(package, "/package_version/target_oid").filter(is_hash);
    Read::one(event)
}

/// A run of GitHub Actions. The job is `owner/name/<file of the workflow>`.
pub(super) fn workflow_run(message: &Message<'_>) -> Reading {
    let body = message.body;
    let repository = message.need("/repository/full_name")?;
    // Nobody asks for the runs of strangers' commits by name, as with pull requests.
    let head = body.pointer("/workflow_run/head_repository");
    if head.is_some_and(|head| field::text(head, "/full_name") != Some(repository)) {
        return Read::ignored("it is a run of a commit of a fork");
    }
    let workflow = field::text(body, "/workflow_run/path")
        .and_then(|path| path.split('@').next()?.rsplit('/').next())
        .or_else(|| field::text(body, "/workflow_run/name"))
        .ok_or_else(|| message.missing("/workflow_run/path"))?;
    let number = field::number(body, "/workflow_run/run_number")
        .ok_or_else(|| message.missing("/workflow_run/run_number"))?;
    let attempt = field::number(body, "/workflow_run/run_attempt").unwrap_or(1);
    let conclusion = field::text(body, "/workflow_run/conclusion");
    // Such a run goes on when a person lets it.
    let waits = conclusion == Some("action_required");
    let result = conclusion.filter(|_| !waits).map(|conclusion| {
        match conclusion {
            "success" => "SUCCESS",
            "cancelled" => "ABORTED",
            "skipped" | "neutral" | "stale" => "NOT_BUILT",
            _ => "FAILURE",
        }
        .to_owned()
    });
    let status = field::text(body, "/workflow_run/status");
    let building = status.map(|status| waits || status != "completed");
    let mut event = Build {
        master: message.controller().to_owned(),
        job: format!("{repository}/{workflow}"),
        number,
        result,
        building,
        url: message.text("/workflow_run/html_url"),
        repository: Some(repository.to_owned()),
        branch: message.text("/workflow_run/head_branch"),
        commit: message.text("/workflow_run/head_sha"),
        ..Build::default()
    }
    .event();
    debug_assert_eq!(event.kind, EventKind::Build);
    event.actor = message.text("/sender/login");
    event.action = message
        .text("/action")
        .map(|action| format!("workflow_run:{action}"));
    event.id = crate::name::bounded(format!(
        "githubActions:{}:{repository}/{workflow}:{number}.{attempt}",
        message.controller()
    ));
    Read::one(event)
}
