//! Every sender in one table: its name, its proof, its name for a delivery, and who reads it.

use kork_model::inbound::EventKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Delivery, Refused, Source,
    proof::Scheme,
    senders::{self, Message, Reading},
};

/// Who sends. Serialized under the name that is also `{type}` of the path.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Sender {
    Webhook,
    Build,
    Docker,
    Pubsub,
    Cdevents,
    Github,
    Gitlab,
    Gitea,
    Forgejo,
    Gogs,
    Bitbucket,
    BitbucketServer,
    Dockerhub,
    Harbor,
    Distribution,
    Quay,
    Ecr,
    Gar,
    Acr,
    Jfrog,
    Nexus,
    SonatypeIq,
    Flux,
    Argocd,
    StandardWebhooks,
    Cloudevents,
    Generic,
    Jenkins,
}

/// What the suite knows about a sender.
pub(crate) struct Row {
    pub sender: Sender,
    /// `{type}` of the path, compared without case; the first one is the sender's name.
    pub names: &'static [&'static str],
    pub scheme: Scheme,
    /// Headers that name a delivery, in the order in which they are asked.
    pub delivery_headers: &'static [&'static str],
    pub read: fn(&Message<'_>) -> Reading,
}

const fn row(
    sender: Sender,
    names: &'static [&'static str],
    scheme: Scheme,
    delivery_headers: &'static [&'static str],
    read: fn(&Message<'_>) -> Reading,
) -> Row {
    Row {
        sender,
        names,
        scheme,
        delivery_headers,
        read,
    }
}

/// Headers that name a delivery where the sender is not known. `X-Request-Id` is none of them: many clients
/// keep it for all calls of one job.
const ANY_DELIVERY: &[&str] = &["webhook-id", "x-github-delivery"];

static TABLE: &[Row] = &[
    row(
        Sender::Webhook,
        &["webhook"],
        Scheme::Any,
        ANY_DELIVERY,
        senders::plain::webhook,
    ),
    row(
        Sender::Build,
        &["build"],
        Scheme::Any,
        ANY_DELIVERY,
        senders::spinnaker::build,
    ),
    row(
        Sender::Docker,
        &["docker"],
        Scheme::Any,
        ANY_DELIVERY,
        senders::spinnaker::docker,
    ),
    row(
        Sender::Pubsub,
        &["pubsub"],
        Scheme::Any,
        ANY_DELIVERY,
        senders::pubsub::read,
    ),
    row(
        Sender::Cdevents,
        &["cdevents"],
        Scheme::Any,
        &["webhook-id"],
        senders::cdevents::read,
    ),
    row(
        Sender::Github,
        &["github"],
        Scheme::Github,
        &["x-github-delivery"],
        senders::github::read,
    ),
    row(
        Sender::Gitlab,
        &["gitlab"],
        Scheme::Gitlab,
        &["webhook-id", "x-gitlab-event-uuid"],
        senders::gitlab::read,
    ),
    row(
        Sender::Gitea,
        &["gitea"],
        Scheme::Gitea,
        &["x-gitea-delivery"],
        senders::gitea::read,
    ),
    row(
        Sender::Forgejo,
        &["forgejo"],
        Scheme::Gitea,
        &["x-forgejo-delivery", "x-gitea-delivery"],
        senders::gitea::read,
    ),
    row(
        Sender::Gogs,
        &["gogs"],
        Scheme::Gitea,
        &["x-gogs-delivery"],
        senders::gitea::read,
    ),
    row(
        Sender::Bitbucket,
        &["bitbucket"],
        Scheme::Bitbucket,
        &["x-request-uuid"],
        senders::bitbucket::read,
    ),
    row(
        Sender::BitbucketServer,
        &["bitbucketServer", "stash"],
        Scheme::Bitbucket,
        &["x-request-id"],
        senders::bitbucket_server::read,
    ),
    row(
        Sender::Dockerhub,
        &["dockerhub"],
        Scheme::Shared,
        &[],
        senders::dockerhub::read,
    ),
    row(
        Sender::Harbor,
        &["harbor"],
        Scheme::Shared,
        &[],
        senders::harbor::read,
    ),
    row(
        Sender::Distribution,
        &["distribution", "dockerregistry"],
        Scheme::Shared,
        &[],
        senders::distribution::read,
    ),
    row(
        Sender::Quay,
        &["quay"],
        Scheme::Shared,
        &[],
        senders::quay::read,
    ),
    row(
        Sender::Ecr,
        &["ecr"],
        Scheme::Shared,
        &[],
        senders::ecr::read,
    ),
    row(
        Sender::Gar,
        &["gar", "gcr"],
        Scheme::Shared,
        &[],
        senders::gar::read,
    ),
    row(
        Sender::Acr,
        &["acr"],
        Scheme::Shared,
        &[],
        senders::acr::read,
    ),
    row(
        Sender::Jfrog,
        &["jfrog", "artifactory"],
        Scheme::Jfrog,
        &[],
        senders::jfrog::read,
    ),
    row(
        Sender::Nexus,
        &["nexus"],
        Scheme::Nexus,
        &["x-nexus-webhook-delivery"],
        senders::nexus::read,
    ),
    row(
        Sender::SonatypeIq,
        &["sonatypeIq"],
        Scheme::SonatypeIq,
        &["x-nexus-webhook-delivery"],
        senders::plain::sonatype_iq,
    ),
    row(
        Sender::Flux,
        &["flux"],
        Scheme::Flux,
        &[],
        senders::flux::read,
    ),
    row(
        Sender::Argocd,
        &["argocd"],
        Scheme::Shared,
        &[],
        senders::plain::webhook,
    ),
    row(
        Sender::StandardWebhooks,
        &["standardWebhooks"],
        Scheme::StandardWebhooks,
        &["webhook-id"],
        senders::plain::standard,
    ),
    row(
        Sender::Cloudevents,
        &["cloudevents"],
        Scheme::Any,
        &[],
        senders::cloudevents::read,
    ),
    row(
        Sender::Generic,
        &["generic"],
        Scheme::Any,
        ANY_DELIVERY,
        senders::plain::webhook,
    ),
    row(
        Sender::Jenkins,
        &["jenkins"],
        Scheme::Shared,
        &[],
        senders::jenkins::read,
    ),
];

/// `{source}` of `/webhooks/git/{source}`, and who that is.
const GIT_SOURCES: &[(&str, Sender)] = &[
    ("github", Sender::Github),
    ("gitlab", Sender::Gitlab),
    ("stash", Sender::BitbucketServer),
    ("bitbucket", Sender::Bitbucket),
    ("gitea", Sender::Gitea),
    ("forgejo", Sender::Forgejo),
    ("gogs", Sender::Gogs),
];

fn git_source(name: &str) -> Option<Sender> {
    let found = GIT_SOURCES.iter().find(|(known, _)| *known == name);
    found.map(|(_, sender)| *sender)
}

impl Sender {
    /// The name in events, paths and configurations.
    pub fn name(self) -> &'static str {
        self.row().names[0]
    }

    /// `source` of git triggers; Bitbucket Server has its old name there.
    pub(crate) fn git_source(self) -> &'static str {
        match self {
            Self::BitbucketServer => "stash",
            other => other.name(),
        }
    }

    /// What its events are about, for the most part.
    pub const fn about(self) -> EventKind {
        match self {
            Self::Build | Self::Jenkins => EventKind::Build,
            Self::Github
            | Self::Gitlab
            | Self::Gitea
            | Self::Forgejo
            | Self::Gogs
            | Self::Bitbucket
            | Self::BitbucketServer => EventKind::Git,
            Self::Docker
            | Self::Dockerhub
            | Self::Harbor
            | Self::Distribution
            | Self::Quay
            | Self::Ecr
            | Self::Gar
            | Self::Acr => EventKind::Image,
            Self::Jfrog | Self::Nexus => EventKind::Artifact,
            Self::Pubsub => EventKind::Pubsub,
            Self::Cdevents => EventKind::Cdevents,
            Self::Webhook
            | Self::SonatypeIq
            | Self::Flux
            | Self::Argocd
            | Self::StandardWebhooks
            | Self::Cloudevents
            | Self::Generic => EventKind::Webhook,
        }
    }

    /// Whether it is asked to prove such things: images are in stores for artifacts, too.
    fn vouches_for(self, kind: EventKind) -> bool {
        let is_store = matches!(self, Self::Jfrog | Self::Nexus);
        self.about() == kind || (is_store && kind == EventKind::Image)
    }

    /// Whether a source has been configured for this sender, or for another one that tells of such things: then
    /// nobody may tell of them without a proof, under whatever name. A source that asks for the proof of its
    /// path's sender, whoever that is, may be for any. Plain webhooks go by their name alone.
    pub fn is_guarded_by(self, sources: &[Source], kind: EventKind) -> bool {
        let is_plain = matches!(kind, EventKind::Webhook | EventKind::Cdevents);
        let guards = |source: &Source| match source.sender.or_else(|| git_source(&source.name)) {
            Some(known) => known == self || (!is_plain && known.vouches_for(kind)),
            None => !is_plain && source.has_secrets_of_its_sender(),
        };
        self != Self::Webhook && sources.iter().any(guards)
    }

    pub(crate) fn row(self) -> &'static Row {
        // The table is in the order of the senders; a test holds it to that.
        &TABLE[self as usize]
    }
}

/// Who sends, and who reads it.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    /// Whose proof is asked for and whose headers name the delivery.
    pub row: &'static Row,
    pub read: fn(&Message<'_>) -> Reading,
    /// A form without JSON in it is something to read, too.
    pub reads_forms: bool,
}

impl Route {
    fn of(row: &'static Row) -> Self {
        Self::read_by(row, row)
    }

    fn read_by(row: &'static Row, reader: &'static Row) -> Self {
        Self {
            row,
            read: reader.read,
            reads_forms: matches!(reader.sender, Sender::Webhook | Sender::Generic),
        }
    }
}

/// Finds the sender by the path, the configuration and, where several say the same path, the headers.
pub(crate) fn route(delivery: &Delivery<'_>, source: Option<&Source>) -> Result<Route, Refused> {
    let configured = source.and_then(|source| source.sender);
    let kind = delivery.kind;
    if kind.eq_ignore_ascii_case("git") {
        let is_git = |sender: &Sender| sender.about() == EventKind::Git;
        if let Some(source) = source.filter(|_| configured.is_some_and(|sender| !is_git(&sender))) {
            return Err(not_as(source, "git"));
        }
        let sender = configured
            .or_else(|| git_source(delivery.source))
            .ok_or_else(|| unknown_git(delivery))?;
        return Ok(Route::of(sender_by_headers(delivery, sender).row()));
    }
    let named = TABLE
        .iter()
        .find(|row| row.names.iter().any(|name| name.eq_ignore_ascii_case(kind)))
        .ok_or_else(|| unknown(kind))?;
    if let (Sender::Webhook, Some(sender)) = (named.sender, configured) {
        let row = sender_by_headers(delivery, sender).row();
        return Ok(Route::read_by(row, named));
    }
    let row = sender_by_headers(delivery, named.sender).row();
    if let Some(source) = source.filter(|s| !may_send_as(s, [named.sender, row.sender])) {
        return Err(not_as(source, named.sender.name()));
    }
    Ok(Route::of(row))
}

fn not_as(source: &Source, sender: &str) -> Refused {
    Refused::unproven(format!(
        "the source {} does not send as {}: set its `sender`, or use another source",
        shortened(&source.name),
        sender
    ))
}

/// A secret is a proof for the sender that it was given to, and for no other. Without a configured sender it is
/// whoever the path says, but not somebody who speaks for others' controllers and accounts.
fn may_send_as(source: &Source, [path, sender]: [Sender; 2]) -> bool {
    let family = |sender| match sender {
        Sender::Forgejo | Sender::Gogs => Sender::Gitea,
        Sender::BitbucketServer => Sender::Bitbucket,
        Sender::Generic => Sender::Webhook,
        other => other,
    };
    match source.sender {
        Some(configured) => [family(path), family(sender)].contains(&family(configured)),
        None => !matches!(path, Sender::Build | Sender::Docker),
    }
}

/// Each fork sends the headers of what it comes from too: Forgejo those of Gitea, it those of Gogs, and that those
/// of GitHub. Both Bitbuckets share a path.
fn sender_by_headers(delivery: &Delivery<'_>, sender: Sender) -> Sender {
    let has = |name| delivery.header(name).is_some();
    match sender {
        Sender::Github | Sender::Gitea | Sender::Forgejo | Sender::Gogs => {
            let forks = [
                ("x-forgejo-event", Sender::Forgejo),
                ("x-gitea-event", Sender::Gitea),
                ("x-gogs-event", Sender::Gogs),
            ];
            let told = forks.into_iter().find(|(header, _)| has(header));
            told.map_or(sender, |(_, fork)| fork)
        }
        Sender::Bitbucket | Sender::BitbucketServer => match delivery.header("x-event-key") {
            Some(key) if key.starts_with("pr:") || key.starts_with("diagnostics:") => {
                Sender::BitbucketServer
            }
            Some("repo:refs_changed") => Sender::BitbucketServer,
            Some(key) if key.starts_with("pullrequest:") || key == "repo:push" => Sender::Bitbucket,
            _ => sender,
        },
        other => other,
    }
}

fn unknown(kind: &str) -> Refused {
    let mut known: Vec<&str> = TABLE.iter().map(|row| row.names[0]).collect();
    known.push("git");
    Refused::UnsupportedType {
        kind: shortened(kind),
        known: known.join(", "),
    }
}

fn unknown_git(delivery: &Delivery<'_>) -> Refused {
    let known: Vec<&str> = GIT_SOURCES.iter().map(|(name, _)| *name).collect();
    Refused::UnsupportedSource {
        git: shortened(delivery.source),
        known: known.join(", "),
    }
}

/// A path's part as far as it belongs into a message.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_senders_and_its_names_are_those_of_the_configuration() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.sender as usize, index, "{:?}", row.sender);
            let serialized = serde_json::to_value(row.sender).unwrap();
            assert_eq!(serialized, row.names[0]);
        }
        assert_eq!(Sender::Jenkins as usize, TABLE.len() - 1);
    }

    #[test]
    fn what_a_source_is_configured_for_needs_a_proof() {
        let source = |name: &str, sender| Source {
            name: name.to_owned(),
            sender,
            ..Source::default()
        };
        let is_guarded =
            |sender: Sender, sources: &[Source]| sender.is_guarded_by(sources, sender.about());
        let github = [source("main", Some(Sender::Github))];
        for sender in [Sender::Github, Sender::Gitea, Sender::Bitbucket] {
            assert!(is_guarded(sender, &github), "{sender:?}");
            assert!(is_guarded(sender, &[source("gitlab", None)]), "{sender:?}");
        }
        for sender in [Sender::Harbor, Sender::Webhook, Sender::Cloudevents] {
            assert!(!is_guarded(sender, &github), "{sender:?}");
        }
        assert!(!is_guarded(Sender::Github, &[]));
        // Images may be told of by many.
        let harbor = [source("h", Some(Sender::Harbor))];
        for sender in [Sender::Docker, Sender::Jfrog, Sender::Github] {
            assert!(
                sender.is_guarded_by(&harbor, EventKind::Image),
                "{sender:?}"
            );
        }
        assert!(!Sender::Github.is_guarded_by(&harbor, EventKind::Git));
        let store = [source("j", Some(Sender::Jfrog))];
        assert!(is_guarded(Sender::Docker, &store) && is_guarded(Sender::Nexus, &store));
        // Its secret may be for any of them.
        let any = [Source {
            secret_env: vec!["SECRET".to_owned()],
            ..source("x", None)
        }];
        assert!(is_guarded(Sender::Harbor, &any) && !is_guarded(Sender::Webhook, &any));
        let own = [Source {
            authentication: crate::Authentication::Bearer {},
            ..any[0].clone()
        }];
        assert!(!is_guarded(Sender::Harbor, &own));
        let plain = [source("c", Some(Sender::Cloudevents))];
        assert!(is_guarded(Sender::Cloudevents, &plain));
        assert!(!is_guarded(Sender::Webhook, &plain) && !is_guarded(Sender::Flux, &plain));
    }

    #[test]
    fn no_two_senders_share_a_name() {
        let mut names: Vec<String> = TABLE
            .iter()
            .flat_map(|row| row.names)
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(!names.contains(&"git".to_owned()));
    }
}
