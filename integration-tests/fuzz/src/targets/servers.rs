//! What registries, git servers and CI servers answer, read by the clients that ask them.

use std::{
    cell::RefCell,
    collections::HashMap,
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use igor_ci::{
    BuildRequest, BuildServer, CiError, Controller, Jenkins,
    config::Kind,
    poll::{Cursor as Looked, poll_once},
    server::connect,
    server::{LogStart, Started},
};
use igor_watch::{
    Cursor, Polled,
    git::{self, GitRepository},
    poll_git, poll_registry,
    registry::{self, Registry},
};
use kork::{ports::Clock, service::config::Secret};
use kork_model::Timestamp;
use serde_json::json;

use super::{NOW, first_words, json_bytes, seeds, server::Server};
use crate::{
    Fault, Input, Outcome, Shape, Target,
    outcome::{bounded, must},
};

/// What the clients prove themselves with; no answer may bring it out.
const PASSWORD: &str = "hush-c0ffee-hush";
/// Bytes of an error with its causes.
const ERROR_BYTES_MAX: usize = 16 * 1024;
/// Between two inputs: longer than a server that failed is left alone.
const REST_MS: u64 = 3_600_000;
const JOB: &str = "acme/shop";
/// A workflow of GitHub belongs to the job.
const WORKFLOW: &str = "acme/shop/ci.yml";

const WORDS: &str = include_str!("../../dictionaries/servers.txt");

pub const TARGETS: &[Target] = &[
    Target::of_body("registry", registries, WORDS, |input| {
        with_world(input, registry_answers)
    }),
    Target::of_body("git-refs", gits, WORDS, |input| {
        with_world(input, git_answers)
    }),
    Target::of_body("jenkins-jobs", jenkinses, WORDS, |input| {
        with_world(input, jobs_answers)
    }),
    Target::of_body("jenkins", jenkinses, WORDS, |input| {
        with_world(input, |world| ci_answers(world, Kind::Jenkins))
    }),
    Target::of_body("gitlab", gitlabs, WORDS, |input| {
        with_world(input, |world| ci_answers(world, Kind::Gitlab))
    }),
    Target::of_body("github", githubs, WORDS, |input| {
        with_world(input, |world| ci_answers(world, Kind::GithubActions))
    }),
    Target::of_body("generic-ci", generics, WORDS, |input| {
        with_world(input, |world| ci_answers(world, Kind::Generic))
    }),
];

/// A server, a runtime and a client of this thread.
struct World {
    server: Server,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    clock: Arc<Jumps>,
    /// Build servers by kind: making their clients takes longer than all their calls.
    builds: RefCell<HashMap<&'static str, Arc<dyn BuildServer>>>,
    jenkins: RefCell<Option<Arc<Jenkins>>>,
}

fn with_world(input: &Input, run: impl FnOnce(&World) -> Outcome) -> Outcome {
    thread_local! {
        static WORLD: io::Result<World> = World::new();
    }
    WORLD.with(|world| match world {
        Ok(world) => {
            world.server.plays(&input.body);
            run(world)
        }
        Err(error) => Err(Fault::Wrong(format!("the server does not start: {error}"))),
    })
}

impl World {
    fn new() -> io::Result<Self> {
        Ok(Self {
            server: Server::start()?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            http: igor_watch::client().map_err(io::Error::other)?,
            clock: Arc::new(Jumps(AtomicU64::new(NOW.0))),
            builds: RefCell::default(),
            jenkins: RefCell::default(),
        })
    }
}

impl World {
    /// The build server of a kind; every time later than any server is left alone for.
    fn build_server(&self, kind: Kind) -> Result<Arc<dyn BuildServer>, CiError> {
        self.clock.0.fetch_add(REST_MS, Ordering::Relaxed);
        let controller = controller(self, kind);
        let word = match kind {
            Kind::Jenkins => "jenkins",
            Kind::Gitlab => "gitlab",
            Kind::GithubActions => "github",
            Kind::Generic => "generic",
        };
        let mut builds = self.builds.borrow_mut();
        if let Some(server) = builds.get(word) {
            return Ok(Arc::clone(server));
        }
        let clock: Arc<dyn Clock> = self.clock.clone();
        let server = connect(&controller, clock)?;
        builds.insert(word, Arc::clone(&server));
        Ok(server)
    }

    fn jenkins(&self) -> Result<Arc<Jenkins>, CiError> {
        self.clock.0.fetch_add(REST_MS, Ordering::Relaxed);
        let mut jenkins = self.jenkins.borrow_mut();
        if let Some(jenkins) = &*jenkins {
            return Ok(Arc::clone(jenkins));
        }
        let clock: Arc<dyn Clock> = self.clock.clone();
        let made = Arc::new(Jenkins::new(&controller(self, Kind::Jenkins), clock)?);
        *jenkins = Some(Arc::clone(&made));
        Ok(made)
    }
}

/// Time that jumps to whatever is waited for.
struct Jumps(AtomicU64);

#[async_trait]
impl Clock for Jumps {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, moment: Timestamp) {
        self.0.fetch_max(moment.0, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

/// An error with all its causes: bounded, and without what is secret.
fn failed(shape: Shape, error: &dyn Error) -> Outcome {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    let debug = format!("{error:?}");
    must(
        !text.contains(PASSWORD) && !debug.contains(PASSWORD),
        || "an error shows the password".to_owned(),
    )?;
    // A page of words at most, whatever the server said: it goes into logs and onto pages.
    bounded("an error", text.len(), ERROR_BYTES_MAX)?;
    let variant = debug
        .split([' ', '{', '('])
        .next()
        .unwrap_or_default()
        .to_owned();
    Ok(shape.count(&variant, text.len()))
}

fn polled(shape: Shape, polled: &Polled) -> Outcome {
    let mut bytes = 0;
    for event in &polled.events {
        must(!event.id.is_empty(), || "an event has no id".to_owned())?;
        bytes += json_bytes(event)?;
    }
    bounded("events", bytes, 4 * 1024 * 1024)?;
    let mut shape = shape
        .count("events", polled.events.len())
        .count("known", polled.cursor.known.len());
    for warning in &polled.warnings {
        shape = shape.said(warning);
    }
    Ok(shape.set("later", polled.not_before.is_some()))
}

fn registry_answers(world: &World) -> Outcome {
    let config = Registry {
        name: "r".to_owned(),
        address: world.server.address.clone(),
        username: "u".to_owned(),
        password: Secret::new(PASSWORD),
        track_digests: true,
        page_size: 3,
        ..Registry::default()
    };
    let client = match registry::Client::new(world.http.clone(), &config) {
        Ok(client) => client,
        Err(error) => return failed(Shape::new(), &error),
    };
    let cursor = Cursor {
        known: [("v1".to_owned(), Some("sha256:00".to_owned()))].into(),
        ..Cursor::default()
    };
    world.runtime.block_on(async {
        let mut shape = match poll_registry(&client, JOB, Some(&cursor), NOW).await {
            Ok(found) => polled(Shape::new(), &found)?,
            Err(error) => failed(Shape::new(), &error)?,
        };
        shape = shape.count("calls", world.server.calls());
        match client.digest(JOB, "v1").await {
            Ok(digest) => Ok(shape.set("digest", digest.is_some())),
            Err(error) => failed(shape, &error),
        }
    })
}

fn git_answers(world: &World) -> Outcome {
    let config = GitRepository {
        name: "g".to_owned(),
        url: format!("{}/{JOB}.git", world.server.address),
        password: Secret::new(PASSWORD),
        ..GitRepository::default()
    };
    let client = match git::Client::new(world.http.clone(), &config) {
        Ok(client) => client,
        Err(error) => return failed(Shape::new(), &error),
    };
    let cursor = Cursor {
        known: [("refs/heads/old".to_owned(), Some("0".repeat(40)))].into(),
        ..Cursor::default()
    };
    world.runtime.block_on(async {
        let found = poll_git(&client, Some(&cursor), NOW).await;
        match found {
            Ok(found) => polled(Shape::new(), &found),
            Err(error) => failed(Shape::new(), &error),
        }
    })
}

fn controller(world: &World, kind: Kind) -> Controller {
    let generic = json!({
        "start": {"path": "a/{job}", "number": "/id"}, "find": {"path": "f?key={key}", "number": "/id"},
        "status": {"path": "a/{number}", "result": "/state", "url": "/url", "properties": "/out",
            "results": {"passed": "SUCCESS", "broken": "FAILURE"}},
        "stop": {"method": "DELETE", "path": "a/{number}"},
    });
    Controller {
        name: "ci".to_owned(),
        kind,
        address: world.server.address.clone(),
        username: if kind == Kind::Jenkins {
            "u".to_owned()
        } else {
            String::new()
        },
        password: if kind == Kind::Jenkins {
            Secret::new(PASSWORD)
        } else {
            Secret::default()
        },
        token: if kind == Kind::Jenkins {
            Secret::default()
        } else {
            Secret::new(PASSWORD)
        },
        generic: (kind == Kind::Generic)
            .then(|| serde_json::from_value(generic).unwrap_or_default()),
        read_timeout_ms: 5_000,
        ..Controller::default()
    }
}

/// Every call of a build server, one after the other, on the same answers.
fn ci_answers(world: &World, kind: Kind) -> Outcome {
    let server = match world.build_server(kind) {
        Ok(server) => server,
        Err(error) => return failed(Shape::new(), &error),
    };
    let job = if kind == Kind::GithubActions {
        WORKFLOW
    } else {
        JOB
    };
    let request = BuildRequest::new(job, "key-1");
    world.runtime.block_on(async {
        let mut shape = Shape::new();
        let mut number = 7;
        match server.prepare(&request).await {
            Ok(prepared) => {
                shape = shape.word("prepared").set("unique", prepared.is_unique);
                match server.start(&request, &prepared).await {
                    Ok(Started::Queued { item, .. }) => {
                        shape = shape.word("queued");
                        shape = match server.locate(job, item).await {
                            Ok(found) => shape.said(first_words(&format!("{found:?}"), 1)),
                            Err(error) => failed(shape, &error)?,
                        };
                    }
                    Ok(Started::Build {
                        number: started, ..
                    }) => {
                        number = started;
                        shape = shape.word("started");
                    }
                    Ok(Started::Accepted) => shape = shape.word("accepted"),
                    Err(error) => shape = failed(shape, &error)?,
                }
                shape = match server.look_for(&request, &prepared).await {
                    Ok(found) => shape.set("found", found.is_some()),
                    Err(error) => failed(shape, &error)?,
                };
            }
            Err(error) => shape = failed(shape, &error)?,
        }
        shape = one_build(shape, &*server, job, number).await?;
        shape = match server.stop(&request, Some(5), Some(number)).await {
            Ok(()) => shape.word("stopped"),
            Err(error) => failed(shape, &error)?,
        };
        Ok(shape)
    })
}

async fn one_build(mut shape: Shape, server: &dyn BuildServer, job: &str, number: u64) -> Outcome {
    match server.build(job, number).await {
        Ok(build) => {
            shape = shape
                .word(format_args!("{:?}", build.finished()))
                .count("artifacts", build.artifacts.len());
            let shown = build.generic("n", None);
            bounded("a build", json_bytes(&shown)?, 1024 * 1024)?;
            for file in ["a.properties", "a.json", "a.yml"] {
                shape = match server.properties(job, &build, file).await {
                    Ok(values) => shape.count("values", values.len()),
                    Err(error) => failed(shape, &error)?,
                };
            }
        }
        Err(error) => shape = failed(shape, &error)?,
    }
    for start in [LogStart::At(0), LogStart::Tail(100)] {
        shape = match server.log(job, number, start).await {
            Ok(page) => shape.count("log", page.text.len()).set("more", page.more),
            Err(error) => failed(shape, &error)?,
        };
    }
    Ok(shape)
}

/// A look at all jobs of a controller.
fn jobs_answers(world: &World) -> Outcome {
    let jenkins = match world.jenkins() {
        Ok(jenkins) => jenkins,
        Err(error) => return failed(Shape::new(), &error),
    };
    let looked = Looked {
        polled_ms: 1,
        ..Looked::default()
    };
    match world.runtime.block_on(poll_once(&jenkins, &looked)) {
        Ok(polled) => {
            let shape = Shape::new().count("events", polled.events.len());
            let shape = shape
                .count("jobs", polled.cursor.jobs.len())
                .count("failed", polled.failed.len());
            polled
                .failed
                .iter()
                .take(2)
                .try_fold(shape, |shape, (_, error)| failed(shape, error))
        }
        Err(error) => failed(Shape::new(), &error),
    }
}

fn registries() -> Vec<Input> {
    let challenge =
        r#"Bearer realm="{server}/token",service="r",scope="repository:acme/shop:pull""#;
    let digest = format!("sha256:{}", "ab".repeat(32));
    seeds::of_values(&[
        json!([{"status": 401, "headers": {"www-authenticate": challenge}}, {"body": {"token": "t", "expires_in": 60}},
            {"headers": {"link": "</v2/acme/shop/tags/list?n=3&last=v2>; rel=\"next\""}, "body": {"tags": ["v1", "v2"]}},
            {"body": {"name": "acme/shop", "tags": ["v3"]}}, {"headers": {"docker-content-digest": digest}}]),
        json!([{"status": 401, "headers": {"www-authenticate": "Basic realm=\"r\""}}, {"body": {"tags": ["v1"]}}]),
        json!([{"body": {"tags": ["1", "2", "latest"]}}, {"headers": {"content-type":
            "application/vnd.oci.image.index.v1+json"}, "body": {"schemaVersion": 2, "manifests": []}}]),
        json!([{"status": 429, "headers": {"retry-after": "7"}}]),
        json!([{"status": 503, "headers": {"retry-after": "Thu, 01 Jan 1970 00:17:00 GMT",
            "date": "Thu, 01 Jan 1970 00:16:40 GMT"}}]),
        json!([{"status": 404, "body": {"errors": [{"code": "NAME_UNKNOWN", "message": "no", "detail": {}}]}}]),
        json!([{"status": 307, "headers": {"location": "{server}/elsewhere"}}, {"body": {"tags": null}}]),
    ])
}

fn gits() -> Vec<Input> {
    let commit = "af".repeat(20);
    let kind = json!({"content-type": "application/x-git-upload-pack-advertisement"});
    let result = json!({"content-type": "application/x-git-upload-pack-result"});
    let head = format!("{commit} HEAD\0multi_ack symref=HEAD:refs/heads/main agent=git/2");
    let main = format!("{commit} refs/heads/main");
    let tag = format!("{commit} refs/tags/v1^{{}}");
    let listed = format!("{commit} HEAD symref-target:refs/heads/main");
    let peeled = format!("{commit} refs/tags/v1 peeled:{commit}");
    seeds::of_values(&[
        json!([{"headers": kind, "lines": ["# service=git-upload-pack", "", head, main, tag, ""]}]),
        json!([{"headers": kind, "lines": ["version 2", "agent=git/2", "ls-refs=unborn", "object-format=sha1", ""]},
            {"headers": result, "lines": [listed, main, peeled, ""]}]),
        json!([{"headers": kind, "lines": [""]}]),
        json!([{"headers": kind, "lines": ["ERR access denied"]}]),
        json!([{"headers": kind, "text": "0004000500010002fff0"}]),
        json!([{"status": 401, "text": "<html>no</html>"}]),
    ])
}

fn jenkinses() -> Vec<Input> {
    let build = json!({"number": 7, "building": false, "result": "SUCCESS", "url": "{server}/job/acme/job/shop/7/",
        "timestamp": 1, "duration": 2, "queueId": 5, "artifacts": [{"relativePath": "a/a.properties",
        "fileName": "a.properties", "displayPath": "a"}, {"relativePath": "a.yml", "fileName": "a.yml"}],
        "actions": [{"buildsByBranchName": {"main": {"revision": {"SHA1": "ab", "branch": [{"name": "main"}]}}},
        "remoteUrls": ["u"]}, {"failCount": 1, "totalCount": 2, "urlName": "testReport"}]});
    let job = json!({"name": "shop", "fullName": "acme/shop", "buildable": true, "nextBuildNumber": 7,
        "property": [{"parameterDefinitions": [{"name": "A", "type": "ChoiceParameterDefinition", "choices": ["1"],
        "defaultParameterValue": {"value": "1"}}]}], "jobs": [{"name": "shop", "_class": "WorkflowJob",
        "url": "{server}/job/acme/job/shop/", "lastBuild": {"number": 7, "building": false}}], "builds": [build]});
    seeds::of_values(&[
        json!([{"body": job}, {"status": 201, "headers": {"location": "{server}/queue/item/5/"}},
            {"body": {"id": 5, "why": "waits", "executable": {"number": 7}}}, {"body": build}]),
        json!([{"body": build}]),
        json!([{"body": job}]),
        json!([{"headers": {"x-jenkins": "2.500", "x-text-size": "10", "x-more-data": "true",
            "set-cookie": "JSESSIONID.1=a; Path=/"}, "text": "SPINNAKER_PROPERTY_A=1\nx\n"}]),
        json!([{"status": 403, "text": "<h2>HTTP ERROR 403 No valid crumb</h2>"},
            {"body": {"crumb": "c", "crumbRequestField": "Jenkins-Crumb"}}]),
        json!([{"body": {"jobs": [{"name": "f", "_class": "com.cloudbees.hudson.plugins.folder.Folder",
            "jobs": [{"name": "j", "lastBuild": {"number": 3}}]}]}}]),
    ])
}

fn gitlabs() -> Vec<Input> {
    let run = json!({"id": 7, "status": "success", "web_url": "u", "ref": "main", "sha": "ab",
        "created_at": "2026-09-01T10:00:00.123Z", "duration": 3, "default_branch": "main"});
    seeds::of_values(&[
        json!([{"body": run}]),
        json!([{"body": run}, {"status": 201, "body": run}, {"body": [run]}, {"body": run}]),
        json!([{"body": [{"id": 9, "started_at": null}, {"id": 8}]}, {"text": "SPINNAKER_CONFIG_JSON={\"a\":1}\n"}]),
        json!([{"status": 400, "body": {"message": {"base": ["Insufficient permissions to set pipeline variables"]}}}]),
    ])
}

fn githubs() -> Vec<Input> {
    let run = json!({"id": 7, "run_number": 7, "status": "completed", "conclusion": "success", "html_url": "u",
        "head_branch": "main", "head_sha": "ab", "created_at": "2026-09-01T10:00:00Z", "workflow_run_id": 7,
        "default_branch": "main", "name": "n", "display_title": "t", "workflow_id": 1});
    seeds::of_values(&[
        json!([{"body": run}]),
        json!([{"body": {"default_branch": "main"}}, {"status": 204}, {"body": {"workflow_runs": [run]}}, {"body": run}]),
        json!([{"body": {"jobs": [{"id": 7, "conclusion": "success"}], "artifacts": [{"id": 1, "name": "a"}]}}]),
        json!([{"status": 422, "body": {"message": "Unexpected inputs provided: [\"SPINNAKER_EXECUTION_ID\"]"}}]),
        json!([{"status": 429, "headers": {"retry-after": "60", "x-ratelimit-reset": "1788240001"}}]),
    ])
}

fn generics() -> Vec<Input> {
    let state = json!({"id": 7, "state": "passed", "url": "u", "out": {"TAG": "1"}});
    seeds::of_values(&[
        json!([{"body": state}]),
        json!([{"status": 201, "body": {"id": "7"}}, {"body": state}]),
    ])
}
