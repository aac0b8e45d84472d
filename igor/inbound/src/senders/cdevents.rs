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
    if is_cdevent(body) && !cloudevents::is_binary(message.delivery) {
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
    if let Some(image) = image(data) {
        with_image(&mut event, image);
    }
    if what.starts_with("branch.") {
        event.branch = field::owned(data, "/subject/id");
    }
    event.result = field::text(data, "/subject/content/outcome").map(result);
    event.action = Some(what);
    Ok(event)
}

/// An outcome in the words of builds.
fn result(outcome: &str) -> String {
    match outcome.to_ascii_lowercase().as_str() {
        "success" | "pass" => "SUCCESS",
        "cancel" | "canceled" | "cancelled" | "abort" | "aborted" => "ABORTED",
        "skip" | "skipped" => "NOT_BUILT",
        _ => "FAILURE",
    }
    .to_owned()
}

/// The image that an event about an artifact speaks of.
pub(super) fn image(data: &Value) -> Option<Image> {
    let places = ["/subject/id", "/subject/content/artifactId"];
    let mut urls = places.iter().filter_map(|at| field::text(data, at));
    urls.find_map(package_url)
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
    let told = registry.as_deref().map(Told::of).unwrap_or_default();
    let name = match (kind, told.place) {
        // The whole repository, though some leave its last part out.
        ("oci", url) if url.contains('/') && url.rsplit('/').next() == Some(path.as_str()) => {
            url.to_owned()
        }
        ("oci" | "docker", "") => path,
        ("oci" | "docker", registry) => format!("{registry}/{path}"),
        _ => return None,
    };
    let parsed = Image::parse(&name)?;
    let tag = qualifier("tag").as_deref().and_then(image::tag);
    Some(Image {
        tag: tag
            .or_else(|| image::tag(&version))
            .or_else(|| told.tag.and_then(image::tag)),
        digest: image::digest(&version).or_else(|| told.digest.and_then(image::digest)),
        ..parsed
    })
}

/// What stands in `repository_url`: the repository, though some write tag and digest behind it.
#[derive(Default)]
struct Told<'a> {
    place: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(url: &'a str) -> Self {
        let url = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (url, digest) = url
            .split_once('@')
            .map_or((url, None), |(url, d)| (url, Some(d)));
        let url = url.trim_matches('/');
        // The colon of a port stands before the first slash.
        let last = url.rfind('/').unwrap_or(url.len());
        let (place, tag) = match url[last..].split_once(':') {
            Some((end, tag)) => (&url[..last + end.len()], Some(tag)),
            None => (url, None),
        };
        Self { place, tag, digest }
    }
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
            "packages.example/acme/app:v1",
            "packages.example/acme/app@sha256%3A0",
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
        // Harbor has the tag, and for want of one the digest, behind the repository.
        for (end, tag) in [(":v2", Some("v2")), ("", None)] {
            let text = format!(
                "pkg:oci/app@sha256%3A{HEX}?repository_url=packages.example:5000/acme/app{end}"
            );
            let (host, repository, found, _) = image(&text).unwrap();
            assert_eq!(
                (&*host, &*repository),
                ("packages.example:5000", "acme/app")
            );
            assert_eq!(found.as_deref(), tag);
        }
        let text = format!("pkg:oci/app?repository_url=packages.example/acme/app@sha256:{HEX}");
        assert_eq!(image(&text).unwrap().3, Some(format!("sha256:{HEX}")));
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
