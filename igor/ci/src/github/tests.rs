use std::sync::{Arc, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use kork_model::Status;
use proptest::prelude::*;

use super::*;
use crate::{
    archive::tests::zipped,
    config::Kind,
    double::{Answer, Asked, Double, Waiting, follow},
};

/// A repository with runs that go one state further with every look.
#[derive(Default)]
struct State {
    runs: Vec<(u64, Value, usize)>,
    /// Status and conclusion.
    states: Vec<(&'static str, Option<&'static str>)>,
    /// The server knows `return_run_details`.
    has_details: bool,
    /// The workflow declares the input for our key, and shows it in its name.
    has_key: bool,
    /// New runs are listed only after so many looks at the list.
    late: usize,
    lose_reply: bool,
    limited: usize,
    dispatches: usize,
    /// The log of the job is there only after so many looks.
    log_late: usize,
    jobs: Vec<Value>,
    /// Names and bytes.
    artifacts: Vec<(&'static str, Vec<u8>)>,
    /// The address of what keeps them.
    storage: String,
}

const REPOSITORY: &str = "/repos/acme/shop/actions";

impl State {
    fn answer(&mut self, asked: &Asked) -> Answer {
        assert_eq!(asked.token, "Bearer hush");
        if self.limited > 0 {
            self.limited -= 1;
            return (429, json!({ "message": "API rate limit exceeded" }));
        }
        let (method, path) = asked.line.split_once(' ').unwrap();
        if path == "/repos/acme/shop" {
            return (200, json!({ "default_branch": "main" }));
        }
        let path = path.strip_prefix(REPOSITORY).unwrap_or("elsewhere");
        let parts: Vec<&str> = path.split(['/', '?']).skip(1).collect();
        match (method, &parts[..]) {
            ("POST", ["workflows", "build.yml", "dispatches"]) => self.dispatch(&asked.body),
            ("GET", ["workflows", "build.yml", "runs", _]) => {
                self.late = self.late.saturating_sub(1);
                let known = if self.late > 0 { 0 } else { self.runs.len() };
                let all: Vec<u64> = self.runs.iter().take(known).rev().map(|r| r.0).collect();
                (
                    200,
                    json!({ "workflow_runs": all.into_iter().map(|id| self.shown(id)).collect::<Vec<_>>() }),
                )
            }
            ("GET", ["runs", id]) => {
                let id = id.parse().unwrap();
                let shown = self.shown(id);
                self.runs
                    .iter_mut()
                    .filter(|r| r.0 == id)
                    .for_each(|r| r.2 += 1);
                (200, shown)
            }
            ("GET", ["runs", _, "jobs", _]) if !self.jobs.is_empty() => {
                (200, json!({ "jobs": self.jobs }))
            }
            ("GET", ["runs", _, "artifacts", _]) if !self.artifacts.is_empty() => {
                let shown = self.artifacts.iter().zip(1..).map(|((name, bytes), id)| {
                    json!({ "id": id, "name": name, "size_in_bytes": bytes.len(), "expired": *name == "gone" })
                });
                (200, json!({ "artifacts": shown.collect::<Vec<_>>() }))
            }
            // GitHub keeps archives and logs elsewhere.
            ("GET", ["artifacts", id, "zip"]) => (302, json!(format!("{}/zip/{id}", self.storage))),
            ("GET", ["jobs", id, "logs"]) if !self.jobs.is_empty() => {
                (302, json!(format!("{}/log/{id}", self.storage)))
            }
            ("GET", ["runs", _, "jobs", _]) => (
                200,
                json!({ "jobs": [{ "id": 7, "conclusion": "success" }, { "id": 8, "conclusion": "skipped" }] }),
            ),
            ("GET", ["jobs", "7", "logs"]) if self.log_late > 0 => {
                self.log_late -= 1;
                (404, json!({ "message": "Not Found" }))
            }
            ("GET", ["jobs", "7", "logs"]) => (
                200,
                json!("2026-09-01T10:00:00.1234567Z SPINNAKER_PROPERTY_TAG=1.4.2\n"),
            ),
            ("POST", ["runs", _, "cancel"]) => {
                self.states = vec![("in_progress", None), ("completed", Some("cancelled"))];
                self.runs.iter_mut().for_each(|r| r.2 = 0);
                (202, json!({}))
            }
            _ => (404, json!({ "message": "Not Found" })),
        }
    }

    fn dispatch(&mut self, body: &Value) -> Answer {
        if body.get("return_run_details").is_some() && !self.has_details {
            return (
                400,
                json!({ "message": "\"return_run_details\" is not a permitted key." }),
            );
        }
        if body["inputs"].get("SPINNAKER_EXECUTION_ID").is_some() && !self.has_key {
            return (
                422,
                json!({ "message": "Unexpected inputs provided: [\"SPINNAKER_EXECUTION_ID\"]" }),
            );
        }
        self.dispatches += 1;
        let id = 40_000 + self.runs.len() as u64;
        self.runs.push((id, body.clone(), 0));
        if std::mem::take(&mut self.lose_reply) {
            return (0, Value::Null);
        }
        if body.get("return_run_details").is_some() {
            return (
                200,
                json!({ "workflow_run_id": id, "run_url": "", "html_url": format!("https://github.com/acme/shop/actions/runs/{id}") }),
            );
        }
        (204, Value::Null)
    }

    fn shown(&self, id: u64) -> Value {
        let (_, body, looks) = self.runs.iter().find(|r| r.0 == id).unwrap();
        let (status, conclusion) = self.states[(*looks).min(self.states.len() - 1)];
        json!({
            "id": id, "run_number": 12, "name": "build", "status": status, "conclusion": conclusion,
            "display_title": format!("build {}", body["inputs"]["SPINNAKER_EXECUTION_ID"]),
            "html_url": format!("https://github.com/acme/shop/actions/runs/{id}"),
            "head_branch": "main", "head_sha": "3f0c", "created_at": "2026-09-01T10:00:00Z",
            "run_started_at": "2026-09-01T10:00:05Z", "updated_at": "2026-09-01T10:01:05Z",
            "repository": { "html_url": "https://github.com/acme/shop" },
        })
    }
}

struct World {
    _double: Double,
    state: Arc<Mutex<State>>,
    ci: Github,
    clock: Waiting,
}

async fn world(state: State) -> World {
    let state = Arc::new(Mutex::new(state));
    let shared = Arc::clone(&state);
    let double = Double::start(move |asked| shared.lock().unwrap().answer(&asked)).await;
    let clock = Waiting::default();
    let ci = Github::new(
        &double.controller(Kind::GithubActions),
        Arc::new(clock.clone()),
    )
    .unwrap();
    World {
        _double: double,
        state,
        ci,
        clock,
    }
}

fn state(has_details: bool, has_key: bool) -> State {
    State {
        states: vec![
            ("queued", None),
            ("in_progress", None),
            ("completed", Some("success")),
        ],
        has_details,
        has_key,
        ..State::default()
    }
}

fn request() -> BuildRequest {
    let mut request = BuildRequest::new("acme/shop/build.yml", "key-1");
    request.branch = Some("main".to_owned());
    request
}

#[tokio::test]
async fn a_run_is_started_and_followed_on_every_server() {
    for (has_details, has_key) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut state = state(has_details, has_key);
        state.late = 5;
        let world = world(state).await;
        let mut request = request();
        request.property_file = Some("log".to_owned());
        let outcome = follow(&world.ci, &world.clock, &request, 100).await;
        assert_eq!(
            (outcome.status, &outcome.error),
            (Status::Succeeded, &None),
            "{has_details} {has_key}"
        );
        assert_eq!(outcome.outputs["buildInfo"]["number"], 40_000);
        assert_eq!(outcome.outputs["buildInfo"]["duration"], 60_000);
        assert_eq!(outcome.outputs["propertyFileContents"]["tag"], "1.4.2");
        assert_eq!(
            world.state.lock().unwrap().dispatches,
            1,
            "{has_details} {has_key}"
        );
        assert_eq!(
            outcome.context.contains_key("sharedBuild"),
            !has_details && !has_key
        );
    }
}

#[tokio::test]
async fn a_run_that_was_accepted_and_is_never_seen_is_not_asked_for_again() {
    let mut state = state(false, true);
    state.late = 1_000;
    let world = world(state).await;
    let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
    assert_eq!(outcome.status, Status::Terminal);
    assert!(outcome.error.unwrap().contains("accepted"));
    assert_eq!(world.state.lock().unwrap().dispatches, 1);
}

#[tokio::test]
async fn a_lost_answer_starts_no_second_run() {
    let mut state = state(true, true);
    state.lose_reply = true;
    let world = world(state).await;
    let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
    assert_eq!(
        (outcome.status, world.state.lock().unwrap().dispatches),
        (Status::Succeeded, 1)
    );
}

#[tokio::test]
async fn without_a_branch_the_default_one_is_built() {
    let world = world(state(false, false)).await;
    let mut request = request();
    request.branch = None;
    let outcome = follow(&world.ci, &world.clock, &request, 100).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    assert_eq!(world.state.lock().unwrap().runs[0].1["ref"], "main");
}

#[tokio::test]
async fn a_log_that_comes_late_is_waited_for() {
    let mut state = state(true, true);
    state.log_late = 5;
    let world = world(state).await;
    let mut request = request();
    request.property_file = Some("log".to_owned());
    let outcome = follow(&world.ci, &world.clock, &request, 100).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    assert_eq!(outcome.outputs["propertyFileContents"]["tag"], "1.4.2");
}

#[tokio::test]
async fn conclusions_become_results() {
    for (conclusion, status, result) in [
        ("failure", Status::Terminal, "FAILURE"),
        ("timed_out", Status::Terminal, "FAILURE"),
        ("startup_failure", Status::Terminal, "FAILURE"),
        ("something_new", Status::Terminal, "FAILURE"),
        ("cancelled", Status::Canceled, "ABORTED"),
        ("skipped", Status::Terminal, "NOT_BUILT"),
        ("neutral", Status::Terminal, "NOT_BUILT"),
        ("stale", Status::Terminal, "NOT_BUILT"),
    ] {
        let mut state = state(true, true);
        state.states = vec![
            ("completed", Some("action_required")),
            ("completed", Some(conclusion)),
        ];
        let world = world(state).await;
        let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
        assert_eq!(
            (outcome.status, &outcome.outputs["buildInfo"]["result"]),
            (status, &json!(result)),
            "{conclusion}"
        );
    }
}

#[tokio::test]
async fn called_back_cancels_the_run_and_limits_are_waited_for() {
    let mut state = state(true, true);
    state.states = vec![("in_progress", None)];
    state.limited = 3;
    let world = world(state).await;
    let outcome = follow(&world.ci, &world.clock, &request(), 8).await;
    assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
    let state = world.state.lock().unwrap();
    assert_eq!((state.dispatches, state.states.len()), (1, 2));
}

#[tokio::test]
async fn a_job_is_owner_repository_and_file() {
    let world = world(state(true, true)).await;
    for job in ["acme/shop", "acme/shop/a/b", "acme/../x", "//"] {
        let mut request = request();
        request.job = job.to_owned();
        let outcome = follow(&world.ci, &world.clock, &request, 100).await;
        assert!(outcome.error.unwrap().contains("workflow file"), "{job}");
    }
}

/// Serves archives and logs to whoever has the address, and must not see the token.
async fn storage(world: &World) -> Double {
    let state = Arc::clone(&world.state);
    let storage = Double::start(move |asked| {
        assert_eq!(asked.token, "", "the token of GitHub goes nowhere else");
        let state = state.lock().unwrap();
        match asked.line.split('/').collect::<Vec<_>>()[..] {
            ["GET ", "zip", id] => {
                let (_, bytes) = &state.artifacts[id.parse::<usize>().unwrap() - 1];
                (200, json!(format!("base64:{}", STANDARD.encode(bytes))))
            }
            ["GET ", "log", id] => (
                200,
                json!(format!("{}last words of {id}\n", "line\n".repeat(9_000))),
            ),
            _ => (404, json!("<Error><Code>BlobNotFound</Code></Error>")),
        }
    })
    .await;
    world
        .state
        .lock()
        .unwrap()
        .storage
        .clone_from(&storage.address);
    storage
}

#[tokio::test]
async fn a_property_file_is_read_from_an_artifact() {
    let of = async |file: &str| {
        let world = world(State {
            states: vec![("completed", Some("success"))],
            ..state(true, true)
        })
        .await;
        let _storage = storage(&world).await;
        {
            let mut state = world.state.lock().unwrap();
            state.jobs = vec![
                json!({ "id": 7, "name": "build", "status": "completed", "conclusion": "success" }),
            ];
            state.artifacts = vec![
                ("gone", zipped(&[("gone.json", b"{\"TAG\": 0}")])),
                (
                    "dist",
                    zipped(&[
                        ("out/a.json", b"{\"TAG\": \"1.4.2\"}"),
                        ("x/both.json", b"{\"TAG\": 1}"),
                    ]),
                ),
                ("other", zipped(&[("both.json", b"{\"TAG\": 2}")])),
                ("bomb", zipped(&[("bomb.json", &vec![b' '; 4_000_000])])),
                ("single.json", b"{\"TAG\": 3}".to_vec()),
                ("broken", b"PK\x03\x04 and so on".to_vec()),
            ];
            if file != "broken.json" {
                state.artifacts.pop();
            }
        }
        let mut request = request();
        request.property_file = Some(file.to_owned());
        let outcome = follow(&world.ci, &world.clock, &request, 100).await;
        let tag = outcome.outputs["propertyFileContents"].get("TAG").cloned();
        (
            outcome.error.clone(),
            tag,
            outcome.outputs["artifacts"].clone(),
        )
    };
    let (error, tag, artifacts) = of("a.json").await;
    assert_eq!((error, tag), (None, Some(json!("1.4.2"))));
    let names: Vec<&Value> = artifacts
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["name"])
        .collect();
    assert_eq!(
        names,
        ["dist.zip", "other.zip", "bomb.zip", "single.json.zip"]
    );
    let reference = artifacts[0]["reference"].as_str().unwrap();
    assert!(
        reference.ends_with("/repos/acme/shop/actions/artifacts/2/zip"),
        "{reference}"
    );
    assert_eq!(of("dist/out/a.json").await.1, Some(json!("1.4.2")));
    assert_eq!(of("single.json").await.1, Some(json!(3)));
    assert_eq!(of("other/both.json").await.1, Some(json!(2)));
    for (file, why) in [
        ("both.json", "other/both.json, dist/x/both.json"),
        ("gone.json", "no job of the build archived"),
        ("bomb.json", "more than 1048576 bytes"),
        ("broken.json", "the archive broken cannot be read"),
    ] {
        let said = of(file).await.0.unwrap();
        assert!(said.contains(why), "{file}: {said}");
    }
}

#[tokio::test]
async fn the_log_of_the_job_that_failed_is_shown_or_the_steps_of_one_that_runs() {
    let ended = |id: u64, name: &str, conclusion: &str| {
        json!({ "id": id, "name": name, "status": "completed", "conclusion": conclusion,
                "completed_at": format!("2026-09-01T10:00:0{id}Z") })
    };
    let running = json!({ "id": 9, "name": "deploy", "status": "in_progress", "conclusion": null, "steps": [
        { "name": "Set up job", "status": "completed", "conclusion": "success" },
        { "name": "Push", "status": "in_progress", "conclusion": null }, { "name": "Clean up", "status": "queued" }]});
    let cases = [
        (
            vec![
                ended(7, "build", "success"),
                ended(8, "test", "failure"),
                running.clone(),
            ],
            "[test]\n",
            "last words of 8\n",
        ),
        (
            vec![ended(7, "build", "success"), running],
            "[deploy]\nsuccess: Set up job\n",
            "in_progress: Push\nqueued: Clean up\n",
        ),
        (
            vec![
                ended(8, "b", "success"),
                ended(7, "a", "success"),
                ended(9, "c", "skipped"),
            ],
            "[b]\n",
            "last words of 8\n",
        ),
    ];
    for (jobs, begins, ends) in cases {
        let world = world(State {
            states: vec![("in_progress", None), ("completed", Some("failure"))],
            jobs,
            ..state(true, true)
        })
        .await;
        let _storage = storage(&world).await;
        let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
        let tail = outcome.context["consoleTail"].as_str().unwrap();
        assert!(tail.starts_with(begins) && tail.ends_with(ends), "{tail}");
        assert!(tail.len() <= 4_096, "{}", tail.len());
    }
}

proptest! {
    #[test]
    fn no_run_breaks_it(id in any::<u64>(), status in "(completed|\\PC{0,8})", conclusion in "\\PC{0,8}", time in "\\PC{0,12}") {
        let value = json!({ "id": id, "status": status, "conclusion": conclusion, "created_at": time });
        prop_assert_eq!(build(&value).unwrap().number, id);
    }
}
