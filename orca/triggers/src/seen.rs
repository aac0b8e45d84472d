//! An event as triggers look at it: names brought into one form, once per event.

use std::borrow::Cow;

use kork_model::{
    Context,
    inbound::{EventKind, InboundEvent},
};
use serde_json::Value;

use crate::{artifact, constraint::Document, member};

/// What the triggers of a kind compare with.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub event: &'a InboundEvent,
    /// The CI server of a build.
    pub master: &'a str,
    /// The job of a build as [`job`] writes it.
    pub job: Option<String>,
    /// Every name under which a git trigger may know the sender, in small letters.
    pub senders: Vec<String>,
    /// Project and repository of commits, in small letters.
    pub repositories: Vec<(String, String)>,
    /// What the branch pattern of a git trigger sees: a tag is `refs/tags/<tag>`, as in Spinnaker.
    pub branch: Option<Cow<'a, str>>,
    /// The repository of an image without its registry, in every way of writing it.
    pub images: Vec<&'a str>,
    /// Where the image is, as [`registry`] writes it.
    pub registry: String,
    /// Whether the image is a chart.
    pub is_chart: bool,
    /// The body.
    pub payload: Document<'a>,
    /// For what the event has nothing of.
    pub nothing: Context,
    /// What came with it.
    pub artifacts: Cow<'a, [Value]>,
}

impl<'a> Seen<'a> {
    pub(crate) fn of(event: &'a InboundEvent) -> Self {
        let said = |key| member::text(&event.trigger, key);
        let branch = event.branch.as_deref().map(Cow::Borrowed);
        let tag = || {
            event
                .tag
                .as_deref()
                .map(|tag| Cow::Owned(format!("refs/tags/{tag}")))
        };
        let (host, images) = images(event);
        let is_chart = is_chart(event);
        let registry = registry(said("registry").or(host).unwrap_or_default());
        Self {
            event,
            master: said("master").unwrap_or(&event.source),
            job: event.job.as_deref().or_else(|| said("job")).map(job),
            senders: senders(event),
            repositories: repositories(event),
            branch: branch.or_else(tag),
            artifacts: artifacts(event, &registry, &images, is_chart),
            images,
            registry,
            is_chart,
            payload: Document::of(&event.payload),
            nothing: Context::new(),
        }
    }

    /// A member of the outgoing trigger that the event brings.
    pub(crate) fn said(&self, key: &str) -> Option<&'a str> {
        member::text(&self.event.trigger, key)
    }

    /// What only triggers that ask for requests by name want of a pull request: one from another repository, which
    /// is nobody's branch here, and one that was merged, which the push of its commit tells of as well.
    pub(crate) fn special_request(&self) -> Option<&'static str> {
        let properties = self.event.trigger.get("properties")?;
        let is = |flag: &&str| properties.get(*flag).and_then(Value::as_str) == Some("true");
        ["fork", "merged"].into_iter().find(is)
    }

    /// The name of the kind in a sentence.
    pub(crate) fn kind(&self) -> &'static str {
        match self.event.kind {
            EventKind::Build => "build",
            EventKind::Git => "git",
            EventKind::Image if self.is_chart => "chart",
            EventKind::Image => "image",
            EventKind::Webhook => "webhook",
            EventKind::Pubsub => "pubsub",
            EventKind::Cdevents => "CDEvents",
            EventKind::Artifact => "artifact store",
        }
    }

    /// The tag of an image; a blank one is none.
    pub(crate) fn tag(&self) -> Option<&'a str> {
        self.event
            .tag
            .as_deref()
            .filter(|tag| !tag.trim().is_empty())
    }

    /// Name of the subscription of a message, and its system.
    pub(crate) fn subscription(&self) -> (&'a str, &'a str) {
        let system = self.said("pubsubSystem").unwrap_or(&self.event.sender);
        (
            system,
            self.said("subscriptionName").unwrap_or(&self.event.source),
        )
    }

    /// The configured search of an artifact store whose triggers name it in `member`.
    pub(crate) fn search(&self, member: &str, store: &str) -> Option<&'a str> {
        let own = || {
            self.event
                .sender
                .eq_ignore_ascii_case(store)
                .then_some(self.event.source.as_str())
        };
        self.said(member).or_else(own)
    }
}

/// The path of a job without the `job` that Jenkins puts between folders: `a/job/b` and `a/b` are one.
pub(crate) fn job(path: &str) -> String {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let between = parts.len() >= 3 && parts.len() % 2 == 1;
    if between && parts.iter().skip(1).step_by(2).all(|part| *part == "job") {
        return parts.into_iter().step_by(2).collect::<Vec<_>>().join("/");
    }
    parts.join("/")
}

/// A registry without scheme; the names of Docker Hub are all the empty one.
pub(crate) fn registry(name: &str) -> String {
    let name = name.trim().to_lowercase();
    let name = name.split_once("://").map_or(&*name, |(_, rest)| rest);
    let name = name.split('/').next().unwrap_or_default();
    match name {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
            String::new()
        }
        name => name.to_owned(),
    }
}

fn senders(event: &InboundEvent) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        let name = name.trim().to_lowercase();
        if !name.is_empty() && !all.contains(&name) {
            all.push(name);
        }
    };
    add(&event.sender);
    add(&event.source);
    add(member::text(&event.trigger, "source").unwrap_or_default());
    // Spinnaker's pipelines know Bitbucket Data Center under both names
    let sender = event.sender.to_lowercase();
    if sender.starts_with("bitbucket") || sender == "stash" {
        add("bitbucket");
        add("stash");
    }
    all
}

fn repositories(event: &InboundEvent) -> Vec<(String, String)> {
    let said = |key| member::text(&event.trigger, key);
    let named = said("project").zip(said("slug"));
    let whole = event
        .repository
        .as_deref()
        .and_then(|whole| whole.rsplit_once('/'));
    let mut all: Vec<(String, String)> = Vec::new();
    for (project, slug) in named.into_iter().chain(whole) {
        let pair = (project.to_lowercase(), slug.to_lowercase());
        if !all.contains(&pair) {
            all.push(pair);
        }
    }
    all
}

/// Host of an image, and the ways of writing its repository.
fn images(event: &InboundEvent) -> (Option<&str>, Vec<&str>) {
    let image = event
        .image
        .as_deref()
        .map(str::trim)
        .filter(|image| !image.is_empty());
    let split = image.and_then(|image| image.split_once('/'));
    let split = split.filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost");
    let path = split.map(|(_, path)| path).or(image);
    let mut all: Vec<&str> = member::text(&event.trigger, "repository")
        .into_iter()
        .collect();
    for path in path
        .into_iter()
        .chain(path.and_then(|path| path.strip_prefix("library/")))
    {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    (split.map(|(host, _)| host), all)
}

fn is_chart(event: &InboundEvent) -> bool {
    let kind = |artifact: &Value| {
        artifact
            .get("type")
            .and_then(Value::as_str)
            .is_some_and(|t| t.starts_with("helm/"))
    };
    event.trigger.contains_key("chart")
        || member::text(&event.trigger, "type").is_some_and(|t| t.starts_with("helm"))
        || event.artifacts.iter().any(kind)
}

/// The artifacts that the event lists, else those in its body, else the image itself.
fn artifacts<'a>(
    event: &'a InboundEvent,
    registry: &str,
    images: &[&str],
    is_chart: bool,
) -> Cow<'a, [Value]> {
    if !event.artifacts.is_empty() {
        return Cow::Borrowed(&event.artifacts);
    }
    let named = images.first().zip(event.tag.as_deref());
    let (EventKind::Image, Some((path, tag))) = (event.kind, named) else {
        return Cow::Borrowed(artifact::in_payload(&event.payload));
    };
    let chart = member::text(&event.trigger, "chart");
    let name = match (registry, chart) {
        (_, Some(chart)) => chart.to_owned(),
        ("", None) => (*path).to_owned(),
        (registry, None) => format!("{registry}/{path}"),
    };
    let mut more = Context::new();
    for key in ["account", "registry"] {
        if let Some(text) = member::text(&event.trigger, key) {
            more.insert(key.to_owned(), Value::from(text));
        }
    }
    if let Some(digest) = &event.digest {
        more.insert("digest".to_owned(), Value::from(digest.as_str()));
    }
    let kind = if is_chart {
        "helm/chart"
    } else {
        "docker/image"
    };
    Cow::Owned(vec![artifact::of_image(kind, &name, tag, more)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_form_of_a_job() {
        assert_eq!(job("payments/job/ledger/job/main"), "payments/ledger/main");
        assert_eq!(job("payments/ledger/main"), "payments/ledger/main");
        assert_eq!(job("a/job"), "a/job");
        assert_eq!(job("job"), "job");
        assert_eq!(job("a/b/c"), "a/b/c");
    }

    #[test]
    fn one_form_of_a_registry() {
        assert_eq!(registry("https://index.docker.io"), "");
        assert_eq!(registry("Harbor.corp:443"), "harbor.corp:443");
        assert_eq!(registry("docker.io"), registry(""));
    }

    #[test]
    fn an_image_is_an_artifact() {
        let event = InboundEvent {
            kind: EventKind::Image,
            image: Some("reg.corp:5000/team/app".into()),
            tag: Some("v1".into()),
            digest: Some("sha256:00".into()),
            ..InboundEvent::default()
        };
        let seen = Seen::of(&event);
        assert_eq!(seen.images, ["team/app"]);
        assert_eq!(seen.registry, "reg.corp:5000");
        assert_eq!(
            seen.artifacts[0],
            json!({"type": "docker/image", "name": "reg.corp:5000/team/app", "version": "v1",
                "reference": "reg.corp:5000/team/app:v1", "metadata": {"digest": "sha256:00"}})
        );
    }
}
