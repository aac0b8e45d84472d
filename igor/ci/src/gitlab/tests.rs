use std::sync::{Arc, Mutex};

use kork_model::Status;
use proptest::prelude::*;

use super::*;
use crate::{
    config::Kind,
    double::{Answer, Asked, Double, Waiting, follow},
};

/// A project with pipelines that go one status further with every look.
#[derive(Default)]
struct State {
    pipelines: Vec<(u64, Value, usize)>,
    statuses: Vec<&'static str>,
    lose: Option<&'static str>,
    /// Nobody may give variables; the project may say so.
    refuses: Option<bool>,
    /// A pipeline of somebody else was started after ours was prepared.
    other: bool,
    /// Its repository has no branch.
    is_empty: bool,
    /// Of every pipeline.
    jobs: Vec<Value>,
    /// Logs and files by what comes after `jobs/`.
    left: Vec<(String, String)>,
    calls: Vec<String>,
}

const PROJECT: &str = "/api/v4/projects/payments%2Fsub%2Fledger";

impl State {
    fn answer(&mut self, asked: &Asked) -> Answer {
        assert_eq!(asked.token, "hush");
        self.calls.push(asked.line.clone());
        let (method, path) = asked.line.split_once(' ').unwrap();
        if path == PROJECT {
            let branch = (!self.is_empty).then_some("feature/x");
            let role = (self.refuses == Some(true)).then_some("no_one_allowed");
            return (
                200,
                json!({ "default_branch": branch, "ci_pipeline_variables_minimum_override_role": role }),
            );
        }
        let path = path.strip_prefix(PROJECT).unwrap_or("elsewhere");
        let parts: Vec<&str> = path.split(['/', '?']).skip(1).collect();
        match (method, &parts[..]) {
            ("POST", ["pipeline"]) => self.make(&asked.body),
            ("GET", ["pipelines", query]) if query.contains("per_page") => {
                let mut all: Vec<u64> = self.pipelines.iter().rev().map(|p| p.0).collect();
                if self.other && !all.is_empty() {
                    all.insert(0, 9_000);
                }
                (200, all.into_iter().map(|id| self.shown(id)).collect())
            }
            ("GET", ["pipelines", id]) => {
                let id = id.parse().unwrap();
                let shown = self.shown(id);
                self.pipelines
                    .iter_mut()
                    .filter(|p| p.0 == id)
                    .for_each(|p| p.2 += 1);
                (200, shown)
            }
            ("GET", ["pipelines", "9000", "variables"]) => {
                (403, json!({ "message": "403 Forbidden" }))
            }
            ("GET", ["pipelines", id, "variables"]) => {
                let id: u64 = id.parse().unwrap();
                let found = self.pipelines.iter().find(|p| p.0 == id);
                found.map_or((404, Value::Null), |p| (200, p.1["variables"].clone()))
            }
            ("GET", ["pipelines", _, "jobs", _]) if !self.jobs.is_empty() => {
                (200, self.jobs.clone().into())
            }
            ("GET", ["jobs", ..]) if !self.left.is_empty() => {
                let found = self
                    .left
                    .iter()
                    .find(|(at, _)| path == format!("/jobs/{at}"));
                found.map_or((404, Value::Null), |(_, body)| (200, json!(body)))
            }
            ("GET", ["pipelines", _, "jobs", _]) => (
                200,
                json!([{ "id": 9, "started_at": null }, { "id": 8 }, { "id": 7 }]),
            ),
            ("GET", ["jobs", "7", "trace"]) => (
                200,
                json!("$ echo SPINNAKER_PROPERTY_A=no\nSPINNAKER_PROPERTY_A=1\n"),
            ),
            ("GET", ["jobs", "8", "trace"]) => (200, json!("SPINNAKER_PROPERTY_A=2\n")),
            ("POST", ["pipelines", _, "cancel"]) => {
                self.statuses = vec!["canceling", "canceled"];
                self.pipelines.iter_mut().for_each(|p| p.2 = 0);
                (200, json!({}))
            }
            _ => (404, json!({ "message": "404 Project Not Found" })),
        }
    }

    fn make(&mut self, body: &Value) -> Answer {
        let variables = body["variables"].as_array().unwrap();
        if self.refuses.is_some() && !variables.is_empty() {
            let said = "Insufficient permissions to set pipeline variables";
            return (400, json!({ "message": { "base": [said] } }));
        }
        let lost = self.lose.take();
        if lost == Some("request") {
            return (0, Value::Null);
        }
        let id = 700 + self.pipelines.len() as u64;
        self.pipelines.push((id, body.clone(), 0));
        if lost.is_some() {
            (0, Value::Null)
        } else {
            (201, self.shown(id))
        }
    }

    fn shown(&self, id: u64) -> Value {
        let looks = self.pipelines.iter().find(|p| p.0 == id).map_or(0, |p| p.2);
        let status = self.statuses[looks.min(self.statuses.len() - 1)];
        json!({
            "id": id, "iid": 3, "status": status, "source": "api", "ref": "feature/x", "sha": "3f0c",
            "web_url": format!("https://gitlab.example/payments/sub/ledger/-/pipelines/{id}"),
            "created_at": "2026-09-01T10:00:00.000Z", "started_at": "2026-09-01T10:00:05.000Z",
            "finished_at": "2026-09-01T10:03:05.000Z",
        })
    }
}

struct World {
    _double: Double,
    state: Arc<Mutex<State>>,
    ci: Gitlab,
    clock: Waiting,
}

async fn world(statuses: &[&'static str]) -> World {
    let state = State {
        statuses: statuses.to_vec(),
        ..State::default()
    };
    let state = Arc::new(Mutex::new(state));
    let shared = Arc::clone(&state);
    let double = Double::start(move |asked| shared.lock().unwrap().answer(&asked)).await;
    let clock = Waiting::default();
    let ci = Gitlab::new(&double.controller(Kind::Gitlab), Arc::new(clock.clone())).unwrap();
    World {
        _double: double,
        state,
        ci,
        clock,
    }
}

fn request() -> BuildRequest {
    let mut request = BuildRequest::new("payments/sub/ledger", "key-1");
    request.branch = Some("feature/x".to_owned());
    request
        .parameters
        .insert("ENV".to_owned(), "staging".to_owned());
    request
}

#[tokio::test]
async fn a_lost_answer_is_found_beside_pipelines_that_are_not_ours_to_see() {
    let world = world(&["running", "success"]).await;
    {
        let mut state = world.state.lock().unwrap();
        state.lose = Some("answer");
        state.other = true;
    }
    let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    assert_eq!(world.state.lock().unwrap().pipelines.len(), 1);
}

#[tokio::test]
async fn a_project_that_takes_no_variables_is_built_without_ours() {
    for (told, lose) in [
        (true, None),
        (false, None),
        (true, Some("answer")),
        (false, Some("answer")),
    ] {
        let world = world(&["running", "success"]).await;
        {
            let mut state = world.state.lock().unwrap();
            (state.refuses, state.lose) = (Some(told), lose);
        }
        let mut request = request();
        request.parameters.clear();
        request.branch = None;
        let outcome = follow(&world.ci, &world.clock, &request, 100).await;
        assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
        let state = world.state.lock().unwrap();
        assert_eq!(state.pipelines.len(), 1, "{told} {lose:?}");
        assert_eq!(state.pipelines[0].1["ref"], "feature/x");
    }
    let world = world(&["success"]).await;
    world.state.lock().unwrap().refuses = Some(false);
    let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
    assert_eq!(outcome.status, Status::Terminal);
    let error = outcome.error.unwrap();
    assert!(error.contains("pipeline variables"), "{error}");
}

#[tokio::test]
async fn a_pipeline_is_started_followed_and_its_log_is_read() {
    let world = world(&["created", "pending", "running", "running", "success"]).await;
    let mut request = request();
    request.property_file = Some("log".to_owned());
    let outcome = follow(&world.ci, &world.clock, &request, 100).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    let info = &outcome.outputs["buildInfo"];
    assert_eq!(
        (&info["number"], &info["duration"], &info["result"]),
        (&json!(700), &json!(180_000), &json!("SUCCESS"))
    );
    assert_eq!(
        (&info["scm"][0]["branch"], &info["scm"][0]["remoteUrl"]),
        (
            &json!("feature/x"),
            &json!("https://gitlab.example/payments/sub/ledger.git")
        )
    );
    assert_eq!(outcome.outputs["propertyFileContents"], json!({ "a": "2" }));
    let sent = &world.state.lock().unwrap().pipelines[0].1;
    assert_eq!(sent["ref"], "feature/x");
    let variables = sent["variables"].as_array().unwrap();
    assert!(variables.contains(&json!({ "key": "ENV", "value": "staging" })));
    assert!(variables.contains(&json!({ "key": "SPINNAKER_EXECUTION_ID", "value": "key-1" })));
}

#[tokio::test]
async fn statuses_become_results() {
    for (last, status) in [
        ("success", Status::Succeeded),
        ("failed", Status::Terminal),
        ("canceled", Status::Canceled),
        ("skipped", Status::Terminal),
    ] {
        let world = world(&[
            "waiting_for_resource",
            "manual",
            "scheduled",
            "preparing",
            last,
        ])
        .await;
        let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
        assert_eq!(outcome.status, status, "{last}");
    }
}

#[tokio::test]
async fn a_lost_answer_starts_no_second_pipeline() {
    for lost in ["request", "reply"] {
        let world = world(&["running", "success"]).await;
        world.state.lock().unwrap().lose = Some(lost);
        let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
        assert_eq!(outcome.status, Status::Succeeded);
        assert_eq!(world.state.lock().unwrap().pipelines.len(), 1, "{lost}");
    }
}

#[tokio::test]
async fn called_back_cancels_the_pipeline() {
    let world = world(&["running"]).await;
    let outcome = follow(&world.ci, &world.clock, &request(), 3).await;
    assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
    let state = world.state.lock().unwrap();
    assert!(
        state
            .calls
            .iter()
            .any(|c| c.ends_with("/pipelines/700/cancel")),
        "{:?}",
        state.calls
    );
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let world = world(&["running"]).await;
    world.state.lock().unwrap().is_empty = true;
    let mut no_branch = request();
    no_branch.branch = None;
    let outcome = follow(&world.ci, &world.clock, &no_branch, 100).await;
    assert!(outcome.error.unwrap().contains("needs a branch"));
    let mut elsewhere = request();
    elsewhere.job = "other".to_owned();
    let outcome = follow(&world.ci, &world.clock, &elsewhere, 100).await;
    assert_eq!(outcome.status, Status::Terminal);
    assert!(outcome.error.unwrap().contains("was not found"));
}

fn job(id: u64, name: &str, status: &str, archived: bool) -> Value {
    let archive = archived.then(|| json!({ "filename": "artifacts.zip", "size": 1000 }));
    json!({ "id": id, "name": name, "status": status, "allow_failure": name == "lint",
            "started_at": (status != "created").then_some("2026-09-01T10:00:05.000Z"), "artifacts_file": archive })
}

#[tokio::test]
async fn the_end_of_the_log_that_says_most_is_shown() {
    let cases = [
        (
            ["success", "failed", "failed", "created"],
            "failed",
            "[test]",
        ),
        (
            ["success", "failed", "running", "running"],
            "failed",
            "[deploy]",
        ),
        (
            ["success", "failed", "success", "created"],
            "success",
            "[test]",
        ),
    ];
    for (states, last, shown) in cases {
        let world = world(&["running", last]).await;
        {
            let mut state = world.state.lock().unwrap();
            let names = ["build", "lint", "test", "deploy"];
            let jobs = (7..=10).zip(names.into_iter().zip(states));
            state.jobs = jobs
                .map(|(id, (name, is))| job(id, name, is, false))
                .collect();
            state.jobs.reverse();
            let log = format!(
                "{}\u{1b}[31mlast words\u{1b}[0;m\r\n",
                "line\n".repeat(100_000)
            );
            state.left = (7..=10)
                .map(|id| (format!("{id}/trace"), log.clone()))
                .collect();
        }
        let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
        let tail = outcome.context["consoleTail"].as_str().unwrap();
        assert!(
            tail.starts_with(shown) && tail.ends_with("line\nlast words\n"),
            "{tail}"
        );
        assert!((4_000..=4_096).contains(&tail.len()), "{}", tail.len());
    }
}

#[tokio::test]
async fn what_jobs_archived_is_handed_on_and_a_property_file_is_read_from_it() {
    let of = async |file: &str| {
        let world = world(&["success"]).await;
        {
            let mut state = world.state.lock().unwrap();
            state.jobs = vec![
                job(8, "test: unit", "success", true),
                job(7, "build", "success", true),
                job(6, "lint", "success", false),
            ];
            state.left = [
                ("7/artifacts/out/build%20it.json", "{\"TAG\": \"1.4.2\"}"),
                ("7/artifacts/both.yml", "TAG: of build"),
                ("8/artifacts/both.yml", "TAG: of test"),
                ("8/artifacts/broken.json", "{"),
                ("6/artifacts/none.json", "{\"TAG\": 1}"),
                ("6/trace", "SPINNAKER_PROPERTY_TAG=logged\n"),
                ("7/trace", ""),
                ("8/trace", ""),
            ]
            .map(|(at, body)| (at.to_owned(), body.to_owned()))
            .into();
        }
        let mut request = request();
        request.property_file = Some(file.to_owned());
        let outcome = follow(&world.ci, &world.clock, &request, 100).await;
        let tag = |name| outcome.outputs["propertyFileContents"].get(name).cloned();
        (
            outcome.error.clone(),
            tag("TAG").or(tag("tag")),
            outcome.outputs["artifacts"].clone(),
        )
    };
    let (error, tag, artifacts) = of("out/build it.json").await;
    assert_eq!((error, tag), (None, Some(json!("1.4.2"))));
    assert_eq!(artifacts.as_array().unwrap().len(), 2);
    let archive = &artifacts[0];
    assert_eq!(
        (&archive["type"], &archive["relativePath"]),
        (&json!("http/file"), &json!("build/artifacts.zip"))
    );
    let reference = archive["reference"].as_str().unwrap();
    assert!(
        reference.ends_with("/api/v4/projects/payments%2Fsub%2Fledger/jobs/7/artifacts"),
        "{reference}"
    );
    assert_eq!(of("test: unit/both.yml").await.1, Some(json!("of test")));
    let said = of("both.yml").await.0.unwrap();
    assert!(
        said.contains("build/both.yml, test: unit/both.yml"),
        "{said}"
    );
    let said = of("broken.json").await.0.unwrap();
    assert!(said.contains("cannot be read"), "{said}");
    for logged in ["none.json", "../../secret", "a//b", "elsewhere"] {
        assert_eq!(of(logged).await.1, Some(json!("logged")), "{logged}");
    }
}

proptest! {
    #[test]
    fn no_pipeline_breaks_it(id in any::<u64>(), status in "\\PC{0,8}", time in "\\PC{0,12}", url in "\\PC{0,20}") {
        let value = json!({ "id": id, "status": status, "created_at": time, "web_url": url });
        prop_assert_eq!(build(&value).unwrap().number, id);
    }
}
