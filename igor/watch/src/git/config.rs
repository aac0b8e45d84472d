//! The configuration of git repositories that are asked for new commits and tags.

use std::path::PathBuf;

use kork::service::config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    credentials::Credentials, diff::Limits, http, pattern::Pattern, registry::POLL_MS_MIN,
};

/// One repository that is asked for new commits of its branches and for new tags.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GitRepository {
    /// Unique among these.
    pub name: String,
    /// As for `git clone` over https: `https://github.com/acme/cart.git`.
    pub url: String,
    /// The kind of server, which is the `source` of git triggers.
    pub source: SourceType,
    /// `project` of git triggers: owner, organisation or group. None: what the URL says.
    pub project: Option<String>,
    /// `slug` of git triggers: the repository. None: what the URL says.
    pub slug: Option<String>,
    /// Regular expression that whole names of branches match; none: every branch.
    pub branches: Option<String>,
    /// Of the branches only the one that is the default of the repository.
    pub default_branch_only: bool,
    /// Regular expression that whole names of tags match; none: every tag.
    pub tags: Option<String>,
    /// With a token and no user name, the one that this kind of server expects beside a token.
    pub username: String,
    /// Password or token.
    pub password: Secret,
    /// File with the password, read at each use, so that it can be exchanged while the service runs.
    pub password_file: Option<PathBuf>,
    /// Between two polls, milliseconds.
    pub poll_ms: u64,
    /// Events of one poll; of more only those of the newest names by version are told, and the rest is
    /// remembered without an event.
    pub newest_max: usize,
    /// Empty answers in a row until a repository that had branches is believed to have none.
    pub empty_polls_max: u32,
    /// Plain http to another machine.
    pub allow_http: bool,
}

impl Default for GitRepository {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            source: SourceType::default(),
            project: None,
            slug: None,
            branches: None,
            default_branch_only: false,
            tags: None,
            username: String::new(),
            password: Secret::default(),
            password_file: None,
            poll_ms: 60_000,
            newest_max: 50,
            empty_polls_max: 10,
            allow_http: false,
        }
    }
}

/// Kinds of servers, by the `source` of git triggers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SourceType {
    Github,
    Gitlab,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Bitbucket Data Center.
    Stash,
    /// Any other.
    #[default]
    Git,
}

impl SourceType {
    /// As triggers name it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Bitbucket => "bitbucket",
            Self::Stash => "stash",
            Self::Git => "git",
        }
    }

    /// The user name that goes with a token; none where a token is sent as `Bearer`.
    pub(super) const fn token_user(self) -> Option<&'static str> {
        match self {
            Self::Github => Some("x-access-token"),
            Self::Gitlab => Some("oauth2"),
            Self::Bitbucket => Some("x-token-auth"),
            Self::Stash => None,
            Self::Git => Some("git"),
        }
    }
}

/// Where a repository is, and how it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// As it is asked, without a slash at its end.
    pub(super) url: Url,
    /// `https://host/path`, without `.git`.
    pub(super) page: String,
    /// `host[:port]/path`, without `.git`.
    pub(super) name: String,
    pub(super) project: String,
    pub(super) slug: String,
}

impl GitRepository {
    /// Everything that is wrong with it, as `field: reason`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.name.is_empty() || self.name.contains('/') {
            problems.push("name: it must be text without a slash".to_owned());
        }
        if let Err(reason) = self.place() {
            problems.push(format!("url: {reason}"));
        }
        for (field, pattern) in [("branches", &self.branches), ("tags", &self.tags)] {
            if let Err(error) = Pattern::new(pattern.as_deref()) {
                problems.push(format!("{field}: {error}"));
            }
        }
        if !self.password.is_empty() && self.password_file.is_some() {
            problems.push("password: passwordFile is set too, keep one of them".to_owned());
        }
        if self.poll_ms < POLL_MS_MIN {
            problems.push(format!("pollMs: at least {POLL_MS_MIN}"));
        }
        if self.newest_max == 0 {
            problems.push("newestMax: at least 1".to_owned());
        }
        problems
    }

    pub(super) fn place(&self) -> Result<Place, String> {
        let text = self.url.trim();
        let mut url = Url::parse(text).map_err(|e| {
            format!(
                "it is no URL ({e}): repositories are asked by https, as in https://host/path.git"
            )
        })?;
        http::check_scheme(&url, self.allow_http)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds credentials, set username and password instead".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a query or a fragment".to_owned());
        }
        let asked = url.path().trim_end_matches('/').to_owned();
        url.set_path(&asked);
        let path = asked.strip_prefix('/').unwrap_or(&asked);
        let path = path.strip_suffix(".git").unwrap_or(path);
        if path.is_empty() || path.split('/').any(str::is_empty) {
            return Err("it has no path to a repository".to_owned());
        }
        // Bitbucket Data Center serves repositories below /scm.
        let named = match self.source {
            SourceType::Stash => path.rsplit_once("scm/").map_or(path, |(_, named)| named),
            _ => path,
        };
        let (project, slug) = named.rsplit_once('/').unwrap_or(("", named));
        let host = http::place(&url);
        Ok(Place {
            page: format!("{}://{host}/{path}", url.scheme()),
            name: format!("{host}/{path}"),
            project: self.project.clone().unwrap_or_else(|| project.to_owned()),
            slug: self.slug.clone().unwrap_or_else(|| slug.to_owned()),
            url,
        })
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

    fn at(url: &str, source: SourceType) -> GitRepository {
        GitRepository {
            name: "cart".to_owned(),
            url: url.to_owned(),
            source,
            ..GitRepository::default()
        }
    }

    #[test]
    fn project_and_slug_are_those_of_the_url() {
        use SourceType::{Git, Github, Gitlab, Stash};
        for (source, url, place, project, slug) in [
            (
                Github,
                "https://GitHub.com/acme/cart.git",
                "github.com/acme/cart",
                "acme",
                "cart",
            ),
            (
                Gitlab,
                "https://gitlab.example:8443/a/b/c/",
                "gitlab.example:8443/a/b/c",
                "a/b",
                "c",
            ),
            (
                Stash,
                "https://bb.example/scm/SHOP/cart.git",
                "bb.example/scm/SHOP/cart",
                "SHOP",
                "cart",
            ),
            (
                Git,
                "http://localhost:80/cart",
                "localhost/cart",
                "",
                "cart",
            ),
        ] {
            let found = at(url, source).place().unwrap();
            let names = (
                found.name.as_str(),
                found.project.as_str(),
                found.slug.as_str(),
            );
            assert_eq!(names, (place, project, slug), "{url}");
            assert!(!found.url.path().ends_with('/'));
        }
        let named = GitRepository {
            project: Some("p".to_owned()),
            slug: Some("s".to_owned()),
            ..at("https://github.com/acme/cart", Github)
        };
        let found = named.place().unwrap();
        assert_eq!((found.project.as_str(), found.slug.as_str()), ("p", "s"));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        for url in [
            "",
            "git@github.com:acme/cart.git",
            "ssh://git@github.com/acme/cart.git",
            "http://git.example/a",
            "https://u:secret@git.example/a",
            "https://git.example/",
            "https://git.example//a",
            "https://git.example/.git",
            "https://git.example/a?b",
            "https://u:secret@a b/c",
        ] {
            let problems = at(url, SourceType::Git).problems();
            assert_eq!(problems.len(), 1, "{url}: {problems:?}");
            assert!(
                problems[0].starts_with("url: ") && !problems[0].contains("secret"),
                "{problems:?}"
            );
        }
        let wrong = GitRepository {
            branches: Some("(".to_owned()),
            tags: Some("[".to_owned()),
            password: Secret::new("x"),
            password_file: Some("y".into()),
            poll_ms: 0,
            newest_max: 0,
            ..GitRepository::default()
        };
        assert_eq!(wrong.problems().len(), 7, "{:?}", wrong.problems());
    }

    #[test]
    fn a_repository_is_read() {
        let config: GitRepository = serde_json::from_str(
            r#"{ "name": "cart", "url": "https://github.com/acme/cart.git", "source": "github",
                "branches": "main|release/.*", "tags": "v.*", "passwordFile": "/run/secrets/token" }"#,
        )
        .unwrap();
        assert_eq!(config.problems(), [""; 0]);
        assert_eq!(config.source, SourceType::Github);
        assert!(serde_json::from_str::<GitRepository>(r#"{ "branch": "main" }"#).is_err());
    }
}
