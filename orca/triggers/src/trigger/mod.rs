//! A trigger as matching needs it: small, with its own text at hand for the moment it fires.

use std::sync::Arc;

use kork_model::{Context, inbound::EventKind};
use serde_json::Value;

use crate::{
    artifact::Expected,
    constraint::{self, Constraints},
    member, seen,
};

mod check;
mod key;

pub(crate) use key::{Key, of_event, of_parent};

/// What of a pipeline matching needs.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub id: Arc<str>,
    pub application: Arc<str>,
    pub name: Box<str>,
    pub disabled: bool,
    /// Whether it wants to be left alone in the quiet period.
    pub quiet: bool,
    pub triggers: Box<[Trigger]>,
    /// Only those that a trigger lists.
    expected: Box<[Expected]>,
}

#[derive(Debug)]
pub(crate) struct Trigger {
    /// As it is written in the pipeline.
    pub kind: Box<str>,
    pub enabled: bool,
    pub wants: Wants,
    /// Ids of expected artifacts, one of which has to come with the event.
    listed: Box<[Box<str>]>,
    /// The trigger's own members as JSON: parsed only when it fires.
    json: Box<str>,
}

/// What a trigger of a type asks of an event.
#[derive(Debug)]
pub(crate) enum Wants {
    Build(Build),
    Git(Box<Git>),
    Docker(Docker),
    Helm(Helm),
    Message(Message),
    /// A search of an artifact store: the member that names it, the store, the name.
    Search {
        member: &'static str,
        store: &'static str,
        name: Box<str>,
    },
    Plugin {
        id: Box<str>,
        event: Box<str>,
    },
    Pipeline {
        application: Option<Box<str>>,
        pipeline: Box<str>,
        status: Box<[Box<str>]>,
    },
    Cron {
        id: Box<str>,
        expression: Box<str>,
        zone: Option<Box<str>>,
    },
    /// Nothing that an event could fulfil: `manual`, and types that nobody knows.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Build {
    pub master: Box<str>,
    pub job: Box<str>,
    /// Whose contents the constraints are about.
    pub file: Option<Box<str>>,
    pub properties: Constraints,
}

#[derive(Debug)]
pub(crate) struct Docker {
    pub account: Option<Box<str>>,
    pub registry: Box<str>,
    pub repository: Box<str>,
    pub tag: Option<Box<str>>,
}

#[derive(Debug)]
pub(crate) struct Helm {
    /// The chart is in a registry of images, whose pushes do not say what they are: the repository tells.
    pub oci: bool,
    pub account: Option<Box<str>>,
    pub chart: Option<Box<str>>,
    pub version: Option<Box<str>>,
}

/// `webhook`, `pubsub`, `cdevents`: a body with attributes from a named source.
#[derive(Debug)]
pub(crate) struct Message {
    pub kind: EventKind,
    /// Of a subscription; empty otherwise.
    pub system: Box<str>,
    /// Name of the source or of the subscription.
    pub source: Box<str>,
    pub payload: Constraints,
    pub attributes: Constraints,
}

#[derive(Debug)]
pub(crate) struct Git {
    pub source: Box<str>,
    pub project: Box<str>,
    pub slug: Box<str>,
    pub branch: Option<Box<str>>,
    pub secret: Option<Box<str>>,
    pub events: Box<[Box<str>]>,
    /// One changed file has to be under one of them.
    pub paths: Box<[Box<str>]>,
}

impl Pipeline {
    /// `None` when it has no id or no trigger. `shared` gives equal texts one place in memory.
    pub(crate) fn read(
        pipeline: &Context,
        shared: &mut impl FnMut(&str) -> Arc<str>,
    ) -> Option<Self> {
        let list = pipeline.get("triggers").and_then(Value::as_array)?;
        let triggers: Box<[Trigger]> = list.iter().map(Trigger::read).collect();
        let listed: Vec<&str> = triggers
            .iter()
            .flat_map(|t| &t.listed)
            .map(|id| &**id)
            .collect();
        if triggers.is_empty() {
            return None;
        }
        Some(Self {
            id: Arc::from(member::id(pipeline)?),
            application: shared(member::text(pipeline, "application").unwrap_or_default()),
            name: member::boxed(pipeline, "name").unwrap_or_default(),
            disabled: member::is_on(pipeline, "disabled"),
            quiet: member::is_on(pipeline, "respectQuietPeriod"),
            expected: Expected::of_pipeline(pipeline, &listed),
            triggers,
        })
    }
}

impl Trigger {
    fn read(trigger: &Value) -> Self {
        let empty = Context::new();
        let own = trigger.as_object().unwrap_or(&empty);
        Self {
            kind: member::boxed(own, "type").unwrap_or_default(),
            enabled: member::is_on(own, "enabled"),
            wants: Wants::read(own),
            listed: member::texts(own, "expectedArtifactIds"),
            json: serde_json::to_string(own)
                .unwrap_or_default()
                .into_boxed_str(),
        }
    }

    /// The trigger's own members.
    pub(crate) fn own(&self) -> Context {
        serde_json::from_str(&self.json).unwrap_or_default()
    }
}

/// Types of triggers that wait for builds.
const OF_BUILDS: [&str; 7] = [
    "jenkins",
    "travis",
    "concourse",
    "wercker",
    "gitlab-ci",
    "githubActions",
    "ci",
];

/// Triggers of this type wait for builds, which `master`, `job` and `buildNumber` name.
pub fn is_of_builds(kind: &str) -> bool {
    OF_BUILDS.contains(&kind)
}

impl Wants {
    fn read(own: &Context) -> Self {
        let text = |key| member::boxed(own, key);
        let must = |key| member::boxed(own, key).unwrap_or_default();
        match member::text(own, "type").unwrap_or_default() {
            kind if is_of_builds(kind) => Self::Build(Build {
                master: must("master"),
                job: build_job(own),
                file: text("propertyFile"),
                properties: constraint::read(own, "payloadConstraints"),
            }),
            "git" => Self::Git(Box::new(Git::read(own))),
            "docker" => Self::Docker(Docker {
                account: text("account"),
                registry: seen::registry(&must("registry")).into(),
                repository: must("repository"),
                tag: text("tag"),
            }),
            "helm" => Self::Helm(Helm {
                oci: false,
                account: text("account"),
                chart: text("chart"),
                version: text("version"),
            }),
            "helm/oci" => Self::Helm(Helm {
                oci: true,
                account: text("account"),
                chart: text("repository").or_else(|| text("chart")),
                version: text("version").or_else(|| text("tag")),
            }),
            "webhook" => Self::Message(Message::read(own, EventKind::Webhook)),
            "pubsub" => Self::Message(Message::read(own, EventKind::Pubsub)),
            "cdevents" => Self::Message(Message::read(own, EventKind::Cdevents)),
            "artifactory" => search(own, "artifactorySearchName", "artifactory"),
            "nexus" => search(own, "nexusSearchName", "nexus"),
            "plugin" => Self::Plugin {
                id: must("pluginId"),
                event: text("pluginEventType").unwrap_or_else(|| Box::from("PUBLISHED")),
            },
            "pipeline" => Self::Pipeline {
                application: text("application"),
                pipeline: must("pipeline"),
                status: member::texts(own, "status"),
            },
            "cron" => Self::Cron {
                id: text("id").unwrap_or_else(|| must("cronExpression")),
                expression: must("cronExpression"),
                zone: text("timezone").or_else(|| text("timeZone")),
            },
            _ => Self::Nothing,
        }
    }
}

impl Git {
    fn read(own: &Context) -> Self {
        let small = |key| {
            member::text(own, key)
                .unwrap_or_default()
                .to_lowercase()
                .into()
        };
        Self {
            source: small("source"),
            project: small("project"),
            slug: small("slug"),
            branch: member::boxed(own, "branch"),
            secret: member::boxed(own, "secret"),
            events: member::texts(own, "events"),
            paths: member::texts(own, "paths"),
        }
    }
}

impl Message {
    fn read(own: &Context, kind: EventKind) -> Self {
        let small = |key| {
            member::text(own, key)
                .unwrap_or_default()
                .to_lowercase()
                .into()
        };
        let source = own
            .get("source")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let (system, source, attributes) = match kind {
            EventKind::Pubsub => (
                small("pubsubSystem"),
                small("subscriptionName"),
                "attributeConstraints",
            ),
            EventKind::Cdevents => (Box::default(), source.into(), "attributeConstraints"),
            _ => (Box::default(), source.into(), ""),
        };
        Self {
            kind,
            system,
            source,
            payload: constraint::read(own, "payloadConstraints"),
            attributes: constraint::read(own, attributes),
        }
    }
}

fn search(own: &Context, member: &'static str, store: &'static str) -> Wants {
    Wants::Search {
        member,
        store,
        name: member::boxed(own, member).unwrap_or_default(),
    }
}

/// The job of a build trigger; Concourse has it in parts.
fn build_job(own: &Context) -> Box<str> {
    if let Some(job) = member::text(own, "job") {
        return seen::job(job).into();
    }
    let part = |key| member::text(own, key);
    match (part("team"), part("project"), part("jobName")) {
        (Some(team), Some(project), Some(job)) => format!("{team}/{project}/{job}").into(),
        _ => Box::default(),
    }
}
