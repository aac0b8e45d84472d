//! The configuration of registries. Words of clouddriver's `dockerRegistry` are taken where they fit.

use std::path::PathBuf;

use kork::service::config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::{self, Address};
use crate::{credentials::Credentials, diff::Limits, pattern::Pattern};

/// Polls more often than this are refused, milliseconds.
pub(crate) const POLL_MS_MIN: u64 = 1_000;

/// Registries that are asked for new images.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DockerRegistry {
    pub accounts: Vec<Registry>,
}

/// One account of a registry, and the repositories that are watched with it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Registry {
    /// The account, as triggers name it.
    pub name: String,
    /// Host or URL: `docker.io`, `https://harbor.example`, `localhost:5000`.
    pub address: String,
    /// Empty: anonymous. ECR: `AWS`.
    pub username: String,
    /// Password or token. ECR: what `aws ecr get-login-password` prints, better as a file: it lasts 12 hours.
    pub password: Secret,
    /// File with the password, read at each use, so that it can be exchanged while the service runs.
    pub password_file: Option<PathBuf>,
    /// Paths within the registry: `library/nginx`. There is no catalogue to find them in.
    pub repositories: Vec<String>,
    /// Regular expression that whole tags match; none: every tag. Tags of signatures and the like
    /// (`sha256-<hex>.sig`) are never watched.
    pub tag_pattern: Option<String>,
    /// A known tag that points to another digest is news. Asks for the digest of every watched tag.
    pub track_digests: bool,
    /// Between two polls of a repository, milliseconds.
    pub poll_ms: u64,
    /// Events of one poll of one repository; of more new tags only the newest by version are told, and the
    /// rest is remembered without an event.
    #[serde(alias = "itemUpperThreshold")]
    pub newest_max: usize,
    /// Tags that are asked for their digest in one poll; more of them take turns.
    pub digests_per_poll_max: usize,
    /// Tags of one page of a list, 1 to 1000; registries may send fewer.
    #[serde(alias = "paginateSize")]
    pub page_size: u16,
    /// Empty lists in a row until a repository that had tags is believed to have none.
    pub empty_polls_max: u32,
    /// Plain http to another machine.
    pub allow_http: bool,
}

impl DockerRegistry {
    /// Everything that is wrong with it, as `accounts[0].field: reason`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (at, account) in self.accounts.iter().enumerate() {
            let own = account.problems();
            problems.extend(
                own.iter()
                    .map(|problem| format!("accounts[{at}].{problem}")),
            );
            if self.accounts[..at]
                .iter()
                .any(|other| other.name == account.name)
            {
                problems.push(format!(
                    "accounts[{at}].name: another account has this name"
                ));
            }
        }
        problems
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: String::new(),
            username: String::new(),
            password: Secret::default(),
            password_file: None,
            repositories: Vec::new(),
            tag_pattern: None,
            track_digests: false,
            poll_ms: 60_000,
            newest_max: 50,
            digests_per_poll_max: 200,
            page_size: 1000,
            empty_polls_max: 10,
            allow_http: false,
        }
    }
}

impl Registry {
    /// Everything that is wrong with it, as `field: reason`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.name.is_empty() || self.name.contains('/') {
            problems.push("name: it must be text without a slash".to_owned());
        }
        match Address::parse(&self.address, self.allow_http) {
            Ok(address) => {
                let wrong = |repository: &&String| address.repository(repository).is_none();
                for repository in self.repositories.iter().filter(wrong) {
                    problems.push(format!(
                        "repositories: {repository:?} is no path of small letters, digits and . _ - / within \
                         the registry"
                    ));
                }
            }
            Err(reason) => problems.push(format!("address: {reason}")),
        }
        if let Err(error) = Pattern::new(self.tag_pattern.as_deref()) {
            problems.push(format!("tagPattern: {error}"));
        }
        if !self.password.is_empty() && self.password_file.is_some() {
            problems.push("password: passwordFile is set too, keep one of them".to_owned());
        }
        if self.poll_ms < POLL_MS_MIN {
            problems.push(format!("pollMs: at least {POLL_MS_MIN}"));
        }
        if !(1..=address::PAGE_SIZE_MAX).contains(&self.page_size) {
            problems.push(format!("pageSize: 1 to {}", address::PAGE_SIZE_MAX));
        }
        if self.newest_max == 0 {
            problems.push("newestMax: at least 1".to_owned());
        }
        if self.digests_per_poll_max == 0 {
            problems.push("digestsPerPollMax: at least 1".to_owned());
        }
        problems
    }

    pub(super) fn credentials(&self) -> Credentials {
        Credentials {
            username: self.username.clone(),
            password: self.password.clone(),
            file: self.password_file.clone(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            newest_max: self.newest_max,
            empty_polls_max: self.empty_polls_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_clouddriver_are_read() {
        let config: DockerRegistry = serde_json::from_str(
            r#"{ "accounts": [{ "name": "hub", "address": "https://index.docker.io", "username": "ana",
                "passwordFile": "/run/secrets/hub", "repositories": ["library/nginx"], "trackDigests": true,
                "itemUpperThreshold": 7, "paginateSize": 100 }] }"#,
        )
        .unwrap();
        let account = &config.accounts[0];
        assert_eq!((account.newest_max, account.page_size), (7, 100));
        assert!(account.track_digests);
        assert_eq!(config.problems(), [""; 0]);
        let twice = DockerRegistry {
            accounts: vec![account.clone(), account.clone()],
        };
        assert_eq!(
            twice.problems(),
            ["accounts[1].name: another account has this name"]
        );
        let unknown = serde_json::from_str::<Registry>(r#"{ "adress": "x" }"#);
        assert!(unknown.unwrap_err().to_string().contains("adress"));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let wrong = Registry {
            name: "a/b".to_owned(),
            address: "http://registry.example".to_owned(),
            password: Secret::new("x"),
            password_file: Some("y".into()),
            tag_pattern: Some("(".to_owned()),
            poll_ms: 1,
            newest_max: 0,
            page_size: 0,
            digests_per_poll_max: 0,
            ..Registry::default()
        };
        let fields: Vec<_> = wrong
            .problems()
            .iter()
            .map(|p| p.split(':').next().unwrap().to_owned())
            .collect();
        assert_eq!(
            fields,
            [
                "name",
                "address",
                "tagPattern",
                "password",
                "pollMs",
                "pageSize",
                "newestMax",
                "digestsPerPollMax"
            ]
        );
        let paths = Registry {
            name: "a".to_owned(),
            address: "registry.example".to_owned(),
            repositories: ["fine/one", "Upper", "../etc", "a//b"]
                .map(str::to_owned)
                .into(),
            ..Registry::default()
        };
        assert_eq!(paths.problems().len(), 3);
    }

    #[test]
    fn the_schema_names_what_may_be_written() {
        let schema = schemars::schema_for!(DockerRegistry);
        let text = serde_json::to_string(&schema).unwrap();
        for word in [
            "passwordFile",
            "trackDigests",
            "\"additionalProperties\":false",
            "\"writeOnly\":true",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn a_dump_holds_no_password() {
        let config = Registry {
            password: Secret::new("s3cret"),
            ..Registry::default()
        };
        let dump = serde_json::to_string(&config).unwrap() + &format!("{config:?}");
        assert!(!dump.contains("s3cret"), "{dump}");
    }
}
