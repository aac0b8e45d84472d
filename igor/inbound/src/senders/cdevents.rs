//! `CDEvents`, of specification 0.4 and 0.5 alike: minor versions are ignored, unknown members kept.
//!
//! An event stays one of kind [`EventKind::Cdevents`], also when it is about an image: its image, tag and
//! digest are filled, and the image is among the artifacts, so that a trigger can use them.

use kork_model::{
    Context,
    inbound::{EventKind, InboundEvent},
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Message, Read, Reading, cloudevents, cloudevents::CloudEvent, plain};
use crate::{
    Refused, content, field,
    image::{self, Image},
};

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let body = message.body;
    // Spinnaker wants the data in a header, beside a body that says nothing.
    if !is_cdevent(body)
        && let Some(data) = message.header("ce-data")
    {
        let data = content::parse(data.as_bytes())?;
        let envelope = cloudevents::parse(message).ok();
        let envelope = envelope.as_ref().and_then(|events| events.first());
        return Read::one(event(message, envelope, &data)?);
    }
    if is_cdevent(body) && message.header("ce-type").is_none() {
        return Read::one(event(message, None, body)?);
    }
    let events = cloudevents::parse(message)?
        .iter()
        .map(|cloud_event| event(message, Some(cloud_event), &cloud_event.data))
        .collect::<Result<Vec<_>, _>>()?;
    Read::all(events, "the batch is empty")
}

/// Whether it is the data of a `CDEvent` itself, without a `CloudEvent` around it.
pub(super) fn is_cdevent(body: &Value) -> bool {
    field::object(body, "/context").is_some() && field::object(body, "/subject").is_some()
}

/// Subject and predicate of a type: `dev.cdevents.artifact.published.0.2.0` is `artifact.published`.
pub(super) fn what(kind: &str) -> Option<String> {
    let rest = kind
        .strip_prefix("dev.cdevents.")
        .or_else(|| kind.strip_prefix("dev.cdeventsx."))?;
    let mut parts = rest.split('.');
    let (subject, predicate) = (parts.next()?, parts.next()?);
    (!subject.is_empty() && !predicate.is_empty()).then(|| format!("{subject}.{predicate}"))
}

pub(super) fn event(
    message: &Message<'_>,
    envelope: Option<&CloudEvent>,
    data: &Value,
) -> Result<InboundEvent, Refused> {
    let missing = |place: &str| {
        Refused::invalid(
            format!("data.{place}"),
            "every CDEvent has this and this one does not",
            "send context with id, source and type, and subject with id",
        )
    };
    if !is_cdevent(data) {
        return Err(missing("context"));
    }
    let kind = field::text(data, "/context/type").ok_or_else(|| missing("context.type"))?;
    let what = what(kind).ok_or_else(|| missing("context.type"))?;
    let id = field::text(data, "/context/id").ok_or_else(|| missing("context.id"))?;
    let source = field::text(data, "/context/source").unwrap_or_default();

    let custom = data.get("customData").unwrap_or(&Value::Null);
    let mut trigger = Context::new();
    field::put(&mut trigger, "source", Some(message.delivery.source));
    let mut event = InboundEvent {
        kind: EventKind::Cdevents,
        delivery: Some(envelope.map_or_else(|| format!("{source}#{id}"), CloudEvent::delivery)),
        attributes: envelope.map(CloudEvent::headers).unwrap_or_default(),
        repository: field::owned(data, "/subject/content/repository/id"),
        commit: field::owned(data, "/subject/content/change/id"),
        job: field::owned(data, "/subject/content/pipelineName"),
        url: field::first_text(data, &["/subject/content/uri", "/subject/content/url"])
            .map(str::to_owned),
        parameters: plain::parameters(custom),
        artifacts: plain::given_artifacts(custom),
        payload: data.as_object().cloned().unwrap_or_default(),
        trigger,
        ..InboundEvent::default()
    };
    if what.starts_with("artifact.")
        && let Some(image) = field::text(data, "/subject/id").and_then(package_url)
    {
        with_image(&mut event, image);
    }
    event.action = Some(what);
    Ok(event)
}

fn with_image(event: &mut InboundEvent, image: Image) {
    let name = match &image.host {
        Some(host) => format!("{host}/{}", image.repository),
        None => image.repository.clone(),
    };
    if event.artifacts.is_empty() {
        let artifact = image::artifact(&name, image.tag.as_deref(), image.digest.as_deref());
        event.artifacts.push(artifact);
    }
    event.image = image.host.is_some().then_some(name);
    event.repository = Some(image.repository);
    event.tag = image.tag;
    event.digest = image.digest;
}

/// An image from a package URL: `pkg:oci/app@sha256%3A…?repository_url=packages.example/acme/app&tag=v1`, or
/// `pkg:docker/acme/app@v1?repository_url=packages.example`.
fn package_url(text: &str) -> Option<Image> {
    let rest = text.strip_prefix("pkg:")?;
    let rest = rest.split('#').next()?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (kind, path) = path.trim_start_matches('/').split_once('/')?;
    let (path, version) = path.split_once('@').unwrap_or((path, ""));
    let decode = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .ok()
            .map(String::from)
    };
    let (path, version) = (decode(path)?, decode(version)?);
    let qualifier = |wanted: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    let registry = qualifier("repository_url");
    let registry = registry.as_deref().map(|url| {
        let url = url.split_once("://").map_or(url, |(_, rest)| rest);
        url.trim_matches('/')
    });
    let name = match (kind, registry) {
        // The whole repository, though some leave its last part out.
        ("oci", Some(url))
            if url.rsplit('/').next() == Some(path.as_str()) && url.contains('/') =>
        {
            url.to_owned()
        }
        ("oci" | "docker", Some(registry)) => format!("{registry}/{path}"),
        ("oci" | "docker", None) => path,
        _ => return None,
    };
    let parsed = Image::parse(&name)?;
    Some(Image {
        tag: qualifier("tag")
            .as_deref()
            .and_then(image::tag)
            .or_else(|| image::tag(&version)),
        digest: image::digest(&version),
        ..parsed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn package_urls_name_images() {
        let image = |text: &str| {
            package_url(text).map(|image| {
                (
                    image.host.unwrap_or_default(),
                    image.repository,
                    image.tag,
                    image.digest,
                )
            })
        };
        let digest = Some(format!("sha256:{HEX}"));
        let expected = Some((
            "packages.example".to_owned(),
            "acme/app".to_owned(),
            Some("v1".to_owned()),
            digest,
        ));
        for same in [
            "packages.example/acme/app",
            "https://packages.example/acme/app/",
            "packages.example%2Facme%2Fapp",
            "packages.example/acme",
        ] {
            let text = format!("pkg:oci/app@sha256%3A{HEX}?repository_url={same}&tag=v1");
            assert_eq!(image(&text), expected, "{text}");
        }
        assert_eq!(
            image("pkg:docker/acme/app@v1?repository_url=packages.example"),
            Some((
                "packages.example".to_owned(),
                "acme/app".to_owned(),
                Some("v1".to_owned()),
                None
            ))
        );
        for other in [
            "",
            "pkg:",
            "pkg:oci",
            "pkg:npm/a@1",
            "pkg:oci/%ff@1",
            "pkg:oci/a b",
        ] {
            assert_eq!(image(other), None, "{other}");
        }
    }

    #[test]
    fn versions_of_the_type_do_not_matter() {
        assert_eq!(
            what("dev.cdevents.artifact.published.0.3.0-draft").as_deref(),
            Some("artifact.published")
        );
        assert_eq!(
            what("dev.cdevents.artifact.published").as_deref(),
            Some("artifact.published")
        );
        assert_eq!(what("dev.cdevents.artifact"), None);
        assert_eq!(what("com.acme.thing.done"), None);
    }
}
