//! Names of jobs: folders and the job, each as Jenkins keeps it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Deepest nesting that is accepted.
const LEVELS_MAX: usize = 32;
/// Longest name of one level, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// A job with the folders it lies in. The name of a branch job is percent-encoded once, as Jenkins has it:
/// `payments/ledger/feature%2Fx`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobPath(Vec<String>);

/// The text does not name a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the path of a job: {reason}")]
pub struct BadPath {
    pub text: String,
    pub reason: &'static str,
}

impl JobPath {
    /// Reads `a/b`, Spinnaker's `a/job/b` and `job/a/job/b`. Names are taken as they are.
    ///
    /// `a/job/b` is always read as Spinnaker's form, so a folder called `job` between others has to be
    /// written in that form too: `a/job/job/job/b`.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let parts: Vec<&str> = text.trim_matches('/').split('/').collect();
        let is_job = |odd: usize| parts.iter().skip(odd).step_by(2).all(|part| *part == "job");
        let names: Vec<&str> = if parts.len().is_multiple_of(2) && is_job(0) {
            parts.into_iter().skip(1).step_by(2).collect()
        } else if parts.len() % 2 == 1 && is_job(1) {
            parts.into_iter().step_by(2).collect()
        } else {
            parts
        };
        Self::checked(names.into_iter().map(str::to_owned).collect(), text)
    }

    /// The job of a URL, absolute or relative, of the job itself or of something below it. Every name is
    /// decoded once.
    pub fn of_url(url: &str) -> Result<Self, BadPath> {
        let refuse = |reason| BadPath {
            text: url.to_owned(),
            reason,
        };
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let start = if path.starts_with("job/") {
            0
        } else {
            path.find("/job/")
                .ok_or(refuse("there is no /job/ in it"))?
                + 1
        };
        let mut parts = path[start..].split('/');
        let mut names = Vec::new();
        while parts.next() == Some("job") {
            let name = parts.next().and_then(decoded);
            names.push(name.ok_or(refuse("a name is not percent-encoded UTF-8"))?);
        }
        Self::checked(names, url)
    }

    fn checked(names: Vec<String>, text: &str) -> Result<Self, BadPath> {
        let refuse = |reason| {
            Err(BadPath {
                text: text.chars().take(200).collect(),
                reason,
            })
        };
        if names.len() > LEVELS_MAX {
            return refuse("it is nested too deep");
        }
        for name in &names {
            if name.is_empty() {
                return refuse("a name is empty");
            }
            // A URL parser would take these away, encoded or not.
            if name == "." || name == ".." {
                return refuse("a name consists of dots");
            }
            if name.len() > NAME_BYTES_MAX || name.chars().any(|c| c.is_control() || c == '/') {
                return refuse("a name is too long or has characters that no job has");
            }
        }
        Ok(Self(names))
    }

    /// The names, outermost first; never empty.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// A job below this one.
    pub fn child(&self, name: &str) -> Result<Self, BadPath> {
        let mut names = self.0.clone();
        names.push(name.to_owned());
        Self::checked(names, name)
    }

    /// `job/a/job/feature%252Fx/`, relative to the address of the controller.
    pub fn url(&self) -> String {
        let parts = self.0.iter().map(|name| format!("job/{}/", encoded(name)));
        parts.collect::<Vec<_>>().concat()
    }

    /// Spinnaker's form: `a/job/b`.
    pub fn spinnaker(&self) -> String {
        self.0.join("/job/")
    }
}

impl fmt::Display for JobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl TryFrom<String> for JobPath {
    type Error = BadPath;

    fn try_from(text: String) -> Result<Self, BadPath> {
        Self::parse(&text)
    }
}

impl From<JobPath> for String {
    fn from(path: JobPath) -> Self {
        path.spinnaker()
    }
}

/// One segment of a URL path, percent-encoded but for what never has a meaning there.
pub(crate) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
                text.push(digit.to_ascii_uppercase());
            }
        }
    }
    text
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: u8| char::from(b).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_forms_name_the_same_job() {
        let wanted = JobPath::parse("payments/ledger/feature%2Fx").unwrap();
        for text in [
            "payments/job/ledger/job/feature%2Fx",
            "job/payments/job/ledger/job/feature%2Fx",
            "/job/payments/job/ledger/job/feature%2Fx/",
        ] {
            assert_eq!(JobPath::parse(text).unwrap(), wanted, "{text}");
        }
        for url in [
            "https://ci.acme.example/jenkins/job/payments/job/ledger/job/feature%252Fx/87/",
            "job/payments/job/ledger/job/feature%252Fx/87/console",
            "https://ci.acme.example/job/payments/job/ledger/job/feature%252Fx?x=/job/y",
        ] {
            assert_eq!(JobPath::of_url(url).unwrap(), wanted, "{url}");
        }
        assert_eq!(wanted.url(), "job/payments/job/ledger/job/feature%252Fx/");
        assert_eq!(wanted.to_string(), "payments/ledger/feature%2Fx");
    }

    #[test]
    fn a_folder_called_job_is_kept() {
        assert_eq!(JobPath::parse("job").unwrap().names(), ["job"]);
        assert_eq!(
            JobPath::parse("a/job/job/job/b").unwrap().names(),
            ["a", "job", "b"]
        );
        assert_eq!(
            JobPath::parse("a/b/job").unwrap().names(),
            ["a", "b", "job"]
        );
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        for text in ["", "/", "a//b", "..", "a/../b", "a/./b", "a\nb"] {
            assert!(JobPath::parse(text).is_err(), "{text:?}");
        }
        for url in [
            "",
            "https://ci/",
            "job/%2e%2e/",
            "job/%zz/",
            "job/a%2Fb/",
            "/job/",
        ] {
            assert!(JobPath::of_url(url).is_err(), "{url:?}");
        }
    }

    proptest! {
        #[test]
        fn a_path_survives_its_url_and_its_text(names in proptest::collection::vec("[^/\\p{Cc}]{1,12}", 1..6)) {
            let plain = names.iter().all(|n| n != "." && n != "..");
            let text = names.join("/job/");
            match JobPath::parse(&text) {
                Ok(path) if path.names() == names => {
                    prop_assert_eq!(&JobPath::of_url(&path.url()).unwrap(), &path);
                    prop_assert_eq!(&JobPath::parse(&path.spinnaker()).unwrap(), &path);
                    let base = url::Url::parse("http://h/x/").unwrap();
                    let url = base.join(&path.url()).unwrap();
                    prop_assert_eq!(&JobPath::of_url(url.as_str()).unwrap(), &path);
                }
                Ok(_) => {}
                Err(_) => prop_assert!(!plain),
            }
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,60}") {
            drop(JobPath::parse(&text));
            drop(JobPath::of_url(&format!("job/{text}")));
        }
    }
}
