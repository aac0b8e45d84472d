//! Whether an event is what a trigger wants, or the first thing that is not.

use std::borrow::Cow;

use kork_model::{
    Context,
    inbound::{EventKind, Verified},
};
use serde_json::Value;

use super::{Build, Docker, Git, Helm, Message, Pipeline, Trigger, Wants, key::charts};
use crate::{
    artifact,
    constraint::{self, Document},
    glob,
    mismatch::Mismatch,
    pattern::{How, Patterns},
    range,
    seen::Seen,
    signature,
};

type Checked<'a> = Result<(), Mismatch<'a>>;

impl Pipeline {
    /// Everything but whether pipeline and trigger are switched on.
    pub(crate) fn check<'a>(
        &'a self,
        trigger: &'a Trigger,
        seen: &'a Seen<'_>,
        patterns: &Patterns,
    ) -> Checked<'a> {
        trigger.check(seen, patterns)?;
        self.check_artifacts(trigger, &seen.artifacts, patterns)
    }

    pub(crate) fn check_artifacts<'a>(
        &'a self,
        trigger: &'a Trigger,
        received: &'a [Value],
        patterns: &Patterns,
    ) -> Checked<'a> {
        artifact::check(&trigger.listed, &self.expected, received, patterns)
    }
}

impl Trigger {
    fn check<'a>(&'a self, seen: &'a Seen<'_>, patterns: &Patterns) -> Checked<'a> {
        match (&self.wants, seen.event.kind) {
            (Wants::Build(build), EventKind::Build) => build.check(seen, patterns),
            (Wants::Git(git), EventKind::Git) => git.check(seen, patterns),
            (Wants::Docker(image), EventKind::Image) if !seen.is_chart => {
                image.check(seen, patterns)
            }
            (Wants::Helm(chart), EventKind::Image) if seen.is_chart || chart.oci => {
                chart.check(seen)
            }
            (Wants::Message(message), kind) if message.kind == kind => {
                message.check(seen, patterns)
            }
            (
                Wants::Search {
                    member,
                    store,
                    name,
                },
                EventKind::Artifact,
            ) => equal(member, name, seen.search(member, store)),
            (Wants::Plugin { id, event }, EventKind::Webhook)
                if seen.said("pluginId").is_some() =>
            {
                equal("pluginId", id, seen.said("pluginId"))?;
                equal(
                    "pluginEventType",
                    event,
                    seen.said("pluginEventType").or(Some("PUBLISHED")),
                )
            }
            _ => Err(Mismatch::Kind {
                wanted: &self.kind,
                found: seen.kind(),
            }),
        }
    }
}

impl Build {
    fn check<'a>(&'a self, seen: &'a Seen<'_>, patterns: &Patterns) -> Checked<'a> {
        let event = seen.event;
        equal("master", &self.master, Some(seen.master))?;
        equal("job", &self.job, seen.job.as_deref())?;
        if event.building == Some(true) {
            return Err(Mismatch::differs("building", "false", Some("true")));
        }
        equal("result", "SUCCESS", event.result.as_deref())?;
        let properties = properties_of(self.file.as_deref(), seen);
        let properties = Document::of(properties);
        constraint::payload(&self.properties, &properties, "property", patterns)
    }
}

impl Docker {
    fn check<'a>(&'a self, seen: &'a Seen<'_>, patterns: &Patterns) -> Checked<'a> {
        one_of("repository", &self.repository, &seen.images)?;
        place(self.account.as_deref(), Some(&self.registry), seen)?;
        match (self.tag.as_deref(), seen.tag()) {
            (Some(wanted), found) => pattern("tag", wanted, How::Whole, found, patterns),
            (None, Some("latest") | None) => {
                Err(Mismatch::differs("tag", "any but latest", seen.tag()))
            }
            (None, Some(_)) => Ok(()),
        }
    }
}

impl Helm {
    fn check<'a>(&'a self, seen: &'a Seen<'_>) -> Checked<'a> {
        match &self.chart {
            None if self.oci => return Err(Mismatch::differs("chart", "", None::<&str>)),
            None => {}
            Some(chart) if seen.is_chart => one_of("chart", chart, &charts(seen))?,
            Some(repository) => one_of("repository", repository, &seen.images)?,
        }
        place(self.account.as_deref(), None, seen)?;
        let found = seen.said("version").or(seen.tag());
        let version = found.and_then(range::version);
        let (wanted, version) = match (self.version.as_deref(), version) {
            (None, None) if self.oci => {
                return Err(Mismatch::differs("version", "a version", found));
            }
            (None, _) => return Ok(()),
            (Some(wanted), None) => return Err(Mismatch::differs("version", wanted, found)),
            (Some(wanted), Some(version)) => (wanted, version),
        };
        match range::contains(wanted, &version) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Mismatch::differs("version", wanted, found)),
            Err(problem) => Err(Mismatch::Bad {
                field: "version".into(),
                wanted: wanted.into(),
                problem,
            }),
        }
    }
}

impl Message {
    fn check<'a>(&'a self, seen: &'a Seen<'_>, patterns: &Patterns) -> Checked<'a> {
        let event = seen.event;
        let how = if self.kind == EventKind::Pubsub {
            let (system, subscription) = seen.subscription();
            if system.to_lowercase() != *self.system {
                return Err(Mismatch::differs(
                    "pubsubSystem",
                    &*self.system,
                    Some(system),
                ));
            }
            if self.source.is_empty() || subscription.to_lowercase() != *self.source {
                return Err(Mismatch::differs(
                    "subscriptionName",
                    &*self.source,
                    Some(subscription),
                ));
            }
            Some(How::Find)
        } else {
            equal("source", &self.source, Some(&event.source))?;
            None
        };
        constraint::attributes(&self.attributes, &event.attributes, how, patterns)?;
        constraint::payload(&self.payload, &seen.payload, "payload", patterns)
    }
}

impl Git {
    fn check<'a>(&'a self, seen: &'a Seen<'_>, patterns: &Patterns) -> Checked<'a> {
        let event = seen.event;
        let projects: Vec<&str> = seen
            .repositories
            .iter()
            .map(|(project, _)| project.as_str())
            .collect();
        let of_project = seen
            .repositories
            .iter()
            .filter(|(project, _)| **project == *self.project);
        let slugs: Vec<&str> = of_project.map(|(_, slug)| slug.as_str()).collect();
        one_of("source", &self.source, &seen.senders)?;
        one_of("project", &self.project, &projects)?;
        one_of("slug", &self.slug, &slugs)?;
        if let Some(wanted) = &self.branch {
            let found = seen.branch.as_deref();
            pattern("branch", wanted, How::Whole, found, patterns)?;
        }
        let action = event.action.as_deref();
        let listed = |action: &str| {
            self.events
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(action))
        };
        if !self.events.is_empty() && !action.is_some_and(listed) {
            return Err(Mismatch::differs("action", self.events.join(", "), action));
        }
        if let Some(flag) = seen.special_request().filter(|_| self.events.is_empty()) {
            return Err(Mismatch::differs(flag, "false", Some("true")));
        }
        // a sender that lists no files may have changed any
        let under = |path: &str| event.files.iter().any(|file| glob::matches(path, file));
        if !self.paths.is_empty()
            && !event.files.is_empty()
            && !self.paths.iter().any(|path| under(path))
        {
            let first = event.files.first().map(String::as_str);
            return Err(Mismatch::differs(
                "changed file",
                self.paths.join(", "),
                first,
            ));
        }
        self.check_signature(seen)
    }

    /// What we fetched ourselves needs no signature.
    fn check_signature<'a>(&'a self, seen: &Seen<'_>) -> Checked<'a> {
        let Some(secret) = &self.secret else {
            return Ok(());
        };
        match &seen.event.signed {
            _ if seen.event.verified == Verified::Fetched => Ok(()),
            Some(signed) if signed.body.is_empty() => Err(Mismatch::differs(
                "signature",
                signature::WANTED,
                Some(signature::TOO_LARGE),
            )),
            Some(signed) if signature::is_valid(signed, secret) => Ok(()),
            Some(_) => Err(Mismatch::differs(
                "signature",
                signature::WANTED,
                Some("not by that secret"),
            )),
            None => Err(Mismatch::differs(
                "signature",
                signature::WANTED,
                None::<&str>,
            )),
        }
    }
}

/// The property file that a trigger asks for, else what the event has.
fn properties_of<'a>(file: Option<&str>, seen: &'a Seen<'_>) -> &'a Context {
    let member = |key: &str| seen.event.trigger.get(key);
    let files = member("propertyFiles");
    let own = file.and_then(|file| files?.get(file)?.as_object());
    own.or_else(|| member("properties")?.as_object())
        .unwrap_or(&seen.nothing)
}

/// The account decides where both sides name one, else the registry.
fn place<'a>(
    account: Option<&'a str>,
    registry: Option<&'a str>,
    seen: &'a Seen<'_>,
) -> Checked<'a> {
    match (account, seen.said("account"), registry) {
        (Some(wanted), Some(found), _) => equal("account", wanted, Some(found)),
        (None, _, None) => Ok(()),
        (_, _, Some(registry)) => {
            let name = |registry: &'a str| {
                if registry.is_empty() {
                    "docker.io"
                } else {
                    registry
                }
            };
            equal("registry", name(registry), Some(name(&seen.registry)))
        }
        (Some(wanted), None, None) => Err(Mismatch::differs("account", wanted, None::<&str>)),
    }
}

/// An empty wish is never fulfilled: a trigger that names nothing would fire for everything.
fn equal<'a>(field: &'a str, wanted: &'a str, found: Option<&'a str>) -> Checked<'a> {
    if !wanted.is_empty() && found == Some(wanted) {
        return Ok(());
    }
    Err(Mismatch::differs(field, wanted, found))
}

fn one_of<'a, T: AsRef<str>>(field: &'a str, wanted: &'a str, found: &[T]) -> Checked<'a> {
    if !wanted.is_empty() && found.iter().any(|found| found.as_ref() == wanted) {
        return Ok(());
    }
    let first = found.first().map(|found| found.as_ref().to_owned());
    Err(Mismatch::differs(field, wanted, first))
}

fn pattern<'a>(
    field: &'a str,
    wanted: &'a str,
    how: How,
    found: Option<&'a str>,
    patterns: &Patterns,
) -> Checked<'a> {
    // tried on nothing too, so that a bad pattern is told whatever the event has
    match patterns.holds(how, wanted, found.unwrap_or_default()) {
        Ok(true) if found.is_some() => Ok(()),
        Ok(_) => Err(Mismatch::differs(field, wanted, found)),
        Err(bad) => Err(Mismatch::Bad {
            field: field.into(),
            wanted: Cow::Borrowed(wanted),
            problem: bad.0,
        }),
    }
}
