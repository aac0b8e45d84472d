//! Where a trigger is filed, and where an event looks.

use kork_model::inbound::EventKind;

use super::Wants;
use crate::seen::Seen;

/// The kind of a trigger with what has to be equal, as one text.
pub(crate) type Key = Box<str>;

fn key(parts: &[&str]) -> Key {
    parts.join("\u{1f}").into()
}

impl Wants {
    /// `None` when no event can ever match.
    pub(crate) fn key(&self) -> Option<Key> {
        Some(match self {
            Self::Build(build) => key(&["build", &build.master, &build.job]),
            Self::Git(git) => key(&["git", &git.source, &git.project, &git.slug]),
            Self::Docker(image) => key(&["docker", &image.repository]),
            Self::Helm(chart) => key(&["helm", chart.chart.as_deref().unwrap_or_default()]),
            Self::Message(message) => key(&[word(message.kind), &message.system, &message.source]),
            Self::Search { store, name, .. } => key(&["search", store, name]),
            Self::Plugin { id, .. } => key(&["plugin", id]),
            Self::Pipeline { pipeline, .. } => of_parent(pipeline),
            Self::Cron { .. } | Self::Nothing => return None,
        })
    }
}

/// Where the triggers are that wait for a pipeline.
pub(crate) fn of_parent(pipeline: &str) -> Key {
    key(&["pipeline", pipeline])
}

/// Everywhere that a trigger for this event can be filed.
pub(crate) fn of_event(seen: &Seen<'_>) -> Vec<Key> {
    let event = seen.event;
    let mut keys = match event.kind {
        EventKind::Build => {
            let job = seen.job.iter();
            job.map(|job| key(&["build", seen.master, job])).collect()
        }
        EventKind::Git => {
            let pairs = |sender: &String| {
                let of = |(project, slug): &(String, String)| key(&["git", sender, project, slug]);
                seen.repositories.iter().map(of).collect::<Vec<_>>()
            };
            seen.senders.iter().flat_map(pairs).collect()
        }
        EventKind::Image if seen.is_chart => charts(seen)
            .into_iter()
            .map(|chart| key(&["helm", chart]))
            .chain([key(&["helm", ""])])
            .collect(),
        EventKind::Image => {
            let of = |image: &&str| [key(&["docker", image]), key(&["helm", image])];
            seen.images.iter().flat_map(of).collect()
        }
        EventKind::Webhook => {
            let plugin = seen.said("pluginId").map(|id| key(&["plugin", id]));
            [key(&[word(event.kind), "", &event.source])]
                .into_iter()
                .chain(plugin)
                .collect()
        }
        EventKind::Pubsub => {
            let (system, subscription) = seen.subscription();
            let (system, name) = (system.to_lowercase(), subscription.to_lowercase());
            vec![key(&[word(event.kind), &system, &name])]
        }
        EventKind::Cdevents => vec![key(&[word(event.kind), "", &event.source])],
        EventKind::Artifact => {
            let of = |member, store| {
                seen.search(member, store)
                    .map(|name| key(&["search", store, name]))
            };
            let stores = [
                of("artifactorySearchName", "artifactory"),
                of("nexusSearchName", "nexus"),
            ];
            stores.into_iter().flatten().collect::<Vec<_>>()
        }
    };
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The names under which triggers may know a chart.
pub(super) fn charts<'a>(seen: &'a Seen<'_>) -> Vec<&'a str> {
    let last = seen
        .images
        .iter()
        .filter_map(|image| image.rsplit_once('/'))
        .map(|(_, last)| last);
    seen.said("chart")
        .into_iter()
        .chain(seen.images.iter().copied())
        .chain(last)
        .collect()
}

/// Keeps the kinds of messages apart.
const fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Webhook => "webhook",
        EventKind::Pubsub => "pubsub",
        EventKind::Cdevents => "cdevents",
        EventKind::Build | EventKind::Git | EventKind::Image | EventKind::Artifact => "",
    }
}
