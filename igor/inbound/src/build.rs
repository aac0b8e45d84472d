//! Builds of a CI server. Of Jenkins the URL alone says which job it is: names in its messages are short.

use kork_model::{
    Context,
    inbound::{EventKind, InboundEvent},
};
use percent_encoding::percent_decode_str;

use crate::field;

/// Folders and branches that a job path may have.
const LEVELS_MAX: usize = 64;

/// Where a build of Jenkins is, read from its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Whole job path, folders joined with `/`. A branch job keeps the name that Jenkins gave it, in which
    /// slashes are encoded once: `ledger/feature%2Fx`.
    pub job: String,
    /// Absent when the URL is that of a job.
    pub number: Option<u64>,
}

impl Location {
    /// Reads an absolute or relative URL: `https://ci/jenkins/job/a/job/feature%252Fx/87/`, `job/a/87/`.
    pub fn parse(url: &str) -> Option<Self> {
        let path = url.split(['?', '#']).next()?;
        let path = match path.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?.1,
            None => path,
        };
        let mut segments = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .skip_while(|segment| *segment != "job")
            .peekable();
        let mut names = Vec::new();
        while segments.next_if_eq(&"job").is_some() {
            names.push(job_name(segments.next()?)?);
            if names.len() > LEVELS_MAX {
                return None;
            }
        }
        if names.is_empty() {
            return None;
        }
        Some(Self {
            job: names.join("/"),
            number: segments.next().and_then(|segment| segment.parse().ok()),
        })
    }
}

/// The name of a job from its part of a URL. Jenkins forbids slashes in names, so a decoded slash was not
/// meant to be decoded.
fn job_name(segment: &str) -> Option<String> {
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    let name = if decoded.contains('/') {
        segment
    } else {
        &decoded
    };
    let proper = !matches!(name, "" | "." | "..") && !name.contains(char::is_control);
    proper.then(|| name.to_owned())
}

/// One build, whichever CI server runs it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Build {
    /// Name of the controller or account: `master` of a build trigger.
    pub master: String,
    pub job: String,
    pub number: u64,
    pub result: Option<String>,
    pub building: Option<bool>,
    pub url: Option<String>,
    /// `QUEUED`, `STARTED`, `COMPLETED`, `FINALIZED`, `NONE`.
    pub phase: Option<String>,
    pub repository: Option<String>,
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub commit: Option<String>,
}

impl Build {
    pub(crate) fn event(self) -> InboundEvent {
        let mut trigger = Context::new();
        field::put(&mut trigger, "master", Some(self.master));
        field::put(&mut trigger, "job", Some(self.job.clone()));
        field::put(&mut trigger, "buildNumber", Some(self.number));
        field::put(&mut trigger, "phase", self.phase);
        InboundEvent {
            kind: EventKind::Build,
            repository: self.repository,
            branch: self.branch,
            tag: self.tag,
            commit: self.commit,
            job: Some(self.job),
            build_number: Some(self.number),
            result: self.result,
            building: self.building,
            url: self.url,
            trigger,
            ..InboundEvent::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_paths_come_from_urls() {
        let cases = [
            (
                "https://ci.acme.example/job/payments/job/ledger/job/main/87/",
                "payments/ledger/main",
                Some(87),
            ),
            (
                "https://h/jenkins/job/a/job/feature%252Fx/7/",
                "a/feature%2Fx",
                Some(7),
            ),
            (
                "https://h/job/a/job/feature%2Fx/7/",
                "a/feature%2Fx",
                Some(7),
            ),
            ("job/a%20b/job/job/9/console", "a b/job", Some(9)),
            ("job/gr%C3%B6%C3%9Fe/", "größe", None),
            ("https://h/view/all/job/a/3?x=job/b", "a", Some(3)),
            ("job/a/lastBuild/", "a", None),
        ];
        for (url, job, number) in cases {
            let job = job.to_owned();
            assert_eq!(
                Location::parse(url),
                Some(Location { job, number }),
                "{url}"
            );
        }
    }

    #[test]
    fn urls_without_a_job_are_none() {
        for url in [
            "",
            "https://h",
            "https://h/",
            "job",
            "job/",
            "job/../1/",
            "job/%2e%2e/1",
            "job/%00/1",
            "job/%ff/1",
        ] {
            assert_eq!(Location::parse(url), None, "{url}");
        }
        assert_eq!(Location::parse(&"job/a/".repeat(65)), None);
    }
}
