//! Artifactory of `JFrog`: images, and files of its repositories.

use kork_model::inbound::{EventKind, InboundEvent};
use serde_json::{Value, json};

use super::{Message, Read, Reading};
use crate::{field, git, image::Image};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let (domain, event) = (message.need("/domain")?, message.need("/event_type")?);
    match (domain, event) {
        ("docker", "pushed") => image(message),
        ("artifact", "deployed") => file(message),
        _ => {
            let named: String = format!("{domain}:{event}").chars().take(64).collect();
            Read::ignored(format!("no trigger is about the event `{named}`"))
        }
    }
}

/// The path of an image starts with the repository's key.
fn image(message: &Message<'_>) -> Reading {
    let host = field::text(message.body, "/jpd_origin")
        .and_then(|origin| url::Url::parse(origin).ok())
        .and_then(|origin| {
            let host = origin.host_str()?;
            Some(match origin.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            })
        });
    let (key, name) = (
        message.need("/data/repo_key")?,
        message.need("/data/image_name")?,
    );
    let event = Image {
        host,
        repository: format!("{key}/{name}"),
        tag: message.text("/data/tag"),
        digest: message.text("/data/sha256"),
    }
    .event(message);
    match event {
        Some(event) => Read::one(event),
        None => Read::ignored("the image has no tag"),
    }
}

fn file(message: &Message<'_>) -> Reading {
    let (key, path) = (message.need("/data/repo_key")?, message.need("/data/path")?);
    let mut event = InboundEvent {
        kind: EventKind::Artifact,
        action: Some("artifact:deployed".to_owned()),
        repository: Some(key.to_owned()),
        artifacts: vec![artifact(message, key, path)],
        ..InboundEvent::default()
    };
    let search = message.delivery.source;
    event
        .trigger
        .insert("artifactorySearchName".to_owned(), search.into());
    Read::one(event)
}

/// A Maven artifact where the path is laid out as one, else the file.
fn artifact(message: &Message<'_>, key: &str, path: &str) -> Value {
    if let Some((group, name, version)) = maven(path) {
        return json!({
            "type": "maven/file",
            "name": format!("{group}:{name}"),
            "version": version,
            "reference": format!("{group}:{name}:{version}"),
            "provenance": key,
        });
    }
    let base = field::text(message.body, "/jpd_origin")
        .filter(|base| git::is_plain_base(base) && git::is_plain_path(path));
    let reference = base.map(|base| {
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix("/artifactory").unwrap_or(base);
        let (key, path) = (git::encode_segment(key), git::encode_path(path));
        format!("{base}/artifactory/{key}/{path}")
    });
    json!({"type": "http/file", "name": path, "reference": reference, "provenance": key})
}

/// `group/with/dots/name/version/name-version….ext`.
fn maven(path: &str) -> Option<(String, &str, &str)> {
    let mut parts: Vec<&str> = path.split('/').collect();
    let file = parts.pop()?;
    let version = parts.pop()?;
    let name = parts.pop()?;
    let named = file.strip_prefix(name)?.strip_prefix('-')?;
    let laid_out = !parts.is_empty() && !version.is_empty() && named.starts_with(version);
    laid_out.then(|| (parts.join("."), name, version))
}

#[cfg(test)]
mod tests {
    use super::maven;

    #[test]
    fn maven_paths_are_told_from_others() {
        assert_eq!(
            maven("com/acme/ledger/1.2/ledger-1.2.jar"),
            Some(("com.acme".to_owned(), "ledger", "1.2"))
        );
        for other in [
            "",
            "a",
            "a/b",
            "ledger/1.2/ledger-1.2.jar",
            "com/ledger/1.2/other-1.2.jar",
        ] {
            assert_eq!(maven(other), None, "{other}");
        }
    }
}
