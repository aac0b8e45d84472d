//! The way back: an event as a `CDEvent` of specification 0.4.1, in the structured mode of `CloudEvents`.

use jiff::Timestamp as Moment;
use kork_model::{
    Context, InboundEvent,
    inbound::{EventKind, Verified},
};
use serde_json::{Value, json};

use crate::{field, git};

const SPEC: &str = "0.4.1";

/// Type, subject and content of the `CDEvent` that says what an event says.
struct Said {
    /// `pipelinerun.finished.0.2.0`.
    kind: &'static str,
    /// `pipelineRun`.
    subject: &'static str,
    id: String,
    content: Context,
}

/// The event as a `CDEvent`: builds as pipeline runs, pushes as changes and branches, images as published
/// artifacts, and anything else as `dev.cdeventsx.gennaker-webhook.received.0.1.0`. Bodies, artifacts and
/// parameters stay behind; `customData` has the id, the source and how sure it is who sent it.
pub fn cdevent(event: &InboundEvent) -> Value {
    let said = match event.kind {
        EventKind::Build => build(event),
        EventKind::Git => change(event),
        EventKind::Image => image(event),
        EventKind::Webhook | EventKind::Pubsub | EventKind::Cdevents | EventKind::Artifact => None,
    }
    .unwrap_or_else(|| received(event));
    let source = format!(
        "/gennaker/{}/{}",
        git::encode_segment(&event.sender),
        git::encode_segment(&event.source)
    );
    let kind = if said.subject == "gennaker-webhook" {
        format!("dev.cdeventsx.{}", said.kind)
    } else {
        format!("dev.cdevents.{}", said.kind)
    };
    // Phases of one build share its id; a CloudEvent has one of its own.
    let phase = event.trigger.get("phase").and_then(Value::as_str);
    let id = phase.map_or_else(|| event.id.clone(), |phase| format!("{}:{phase}", event.id));
    let time = time(event);
    json!({
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": kind,
        "subject": said.id,
        "time": time,
        "datacontenttype": "application/json",
        "data": {
            "context": {
                "version": SPEC,
                "id": id,
                "source": source,
                "type": kind,
                "timestamp": time,
            },
            "subject": {
                "id": said.id,
                "source": source,
                "type": said.subject,
                "content": said.content,
            },
            "customData": {
                "id": event.id,
                "sender": event.sender,
                "source": event.source,
                "verified": match event.verified {
                    Verified::Signed => "signed",
                    Verified::Fetched => "fetched",
                    Verified::No => "no",
                },
                "action": event.action,
            },
            "customDataContentType": "application/json",
        },
    })
}

/// RFC 3339, in UTC.
fn time(event: &InboundEvent) -> String {
    i64::try_from(event.received.millis())
        .ok()
        .and_then(|ms| Moment::from_millisecond(ms).ok())
        .unwrap_or(Moment::MAX)
        .to_string()
}

fn build(event: &InboundEvent) -> Option<Said> {
    let (job, number) = (event.job.as_deref()?, event.build_number?);
    let mut content = Context::new();
    field::put(&mut content, "pipelineName", Some(job));
    field::put(&mut content, "url", event.url.clone());
    let kind = if event.building == Some(false) {
        // As Jenkins' own plugin has it: what was broken off failed, what failed is an error.
        let outcome = match event.result.as_deref() {
            Some("SUCCESS" | "UNSTABLE") => "success",
            Some("ABORTED" | "NOT_BUILT") => "failure",
            _ => "error",
        };
        field::put(&mut content, "outcome", Some(outcome));
        "pipelinerun.finished.0.2.0"
    } else if event.trigger.get("phase").and_then(Value::as_str) == Some("QUEUED") {
        "pipelinerun.queued.0.2.0"
    } else {
        "pipelinerun.started.0.2.0"
    };
    Some(Said {
        kind,
        subject: "pipelineRun",
        id: format!("{}/{job}/{number}", event.source),
        content,
    })
}

/// A push to a branch is a merged change; a new branch is a branch; a pull request is a change that is
/// created, updated, merged or abandoned. Tags have no word of their own.
fn change(event: &InboundEvent) -> Option<Said> {
    let repository = event.repository.as_deref()?;
    let branch = event.branch.as_deref()?;
    let action = event.action.as_deref().unwrap_or_default();
    let number = event
        .trigger
        .get("properties")
        .and_then(|properties| field::text(properties, "/number"));
    let (group, verb) = action.split_once(':').unwrap_or((action, ""));
    let request = matches!(
        group,
        "pull_request" | "merge_request" | "pullrequest" | "pr"
    );
    let merged = event
        .trigger
        .get("properties")
        .and_then(|properties| field::text(properties, "/merged"))
        == Some("true");
    let kind = match verb {
        _ if group == "branch" => "branch.created.0.2.0",
        _ if !request => "change.merged.0.2.0",
        "merge" | "merged" | "fulfilled" => "change.merged.0.2.0",
        "closed" if merged => "change.merged.0.2.0",
        "opened" | "open" | "created" => "change.created.0.3.0",
        "closed" | "close" | "declined" | "deleted" | "rejected" => "change.abandoned.0.2.0",
        _ => "change.updated.0.2.0",
    };
    let mut content = Context::new();
    content.insert("repository".to_owned(), json!({"id": repository}));
    let (subject, id) = if group == "branch" {
        ("branch", branch.to_owned())
    } else {
        let id = number.or(event.commit.as_deref()).unwrap_or(branch);
        ("change", id.to_owned())
    };
    Some(Said {
        kind,
        subject,
        id,
        content,
    })
}

fn image(event: &InboundEvent) -> Option<Said> {
    let image = event.image.as_deref()?;
    let digest = event.digest.as_deref()?;
    let name = image.rsplit('/').next().unwrap_or(image);
    let mut id = format!(
        "pkg:oci/{}@{}?repository_url={}",
        git::encode_segment(name),
        git::encode_segment(digest),
        git::encode_path(image)
    );
    if let Some(tag) = &event.tag {
        id.push_str("&tag=");
        id.push_str(&git::encode_segment(tag));
    }
    Some(Said {
        kind: "artifact.published.0.2.0",
        subject: "artifact",
        id,
        content: Context::new(),
    })
}

fn received(event: &InboundEvent) -> Said {
    let mut content = Context::new();
    field::put(&mut content, "repository", event.repository.clone());
    field::put(&mut content, "branch", event.branch.clone());
    field::put(&mut content, "tag", event.tag.clone());
    field::put(&mut content, "commit", event.commit.clone());
    field::put(&mut content, "image", event.image.clone());
    Said {
        kind: "gennaker-webhook.received.0.1.0",
        subject: "gennaker-webhook",
        id: event.id.clone(),
        content,
    }
}
