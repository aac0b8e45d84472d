use std::sync::{Arc, Mutex};

use kork_model::Status;
use proptest::prelude::*;

use super::*;
use crate::{
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
        ("neutral", Status::Succeeded, "SUCCESS"),
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

proptest! {
    #[test]
    fn no_run_breaks_it(id in any::<u64>(), status in "(completed|\\PC{0,8})", conclusion in "\\PC{0,8}", time in "\\PC{0,12}") {
        let value = json!({ "id": id, "status": status, "conclusion": conclusion, "created_at": time });
        prop_assert_eq!(build(&value).unwrap().number, id);
    }
}
