//! CI servers as others see them: their jobs and builds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use igor_ci::{
    Build, BuildServer, CiError, Controller, Jenkins, JobPath, breaker::BreakerState,
    config::Kind as CiKind,
};
use igor_inbound::Source;
use kork_model::{Context, Kind, Problem};
use serde_json::{Value, json};

use super::{Igor, accounts::Accounts, fingerprint, health::trouble};

/// Jobs of an answer, at most.
const JOBS_MAX: usize = 20_000;

/// The client of a CI server. Only Jenkins lists jobs and tells of its builds.
#[derive(Clone)]
enum Client {
    Jenkins(Arc<Jenkins>),
    Other(Arc<dyn BuildServer>),
}

/// The clients of the CI servers: one each, so that its limits hold for everybody.
#[derive(Default)]
pub(crate) struct Servers(Mutex<BTreeMap<String, (u64, Client)>>);

impl Servers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (u64, Client)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Igor {
    /// The client of a Jenkins controller.
    pub(crate) fn jenkins(&self, name: &str) -> Result<Arc<Jenkins>, Problem> {
        match self.named(name)? {
            Client::Jenkins(jenkins) => Ok(jenkins),
            Client::Other(server) => {
                let text = format!("{name} is {}, which lists no jobs here", server.sender());
                Err(Problem::new("IGOR-0009", Kind::Invalid, text))
            }
        }
    }

    /// The client of a CI server of any kind.
    pub(crate) fn build_server(&self, name: &str) -> Result<Arc<dyn BuildServer>, Problem> {
        Ok(match self.named(name)? {
            Client::Jenkins(jenkins) => jenkins,
            Client::Other(server) => server,
        })
    }

    fn named(&self, name: &str) -> Result<Client, Problem> {
        let accounts = self.accounts.now();
        match accounts.controller(name) {
            Some(controller) => self.client(controller),
            None => Err(unknown(name, &accounts)),
        }
    }

    fn client(&self, controller: &Controller) -> Result<Client, Problem> {
        let made_of = fingerprint(controller, &[&controller.password, &controller.token]);
        let mut servers = self.servers.lock();
        if let Some((known, client)) = servers.get(&controller.name)
            && *known == made_of
        {
            return Ok(client.clone());
        }
        let unused = controller.unused();
        if !unused.is_empty() {
            let controller = &controller.name;
            tracing::warn!(controller, ?unused, "settings have no effect");
        }
        let clock = Arc::clone(&self.ports.clock);
        let client = match controller.kind {
            CiKind::Jenkins => {
                Jenkins::new(controller, clock).map(|c| Client::Jenkins(Arc::new(c)))
            }
            CiKind::Gitlab | CiKind::GithubActions | CiKind::Generic => {
                igor_ci::connect(controller, clock).map(Client::Other)
            }
        };
        let client = client.map_err(|error| problem(&error))?;
        servers.insert(controller.name.clone(), (made_of, client.clone()));
        Ok(client)
    }

    pub(crate) fn build_services(&self) -> Vec<Context> {
        let accounts = self.accounts.now();
        let row = |controller: &Controller| {
            Context::from_iter([
                ("name".to_owned(), json!(controller.name)),
                (
                    "buildServiceProvider".to_owned(),
                    json!(provider(controller)),
                ),
                ("permissions".to_owned(), json!(controller.permissions)),
            ])
        };
        accounts.ci_servers().map(row).collect()
    }

    /// The circuit breaker of a controller's calls.
    pub(crate) fn circuit(&self, controller: &Controller) -> Result<BreakerState, Problem> {
        Ok(match self.client(controller)? {
            Client::Jenkins(jenkins) => BuildServer::breaker(&*jenkins),
            Client::Other(server) => server.breaker(),
        })
    }

    /// Controllers with their state, for people.
    pub(crate) fn controllers(&self) -> Vec<Context> {
        let accounts = self.accounts.now();
        let row = |controller: &Controller| {
            let circuit = self.circuit(controller);
            let schedule = self.polls.of_controller(&controller.name);
            let polled = || Some(schedule.as_ref()?.last_error.as_ref()?.message.clone());
            let error = match &circuit {
                Err(problem) => Some(problem.message()),
                Ok(state) => trouble(*state).or_else(polled),
            };
            let state = circuit.ok();
            Context::from_iter([
                ("name".to_owned(), json!(controller.name)),
                (
                    "type".to_owned(),
                    json!(provider(controller).to_lowercase()),
                ),
                ("circuit".to_owned(), json!(state)),
                (
                    "warnings".to_owned(),
                    json!(warnings(controller, &accounts)),
                ),
                ("error".to_owned(), json!(error)),
                (
                    "lastPoll".to_owned(),
                    json!(schedule.as_ref().map(|s| s.last_poll)),
                ),
                (
                    "nextPoll".to_owned(),
                    json!(schedule.as_ref().map(|s| s.next)),
                ),
                (
                    "lastDelivery".to_owned(),
                    json!(self.history.last_of(&controller.name)),
                ),
            ])
        };
        accounts.ci_servers().map(row).collect()
    }

    pub(crate) async fn jobs(&self, master: &str) -> Result<Vec<String>, Problem> {
        let jobs = self.jenkins(master)?.jobs().await;
        let jobs = jobs.map_err(|error| problem(&error))?;
        let names = jobs.iter().map(|job| job.path.spinnaker());
        Ok(names.take(JOBS_MAX).collect())
    }

    pub(crate) async fn job(&self, master: &str, job: &str) -> Result<Context, Problem> {
        let path = path(job)?;
        let info = self.jenkins(master)?.job(&path).await;
        let info = info.map_err(|error| problem(&error))?;
        let parameters = info.parameters.iter().map(|parameter| {
            json!({
                "name": parameter.name,
                "type": parameter.kind,
                "description": parameter.description,
                "defaultValue": parameter.default,
                "choices": parameter.choices,
            })
        });
        Ok(Context::from_iter([
            ("name".to_owned(), json!(path.spinnaker())),
            ("url".to_owned(), json!(info.url)),
            ("buildable".to_owned(), json!(info.buildable)),
            (
                "parameterDefinitionList".to_owned(),
                parameters.collect::<Vec<_>>().into(),
            ),
        ]))
    }

    pub(crate) async fn build(
        &self,
        master: &str,
        job: &str,
        number: u64,
    ) -> Result<Context, Problem> {
        let path = path(job)?;
        let build = BuildServer::build(&*self.jenkins(master)?, job, number).await;
        let build = build.map_err(|error| problem(&error))?;
        Ok(generic(&build, &path))
    }
}

fn generic(build: &Build, path: &JobPath) -> Context {
    match build.generic(&path.spinnaker(), None) {
        Value::Object(shown) => shown,
        _ => Context::new(),
    }
}

pub(crate) fn path(job: &str) -> Result<JobPath, Problem> {
    JobPath::parse(job).map_err(|error| {
        let text = format!("{job:?} is not the name of a job");
        Problem::new("IGOR-0002", Kind::Invalid, text).because(&error)
    })
}

const fn provider(controller: &Controller) -> &'static str {
    match controller.kind {
        CiKind::Jenkins => "JENKINS",
        CiKind::Gitlab => "GITLAB_CI",
        CiKind::GithubActions => "GITHUB_ACTIONS",
        CiKind::Generic => "GENERIC",
    }
}

fn warnings(controller: &Controller, accounts: &Accounts) -> Vec<String> {
    let unused = controller.unused().into_iter();
    let mut warnings: Vec<String> = unused.map(|name| format!("{name} has no effect")).collect();
    let how = controller.generic.as_ref();
    let only_posts = controller.posts() && how.is_some_and(|how| !how.is_asked());
    let proves = |source: &Source| {
        let name = source.controller.as_ref().unwrap_or(&source.name);
        let has_secrets = !source.secret_files.is_empty() || !source.secret_env.is_empty();
        *name == controller.name && has_secrets
    };
    if only_posts && !accounts.sources.iter().any(proves) {
        warnings.push(format!(
            "its builds never end: nothing that it posts is proved; add a source with `controller: {}` and a secret, \
             or set generic.status.path",
            controller.name
        ));
    }
    warnings
}

fn unknown(name: &str, accounts: &Accounts) -> Problem {
    let known: Vec<&str> = accounts.ci_servers().map(|c| c.name.as_str()).collect();
    let known = if known.is_empty() {
        "none is configured; see igor.accounts.controllers".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    let text = format!("there is no CI server {name:?}: {known}");
    Problem::new("IGOR-0009", Kind::NotFound, text)
}

/// What a caller hears of a CI server.
pub(crate) fn problem(error: &CiError) -> Problem {
    let kind = match error {
        error if error.is_passing() => Kind::Unavailable,
        error if error.is_not_found() => Kind::NotFound,
        CiError::Denied { .. } => Kind::Denied,
        CiError::Invalid(_) => Kind::Invalid,
        _ => Kind::Conflict,
    };
    let mut problem = Problem::new("IGOR-0010", kind, error.to_string());
    let mut cause = std::error::Error::source(error);
    while let Some(known) = cause {
        problem.causes.push(known.to_string());
        cause = known.source();
    }
    problem
}
