//! Jenkins: builds, told by a step of the pipeline or by one of its plugins.
//!
//! None of them is trusted with what it says of a build: the URL says which build it is, and it is to be
//! fetched. A job's `name` is short and is never used.

use serde_json::Value;

use super::{
    Message, Read, Reading, cdevents, cloudevents, jenkins_cdevents, jenkins_plugins, plain,
};
use crate::{
    Refused,
    build::{Build, Location},
    field,
};

const PHASES: [&str; 5] = ["QUEUED", "STARTED", "COMPLETED", "FINALIZED", "NONE"];
const RESULTS: [&str; 5] = ["SUCCESS", "UNSTABLE", "FAILURE", "NOT_BUILT", "ABORTED"];

/// What is told of a build, whoever tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// URL of the build or of its job, absolute or relative.
    pub url: String,
    /// Where the URL is in the message, for errors.
    pub place: &'static str,
    pub number: Option<u64>,
    pub phase: String,
    pub result: Option<String>,
    pub repository: Option<String>,
    pub branch: Option<String>,
    pub commit: Option<String>,
    pub delivery: Option<String>,
}

pub(crate) fn read(message: &Message<'_>) -> Reading {
    let body = message.body;
    let has = |name: &str| body.get(name).is_some();
    if message.header("ce-type").is_some() || has("specversion") {
        return cloud_event(message);
    }
    if cdevents::is_cdevent(body) {
        return jenkins_cdevents::read(message, body, None);
    }
    if field::object(body, "/build").is_some() {
        return jenkins_plugins::notification(message);
    }
    if has("buildUrl") {
        return jenkins_plugins::outbound_webhook(message);
    }
    if has("dataType") || field::text(body, "/type").is_some_and(|kind| kind.contains('.')) {
        return jenkins_plugins::generic_event(message);
    }
    step(message)
}

fn cloud_event(message: &Message<'_>) -> Reading {
    let mut read = Read::default();
    for event in cloudevents::parse(message)? {
        let is_cdevent = event.attribute("type").starts_with("dev.cdevents.");
        let one = if is_cdevent || cdevents::is_cdevent(&event.data) {
            jenkins_cdevents::read(message, &event.data, Some(&event))
        } else {
            jenkins_plugins::cloud_event(message, &event)
        }?;
        read.events.extend(one.events);
        read.ignored = read.ignored.or(one.ignored);
    }
    if read.events.is_empty() && read.ignored.is_none() {
        return Read::ignored("the batch holds no event");
    }
    Ok(read)
}

/// The message of our own snippet: `url`, `number`, `result`, `phase`, and what else is known.
fn step(message: &Message<'_>) -> Reading {
    let body = message.body;
    let told = Told {
        url: message.need("/url")?.to_owned(),
        place: "body.url",
        number: field::number(body, "/number"),
        phase: message
            .text("/phase")
            .unwrap_or_else(|| "FINALIZED".to_owned()),
        result: message.text("/result"),
        repository: message.text("/repository"),
        branch: message.text("/branch").map(|branch| local(&branch)),
        commit: message.text("/commit"),
        delivery: None,
    };
    let mut event = told.event(message)?;
    event.parameters = plain::parameters(body);
    event.artifacts = plain::given_artifacts(body);
    Read::one(event)
}

impl Told {
    pub(super) fn event(self, message: &Message<'_>) -> Result<kork_model::InboundEvent, Refused> {
        let invalid = |what: &str| {
            let remedy = "send the URL of the build: set the Jenkins URL in its configuration";
            Refused::invalid(self.place, what, remedy)
        };
        let location =
            Location::parse(&self.url).ok_or_else(|| invalid("it is no URL of a Jenkins build"))?;
        let number = match (location.number, self.number) {
            (Some(there), Some(said)) if there != said => {
                return Err(invalid("the URL and the number are of different builds"));
            }
            (there, said) => there
                .or(said)
                .ok_or_else(|| invalid("it has no build number"))?,
        };
        let phase = self.phase.to_ascii_uppercase();
        if !PHASES.contains(&phase.as_str()) {
            return Err(Refused::invalid(
                "body",
                "its phase is none that a build goes through",
                format!("send one of {}", PHASES.join(", ")),
            ));
        }
        let over = matches!(phase.as_str(), "COMPLETED" | "FINALIZED");
        let mut event = Build {
            master: message.controller().to_owned(),
            job: location.job,
            number,
            result: self
                .result
                .map(|result| result.to_ascii_uppercase())
                .filter(|result| RESULTS.contains(&result.as_str())),
            building: Some(!over),
            url: Some(self.url),
            phase: Some(phase.clone()),
            repository: self.repository,
            branch: self.branch,
            commit: self.commit,
            tag: None,
        }
        .event();
        let job = event.job.as_deref().unwrap_or_default();
        // Each phase is a delivery of its own; all of them are about one build.
        event.delivery = self
            .delivery
            .or_else(|| Some(format!("{job}:{number}:{phase}")));
        event.id = crate::name::bounded(format!("jenkins:{}:{job}:{number}", message.controller()));
        Ok(event)
    }
}

/// A branch as Jenkins' git plugin writes it, without the remote.
pub(super) fn local(branch: &str) -> String {
    let bare = branch
        .strip_prefix("refs/remotes/")
        .or_else(|| branch.strip_prefix("refs/heads/"))
        .unwrap_or(branch);
    bare.strip_prefix("origin/").unwrap_or(bare).to_owned()
}

/// The whole name of a repository from its URL: `https://host/a/b.git`, `git@host:a/b.git`.
pub(super) fn repository(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.split_once(':')?.1,
    };
    let name = path.trim_matches('/').trim_end_matches(".git");
    (!name.is_empty()).then(|| name.to_owned())
}

/// Branch, commit and repository of an object `{url, branch, commit}`.
pub(super) fn with_scm(told: Told, scm: &Value) -> Told {
    Told {
        branch: field::text(scm, "/branch").map(local),
        commit: field::owned(scm, "/commit"),
        repository: field::text(scm, "/url").and_then(repository),
        ..told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_branches_and_repositories() {
        assert_eq!(local("origin/feature/x"), "feature/x");
        assert_eq!(local("refs/remotes/origin/main"), "main");
        assert_eq!(local("main"), "main");
        assert_eq!(
            repository("https://git.acme.example/payments/ledger.git").as_deref(),
            Some("payments/ledger")
        );
        assert_eq!(
            repository("git@git.acme.example:a/b/c.git").as_deref(),
            Some("a/b/c")
        );
        assert_eq!(repository("nothing"), None);
        assert_eq!(repository("https://h/"), None);
    }
}
