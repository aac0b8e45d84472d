//! Deliveries that begin with a build: a Jenkins controller, its job, and what it tells the suite.

use std::{sync::Arc, time::Duration};

use jenkins_double::{Checkout, Endpoint, Jenkins, Job, Options, Parameter, Script};
use serde_json::{Value, json};

use super::{APPLICATION, Release, Stage};
use crate::{
    args::JenkinsArgs,
    client::{Client, EventStream, Failure},
    output::now,
};

/// The controller's name in the suite.
pub(super) const CONTROLLER: &str = "demo-jenkins";
/// The file that the build archives, and the pipeline reads.
pub(super) const PROPERTIES: &str = "build.properties";
/// The job, when the demo has a Jenkins of its own.
const JOB: &str = "demo/build";
/// User and API token there.
const USER: &str = "demo";
const TOKEN: &str = "demo-token";
/// How long a build takes there.
const BUILD_MS: u64 = 1_200;
/// How often its clock is moved.
const TICK: Duration = Duration::from_millis(50);
/// How long a build, and the start of its pipeline, may take.
const STARTED_MAX: Duration = Duration::from_mins(5);
/// How long Jenkins may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A Jenkins with the job that the demo's pipeline waits for.
pub(super) struct Builds {
    address: String,
    user: String,
    token: String,
    pub(super) job: String,
    /// The demo's own one.
    double: Option<Arc<Jenkins>>,
    accounts: tempfile::NamedTempFile,
}

impl Builds {
    /// A file for the accounts of a suite that starts; [`Self::begin`] fills it.
    pub(super) fn accounts_file() -> Result<tempfile::NamedTempFile, Failure> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile();
        file.map_err(|error| Failure::Ended {
            detail: format!("a temporary file cannot be made: {error}"),
            next: "check the directory for temporary files (TMPDIR)".to_owned(),
        })
    }

    /// Finds the Jenkins that was named, or starts one, and makes it known to the suite.
    pub(super) async fn begin(
        args: &JenkinsArgs,
        client: &Client,
        accounts: tempfile::NamedTempFile,
        stage: &Stage<'_>,
    ) -> Result<Self, Failure> {
        let builds = match &args.jenkins {
            Some(address) => Self {
                address: format!("{}/", address.trim_end_matches('/')),
                user: args.jenkins_user.clone().unwrap_or_default(),
                token: token(args)?,
                job: args.job.clone().unwrap_or_else(|| JOB.to_owned()),
                double: None,
                accounts,
            },
            None => Self::own(client, accounts).await?,
        };
        let known = json!({"controllers": [{
            "name": CONTROLLER, "address": builds.address,
            "username": builds.user, "password": builds.token,
        }]});
        std::fs::write(builds.accounts.path(), known.to_string()).map_err(|error| {
            Failure::Ended {
                detail: format!("the accounts cannot be written: {error}"),
                next: "check the directory for temporary files (TMPDIR)".to_owned(),
            }
        })?;
        let hook = format!("{}/webhooks/jenkins/{CONTROLLER}", client.base());
        match builds.double {
            Some(_) => stage.say(&format!(
                "Jenkins listens on {} and tells {hook} of its builds",
                builds.address
            )),
            None => stage.say(&format!(
                "Jenkins is {}; its job {} has to tell {hook} of its builds (Notification plugin)",
                builds.address, builds.job
            )),
        }
        Ok(builds)
    }

    async fn own(client: &Client, accounts: tempfile::NamedTempFile) -> Result<Self, Failure> {
        let failed = |what: &str| Failure::Ended {
            detail: format!("the Jenkins of the demo does not start: {what}"),
            next: "name one of your own: gennaker demo jenkins --jenkins URL".to_owned(),
        };
        let hook = format!("{}/webhooks/jenkins/{CONTROLLER}", client.base());
        let hook = hook.parse().map_err(|_| failed("gate has no URL"))?;
        let mut options = Options {
            notify: vec![Endpoint::new(hook)],
            ..Options::default()
        };
        for user in &mut options.users {
            USER.clone_into(&mut user.name);
            TOKEN.clone_into(&mut user.token);
        }
        let double = Jenkins::start(options).await;
        let double = Arc::new(double.map_err(|error| failed(&error.to_string()))?);
        double.add_job(JOB, job(now().millis() / 1_000));
        let ticking = Arc::downgrade(&double);
        tokio::spawn(async move {
            while let Some(jenkins) = ticking.upgrade() {
                jenkins.advance(TICK.as_millis() as u64);
                drop(jenkins);
                tokio::time::sleep(TICK).await;
            }
        });
        Ok(Self {
            address: double.url().to_owned(),
            user: USER.to_owned(),
            token: TOKEN.to_owned(),
            job: JOB.to_owned(),
            double: Some(double),
            accounts,
        })
    }

    /// Builds a release; the execution that its end starts.
    pub(super) async fn build(
        &self,
        client: &Client,
        stage: &Stage<'_>,
        release: &Release,
    ) -> Result<String, Failure> {
        if let Some(double) = &self.double {
            brings(double, release);
        }
        let mut events = EventStream::open(client).await?;
        stage.say(&format!(
            "a commit: {} builds version {}",
            self.job, release.version
        ));
        self.ask(release).await?;
        let started = async {
            loop {
                if let Some(id) = started(&events.next().await.data) {
                    return id;
                }
            }
        };
        let id = tokio::time::timeout(STARTED_MAX, started).await;
        let id = id.map_err(|_| Failure::TimedOut {
            detail: format!("no build of {} has started the pipeline", self.job),
            next: "see what came in: gennaker delivery list; gennaker trigger explain demo Deliver"
                .to_owned(),
        })?;
        stage.say("the build has ended and started the pipeline");
        Ok(id)
    }

    async fn ask(&self, release: &Release) -> Result<(), Failure> {
        let path = self.job.replace('/', "/job/");
        let url = format!("{}job/{path}/buildWithParameters", self.address);
        let failed = |what: String| Failure::Ended {
            detail: format!("Jenkins does not build {}: {what}", self.job),
            next: format!("try it by hand: POST {url} with VERSION and BROKEN"),
        };
        let http = kork_http::client().timeout(ANSWER_MAX).build();
        let http = http.map_err(|error| failed(kork::problem::chain(&error)))?;
        let Release {
            version, broken, ..
        } = release;
        let asked = http
            .post(format!(
                "{url}?VERSION={version}&BROKEN={broken}&delay=0sec"
            ))
            .basic_auth(&self.user, Some(&self.token));
        let answer = asked.send().await;
        let answer = answer.map_err(|error| failed(kork::problem::chain(&error)))?;
        match answer.status().as_u16() {
            201 | 303 => Ok(()),
            status => Err(failed(format!("it answers {status}"))),
        }
    }
}

/// The pipeline of a release that a build brings: its version is what the build says.
pub(super) fn started_by_builds(mut definition: Value, job: &str) -> Value {
    definition["parameterConfig"] = json!([]);
    definition["triggers"] = json!([{
        "type": "jenkins", "enabled": true, "master": CONTROLLER, "job": job,
        "propertyFile": PROPERTIES,
    }]);
    let text = definition.to_string();
    let text = text
        .replace("${parameters.version}", "${trigger.properties['VERSION']}")
        .replace("${parameters.broken}", "${trigger.properties['BROKEN']}");
    serde_json::from_str(&text).unwrap_or(definition)
}

/// The job of the demo's own Jenkins. Its builds are counted from the time on: a build is known by its number,
/// and a demo before this one may have left its own.
fn job(now_s: u64) -> Job {
    let parameters = [
        Parameter::text("VERSION", ""),
        Parameter::text("BROKEN", "false"),
    ];
    let mut job = Job::pipeline().with_parameters(&parameters);
    job.quiet_ms = 0;
    job.next_number = now_s;
    job
}

/// From now on the job builds this release.
fn brings(jenkins: &Jenkins, release: &Release) {
    let Release {
        version, broken, ..
    } = release;
    let properties = format!("VERSION={version}\nBROKEN={broken}\n");
    let script = Script {
        duration_ms: BUILD_MS,
        result: "SUCCESS".to_owned(),
        console: format!("building version {version}\n"),
        artifacts: [(PROPERTIES.to_owned(), properties.into_bytes())].into(),
        checkouts: vec![Checkout {
            remote: "https://git.example/demo/service.git".to_owned(),
            branch: "origin/main".to_owned(),
            commit: format!("{version:0>40}"),
        }],
        ..Script::default()
    };
    jenkins.with(|state| {
        let path: Vec<String> = JOB.split('/').map(str::to_owned).collect();
        if let Some(job) = state.jobs.get_mut(&path) {
            job.script = script;
        }
    });
}

/// The execution of the demo that an event says to start.
fn started(data: &str) -> Option<String> {
    let event: Value = serde_json::from_str(data).ok()?;
    let is_start = event["type"] == "orca:pipeline:starting" && event["application"] == APPLICATION;
    let id = event["subject"].as_str().filter(|_| is_start)?;
    Some(id.to_owned())
}

fn token(args: &JenkinsArgs) -> Result<String, Failure> {
    let Some(file) = &args.jenkins_token_file else {
        return Ok(String::new());
    };
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::input(
            format!("the token in {file} cannot be read: {error}"),
            "name a file that holds the API token and nothing else",
        )
    })?;
    Ok(text.trim().to_owned())
}
