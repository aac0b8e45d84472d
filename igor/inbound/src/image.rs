//! An image that was pushed, as docker triggers want to hear of it.

use kork_model::{
    Context,
    inbound::{EventKind, InboundEvent},
};
use serde_json::{Value, json};

use crate::{field, senders::Message};

/// What a sender says about one pushed image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// `host[:port]` of the registry.
    pub host: Option<String>,
    /// Path without host, tag and digest.
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

/// The id of an image by its content: `docker:<image>:<tag>@<digest>`.
pub fn id(image: &str, tag: &str, digest: &str) -> String {
    format!("docker:{image}:{tag}@{digest}")
}

/// A tag as registries allow it: a letter, digit or `_`, then up to 127 of these, `.` and `-`.
pub(crate) fn tag(text: &str) -> Option<String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    let proper = bytes.len() <= 128
        && bytes.first().is_some_and(|first| word(*first))
        && bytes.iter().all(|byte| word(*byte) || b".-".contains(byte));
    proper.then(|| text.to_owned())
}

/// A SHA-256 digest as `sha256:<hex>`; some senders leave the name of the checksum out.
pub(crate) fn digest(text: &str) -> Option<String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let proper = hex.len() == 64
        && hex
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    proper.then(|| format!("sha256:{hex}"))
}

/// A host or a repository path: nothing that would make `image:tag` read as something else.
fn path(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 512
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/:[]".contains(&byte))
}

impl Image {
    /// Reads `host[:port]/path[:tag][@digest]`; a name without host stays without.
    pub(crate) fn parse(reference: &str) -> Option<Self> {
        let (name, found) = match reference.split_once('@') {
            Some((name, text)) => (name, Some(digest(text)?)),
            None => (reference, None),
        };
        let slash = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, found_tag) = match name[slash..].split_once(':') {
            Some((last, text)) => (&name[..slash + last.len()], Some(tag(text)?)),
            None => (name, None),
        };
        let (host, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
                (Some(host.to_owned()), rest)
            }
            _ => (None, name),
        };
        (path(repository) && !repository.contains(':')).then(|| Self {
            host,
            repository: repository.to_owned(),
            tag: found_tag,
            digest: found,
        })
    }

    /// The event of this push. A push without a tag is none: docker triggers are about tags.
    pub(crate) fn event(self, message: &Message<'_>) -> Option<InboundEvent> {
        let tag = tag(self.tag.as_deref()?)?;
        if !path(&self.repository) || self.repository.contains(':') {
            return None;
        }
        let configured = message.source.and_then(|source| source.host.clone());
        let host = configured.or(self.host).filter(|host| path(host));
        let digest = self.digest.as_deref().and_then(digest);
        let account = message
            .source
            .and_then(|source| source.account.clone())
            .unwrap_or_else(|| message.delivery.source.to_owned());

        let mut trigger = Context::new();
        field::put(&mut trigger, "account", Some(account));
        field::put(&mut trigger, "registry", host.clone());
        field::put(&mut trigger, "repository", Some(self.repository.clone()));
        field::put(&mut trigger, "tag", Some(tag.clone()));
        field::put(&mut trigger, "digest", digest.clone());
        let image = host.map(|host| format!("{host}/{}", self.repository));
        let name = image.clone().unwrap_or_else(|| self.repository.clone());
        Some(InboundEvent {
            kind: EventKind::Image,
            artifacts: vec![artifact(&name, Some(&tag), digest.as_deref())],
            repository: Some(self.repository),
            tag: Some(tag),
            digest,
            image,
            trigger,
            ..InboundEvent::default()
        })
    }
}

/// An image as Spinnaker's artifact: the version is the tag where there is one. What is referred to is the digest
/// where it is known, so that what is deployed is what was pushed, whatever becomes of the tag.
pub fn artifact(name: &str, tag: Option<&str>, digest: Option<&str>) -> Value {
    let reference = match (digest, tag) {
        (Some(digest), _) => format!("{name}@{digest}"),
        (None, Some(tag)) => format!("{name}:{tag}"),
        (None, None) => return json!({"type": "docker/image", "name": name, "reference": name}),
    };
    let mut artifact = json!({
        "type": "docker/image",
        "name": name,
        "version": tag.or(digest),
        "reference": reference,
    });
    if let Some(digest) = digest {
        artifact["metadata"] = json!({"digest": digest});
    }
    artifact
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn references_come_apart() {
        let parsed = |text: &str| {
            Image::parse(text).map(|image| (image.host, image.repository, image.tag, image.digest))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parsed("packages.example:443/a/b/c:v1"),
            Some((
                some("packages.example:443"),
                "a/b/c".into(),
                some("v1"),
                None
            ))
        );
        assert_eq!(
            parsed(&format!("localhost/a@{DIGEST}")),
            Some((some("localhost"), "a".into(), None, some(DIGEST)))
        );
        assert_eq!(
            parsed(&format!("team/app:1@{DIGEST}")),
            Some((None, "team/app".into(), some("1"), some(DIGEST)))
        );
        for wrong in [
            "",
            ":v1",
            "a b",
            "host.io/",
            "a@sha256:12",
            "a:",
            "host.io/a:b:c",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_no_tag() {
        assert_eq!(tag(DIGEST), None);
        assert_eq!(tag(""), None);
        assert_eq!(tag("-a"), None);
        assert_eq!(tag(&"a".repeat(129)), None);
        assert_eq!(tag("v1.2_3-rc"), Some("v1.2_3-rc".to_owned()));
        assert_eq!(digest(&DIGEST[7..]).as_deref(), Some(DIGEST));
        assert_eq!(digest(&DIGEST.to_uppercase()), None);
    }
}
