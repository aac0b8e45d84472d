//! Settings: which CI servers there are, and how they are reached.

mod generic;
mod unused;

use camino::Utf8PathBuf;
use kork::service::config::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

pub use generic::{FindCall, Generic, Method, ReportBody, StartCall, StatusCall, StopCall};
pub use unused::Unused;

use crate::{JobPath, secret::SecretSource};

/// Between two looks at all jobs of a Jenkins controller: webhooks tell of their builds, this finds the lost ones.
const JOBS_EVERY_MS: u64 = 60_000;
/// Between two looks at projects: each is asked for, and tokens may make only so many calls.
const PROJECTS_EVERY_MS: u64 = 300_000;
const POLL_MS_MIN: u64 = 1_000;
const PROJECTS_MAX: usize = 200;

/// The CI servers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CiConfig {
    /// CI servers of any kind.
    pub controllers: Vec<Controller>,
    /// Jenkins controllers in Spinnaker's words.
    pub jenkins: Masters,
}

/// `jenkins.masters` of Spinnaker's igor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Masters {
    /// False switches all of them off.
    pub enabled: bool,
    pub masters: Vec<Controller>,
}

impl Default for Masters {
    fn default() -> Self {
        Self {
            enabled: true,
            masters: Vec::new(),
        }
    }
}

/// What speaks at the address of a controller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    #[default]
    Jenkins,
    Gitlab,
    GithubActions,
    /// Any other server: [`Generic`] says how it is spoken to.
    Generic,
}

/// Who may see builds of a controller, and who may start and stop them. Empty lists are open to all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// Roles that see builds and may have triggers on them.
    #[serde(rename = "READ")]
    pub read: Vec<String>,
    /// Roles that start and stop builds.
    #[serde(rename = "WRITE")]
    pub write: Vec<String>,
}

/// One CI server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Controller {
    /// Its name in stages and triggers; without a slash.
    pub name: String,
    pub kind: Kind,
    /// Where it is: `https://ci.acme.example/`, `https://gitlab.example`, `https://api.github.com`.
    #[serde(alias = "url")]
    pub address: String,
    /// User of a Jenkins controller.
    pub username: String,
    /// Password or, better, API token of that user.
    pub password: Secret,
    /// A file with the password, read again when it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub password_file: Option<Utf8PathBuf>,
    /// The variable of the environment that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// Access token of GitLab or GitHub, or bearer token of a proxy before Jenkins.
    pub token: Secret,
    /// A file with the token, read again when it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub token_file: Option<Utf8PathBuf>,
    /// The variable of the environment that holds the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// Ask for a crumb before the first change. Without it, that is done when Jenkins wants one.
    pub csrf: bool,
    pub permissions: Permissions,
    /// How a server of the kind `generic` is spoken to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generic: Option<Generic>,
    /// The parameter that carries an id of the execution, for jobs that declare it: requests to build
    /// are then never folded into one.
    pub unique_parameter: String,
    /// Most builds of one job that one look reports; older ones are left out.
    pub item_upper_threshold: usize,
    /// Projects of a GitLab (`group/name`), or repositories of a GitHub (`owner/name`), that are looked at for builds
    /// whose webhooks were lost. Without any nothing is looked at. Of a Jenkins controller it is every job.
    pub projects: Vec<String>,
    /// Between two of these looks, in milliseconds; 0 for none. When absent a minute for Jenkins, five for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_ms: Option<u64>,
    /// Most calls at once.
    pub calls_max: usize,
    /// How long a connection may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a call may take, in milliseconds.
    pub read_timeout_ms: u64,
    /// How long the call that starts a build may take, in milliseconds.
    pub trigger_timeout_ms: u64,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub json_path: Unused,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub oauth_scopes: Unused,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub trust_store: Unused,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub trust_store_type: Unused,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub trust_store_password: Unused,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub key_store: Unused,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub key_store_type: Unused,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub key_store_password: Unused,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub skip_hostname_verification: Unused,
    #[serde(skip_serializing_if = "Unused::is_absent")]
    pub ci_enabled: Unused,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: Kind::default(),
            address: String::new(),
            username: String::new(),
            password: Secret::default(),
            password_file: None,
            password_env: None,
            token: Secret::default(),
            token_file: None,
            token_env: None,
            csrf: false,
            permissions: Permissions::default(),
            generic: None,
            unique_parameter: "SPINNAKER_EXECUTION_ID".to_owned(),
            item_upper_threshold: 50,
            projects: Vec::new(),
            poll_ms: None,
            calls_max: 8,
            connect_timeout_ms: 5_000,
            read_timeout_ms: 30_000,
            trigger_timeout_ms: 60_000,
            json_path: Unused::default(),
            oauth_scopes: Unused::default(),
            trust_store: Unused::default(),
            trust_store_type: Unused::default(),
            trust_store_password: Unused::default(),
            key_store: Unused::default(),
            key_store_type: Unused::default(),
            key_store_password: Unused::default(),
            skip_hostname_verification: Unused::default(),
            ci_enabled: Unused::default(),
        }
    }
}

impl CiConfig {
    /// All controllers, in whatever words they were given.
    pub fn all(&self) -> impl Iterator<Item = &Controller> {
        let masters = self.jenkins.masters.iter().filter(|_| self.jenkins.enabled);
        self.controllers.iter().chain(masters)
    }

    /// Everything that is wrong, each with where it is.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        for controller in self.all() {
            problems.extend(controller.problems());
            if !names.insert(&controller.name) {
                problems.push(format!(
                    "the controller {:?} is given twice",
                    controller.name
                ));
            }
        }
        problems
    }
}

impl Controller {
    /// Everything that is wrong with this one.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut wrong = |text: &str| problems.push(format!("controller {:?}: {text}", self.name));
        if self.name.is_empty() || self.name.contains('/') {
            wrong("the name must not be empty and must not contain a slash");
        }
        if let Err(error) = self.base() {
            wrong(&format!("address {:?}: {error}", self.address));
        }
        let given = |secret: &Secret, file: bool, env: bool| {
            usize::from(!secret.is_empty()) + usize::from(file) + usize::from(env)
        };
        if given(
            &self.password,
            self.password_file.is_some(),
            self.password_env.is_some(),
        ) > 1
        {
            wrong("give one of password, passwordFile and passwordEnv");
        }
        if given(
            &self.token,
            self.token_file.is_some(),
            self.token_env.is_some(),
        ) > 1
        {
            wrong("give one of token, tokenFile and tokenEnv");
        }
        if self
            .poll_ms
            .is_some_and(|ms| (1..POLL_MS_MIN).contains(&ms))
        {
            wrong(&format!("pollMs must be 0 or at least {POLL_MS_MIN}"));
        }
        match self.kind {
            Kind::Gitlab | Kind::GithubActions if self.projects.len() > PROJECTS_MAX => {
                wrong(&format!(
                    "more than {PROJECTS_MAX} projects are too many for one token"
                ));
            }
            Kind::Gitlab | Kind::GithubActions => {}
            Kind::Jenkins | Kind::Generic if self.projects.is_empty() => {}
            Kind::Jenkins | Kind::Generic => {
                wrong("projects belongs to the kinds gitlab and githubActions");
            }
        }
        for project in &self.projects {
            let parts = project.split('/').count();
            let is_path = JobPath::parse(project).is_ok() && parts > 1;
            if !is_path || (self.kind == Kind::GithubActions && parts != 2) {
                wrong(&format!(
                    "{project:?} of projects is no project: give its whole path, as in acme/shop"
                ));
            }
        }
        if self.calls_max == 0 {
            wrong("callsMax must be at least 1");
        }
        match (&self.generic, self.kind == Kind::Generic) {
            (Some(generic), true) => generic.problems().iter().for_each(|text| wrong(text)),
            (None, true) => wrong("generic must say how it is spoken to"),
            (Some(_), false) => wrong("generic belongs to the kind generic"),
            (None, false) => {}
        }
        problems
    }

    /// Milliseconds between two looks at its builds; none when it is not looked at.
    pub fn poll_every_ms(&self) -> Option<u64> {
        let usual = match self.kind {
            Kind::Jenkins => JOBS_EVERY_MS,
            Kind::Gitlab | Kind::GithubActions if !self.projects.is_empty() => PROJECTS_EVERY_MS,
            Kind::Gitlab | Kind::GithubActions | Kind::Generic => return None,
        };
        Some(self.poll_ms.unwrap_or(usual)).filter(|ms| *ms > 0)
    }

    /// It posts what becomes of its builds.
    pub fn posts(&self) -> bool {
        let how = self.generic.as_ref();
        how.is_some_and(|how| how.report.is_some())
    }

    /// Settings of Spinnaker's that are given and have no effect here.
    pub fn unused(&self) -> Vec<&'static str> {
        let all = [
            ("jsonPath", &self.json_path),
            ("oauthScopes", &self.oauth_scopes),
            ("trustStore", &self.trust_store),
            ("trustStoreType", &self.trust_store_type),
            ("trustStorePassword", &self.trust_store_password),
            ("keyStore", &self.key_store),
            ("keyStoreType", &self.key_store_type),
            ("keyStorePassword", &self.key_store_password),
            ("skipHostnameVerification", &self.skip_hostname_verification),
            ("ciEnabled", &self.ci_enabled),
        ];
        let given = all.iter().filter(|(_, setting)| !setting.is_absent());
        given.map(|(name, _)| *name).collect()
    }

    /// The address with a slash at its end.
    pub(crate) fn base(&self) -> Result<Url, String> {
        let mut url = Url::parse(&self.address).map_err(|e| e.to_string())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("only http and https addresses can be called".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials belong in username and password".to_owned());
        }
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }

    pub(crate) fn password(&self) -> Option<SecretSource> {
        source(
            &self.password,
            self.password_file.as_ref(),
            self.password_env.as_ref(),
        )
    }

    pub(crate) fn token(&self) -> Option<SecretSource> {
        source(
            &self.token,
            self.token_file.as_ref(),
            self.token_env.as_ref(),
        )
    }
}

fn source(
    given: &Secret,
    file: Option<&Utf8PathBuf>,
    env: Option<&String>,
) -> Option<SecretSource> {
    match (file, env) {
        (Some(path), _) => Some(SecretSource::file(path.clone())),
        (None, Some(name)) => Some(SecretSource::Variable(name.clone())),
        (None, None) if given.is_empty() => None,
        (None, None) => Some(SecretSource::Given(given.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinnakers_words_are_understood_and_secrets_are_not_shown() {
        let text = r"
jenkins:
  enabled: true
  masters:
    - name: ci
      address: https://ci.acme.example/jenkins
      username: igor
      password: hush
      csrf: true
      itemUpperThreshold: 20
      permissions: { READ: [dev], WRITE: [ops] }
      ciEnabled: true
      trustStore: /opt/trust.jks
      trustStorePassword: hush
      oauthScopes: [a]
controllers:
  - { name: lab, kind: gitlab, url: 'https://gitlab.example', tokenFile: /run/token }
";
        let config: CiConfig = serde_yaml_ng::from_str(text).unwrap();
        assert_eq!(config.problems(), Vec::<String>::new());
        let names: Vec<_> = config.all().map(|c| (c.name.as_str(), c.kind)).collect();
        assert_eq!(names, [("lab", Kind::Gitlab), ("ci", Kind::Jenkins)]);
        let ci = &config.jenkins.masters[0];
        assert_eq!(
            ci.base().unwrap().as_str(),
            "https://ci.acme.example/jenkins/"
        );
        assert_eq!(ci.permissions.write, ["ops"]);
        let unused = [
            "oauthScopes",
            "trustStore",
            "trustStorePassword",
            "ciEnabled",
        ];
        assert_eq!(ci.unused(), unused);
        assert!(!format!("{config:?}").contains("hush"));
        assert!(!serde_json::to_string(&config).unwrap().contains("hush"));
        assert!(serde_yaml_ng::from_str::<CiConfig>("controllers: [{nam: x}]").is_err());
    }

    #[test]
    fn what_is_looked_at_and_how_often() {
        let read = |text: &str| -> Controller { serde_yaml_ng::from_str(text).unwrap() };
        let known = |text: &str| {
            let controller = read(&format!("{{name: c, url: 'https://ci.example', {text}}}"));
            (controller.poll_every_ms(), controller.problems().len())
        };
        assert_eq!(known("kind: jenkins"), (Some(60_000), 0));
        assert_eq!(known("kind: jenkins, pollMs: 0"), (None, 0));
        assert_eq!(known("kind: gitlab"), (None, 0), "nothing is named");
        assert_eq!(known("kind: gitlab, projects: [a/b/c]"), (Some(300_000), 0));
        assert_eq!(
            known("kind: githubActions, projects: [a/b], pollMs: 9000"),
            (Some(9_000), 0)
        );
        assert_eq!(known("kind: gitlab, projects: [a/b], pollMs: 9").1, 1);
        assert_eq!(
            known("kind: githubActions, projects: [a/b/c, a, a//b]").1,
            3
        );
        assert_eq!(known("kind: jenkins, projects: [a/b]").1, 1);
        let many = vec!["a/b"; PROJECTS_MAX + 1].join(", ");
        assert_eq!(known(&format!("kind: gitlab, projects: [{many}]")).1, 1);
    }

    #[test]
    fn a_server_that_posts_need_not_be_asked() {
        let known = |generic: &str| {
            let text = format!(
                "{{name: c, kind: generic, url: 'https://ci.example', generic: {generic}}}"
            );
            serde_yaml_ng::from_str::<Controller>(&text)
                .unwrap()
                .problems()
        };
        assert_eq!(known("{start: {path: a}, report: {}}"), [""; 0]);
        assert_eq!(
            known("{start: {path: a}}").len(),
            1,
            "it is neither asked nor posts"
        );
        assert_eq!(
            known("{start: {path: a}, report: {key: id}, status: {path: /b, log: c}}").len(),
            3
        );
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let bad = Controller {
            name: "a/b".to_owned(),
            address: "ftp://x".to_owned(),
            password: Secret::new("p"),
            password_env: Some("P".to_owned()),
            calls_max: 0,
            ..Controller::default()
        };
        let config = CiConfig {
            controllers: vec![bad.clone(), bad],
            ..CiConfig::default()
        };
        assert_eq!(config.problems().len(), 9, "{:?}", config.problems());
    }
}
