//! One file per sender: from its body to events. None of them checks signatures or names deliveries.

pub(crate) mod acr;
pub(crate) mod bitbucket;
pub(crate) mod bitbucket_server;
pub(crate) mod cdevents;
pub(crate) mod cloudevents;
pub(crate) mod distribution;
pub(crate) mod dockerhub;
pub(crate) mod ecr;
pub(crate) mod flux;
pub(crate) mod gar;
pub(crate) mod gitea;
pub(crate) mod github;
mod github_ci;
pub(crate) mod gitlab;
mod gitlab_ci;
pub(crate) mod harbor;
pub(crate) mod jenkins;
mod jenkins_cdevents;
mod jenkins_plugins;
pub(crate) mod jfrog;
pub(crate) mod nexus;
pub(crate) mod plain;
pub(crate) mod pubsub;
pub(crate) mod quay;
pub(crate) mod spinnaker;

use kork_model::inbound::InboundEvent;
use serde_json::Value;

use crate::{Delivery, Refused, Sender, Source, field, limits::EVENTS_MAX};

/// A delivery whose proof has been checked, with its body parsed.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub delivery: &'a Delivery<'a>,
    pub source: Option<&'a Source>,
    pub sender: Sender,
    pub body: &'a Value,
}

/// The events of a delivery, and why there are none or not more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Read {
    pub events: Vec<InboundEvent>,
    pub ignored: Option<String>,
}

pub(crate) type Reading = Result<Read, Refused>;

impl Read {
    #[expect(clippy::unnecessary_wraps, reason = "readers end in it")]
    pub(crate) fn ignored(because: impl std::fmt::Display) -> Reading {
        Ok(Self {
            events: Vec::new(),
            ignored: Some(format!("ignored, because {because}")),
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "readers end in it")]
    pub(crate) fn one(event: InboundEvent) -> Reading {
        Ok(Self {
            events: vec![event],
            ignored: None,
        })
    }

    /// Events, of which there may be none: then `because` says why. One more than allowed is enough to refuse
    /// them all.
    pub(crate) fn all(
        events: impl IntoIterator<Item = InboundEvent>,
        because: impl std::fmt::Display,
    ) -> Reading {
        let events: Vec<InboundEvent> = events.into_iter().take(EVENTS_MAX + 1).collect();
        if events.is_empty() {
            return Self::ignored(because);
        }
        Ok(Self {
            events,
            ignored: None,
        })
    }
}

impl<'a> Message<'a> {
    /// A text that the body must have.
    pub(crate) fn need(&self, pointer: &str) -> Result<&'a str, Refused> {
        field::text(self.body, pointer).ok_or_else(|| self.missing(pointer))
    }

    pub(crate) fn missing(&self, pointer: &str) -> Refused {
        Refused::invalid(
            format!("body{}", pointer.replace('/', ".")),
            "a text is needed here and there is none",
            format!("send the body as {} writes it", self.sender.name()),
        )
    }

    /// The name under which triggers know the CI server that sent it.
    pub(crate) fn controller(&self) -> &'a str {
        let configured = self.source.and_then(|source| source.controller.as_deref());
        configured.unwrap_or(self.delivery.source)
    }

    pub(crate) fn text(&self, pointer: &str) -> Option<String> {
        field::owned(self.body, pointer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.delivery.header(name)
    }

    /// `source` of git triggers: on Spinnaker's own path what the path says.
    pub(crate) fn git_source(&self) -> String {
        if self.delivery.kind.eq_ignore_ascii_case("git") {
            self.delivery.source.to_owned()
        } else {
            self.sender.git_source().to_owned()
        }
    }
}
