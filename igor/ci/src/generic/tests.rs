use std::sync::{Arc, Mutex};

use kork_model::Status;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    config::Kind,
    double::{Answer, Asked as Call, Double, Waiting, follow},
    path::encoded,
};

/// A server with builds that go one state further with every look.
#[derive(Default)]
struct State {
    builds: Vec<(Call, usize)>,
    posts: usize,
    states: Vec<&'static str>,
    lose_reply: bool,
    stopped: bool,
}

impl State {
    fn answer(&mut self, call: Call) -> Answer {
        assert_eq!(call.token, "Bearer hush");
        let (method, path) = call.line.split_once(' ').unwrap();
        let parts: Vec<&str> = path.split(['/', '?']).skip(1).collect();
        match (method, &parts[..]) {
            ("POST", ["api", "jobs", "shop%2Fbuild", "runs"]) => {
                self.posts += 1;
                // The same key is the same build.
                if self.builds.is_empty() {
                    self.builds.push((call, 0));
                }
                let id = "41";
                if std::mem::take(&mut self.lose_reply) {
                    return (0, Value::Null);
                }
                (201, json!({ "run": { "id": id } }))
            }
            ("GET", ["api", "runs", query]) if query.starts_with("key=") => {
                let key = query.strip_prefix("key=").unwrap();
                let found = self.builds.iter().position(|(b, _)| encoded(&b.key) == key);
                (
                    200,
                    json!({ "run": found.map(|at| json!({ "id": 41 + at })) }),
                )
            }
            ("GET", ["api", "runs", "41"]) => {
                let (_, looks) = &mut self.builds[0];
                let state = if self.stopped {
                    "Cancelled"
                } else {
                    self.states[(*looks).min(self.states.len() - 1)]
                };
                *looks += 1;
                let page = "https://builds.example/41";
                (
                    200,
                    json!({ "state": state, "links": { "web": page }, "out": { "TAG": "1.4.2" } }),
                )
            }
            ("DELETE", ["api", "runs", "41"]) => {
                self.stopped = true;
                (204, Value::Null)
            }
            _ => (404, json!({ "message": "not found" })),
        }
    }
}

const HOW: &str = r#"{
    "start": {"path": "api/jobs/{job}/runs", "number": "/run/id",
              "body": {"ref": "refs/heads/{branch}", "with": "{parameters}", "env": ["{parameters.ENV}"], "key": "{key}"}},
    "status": {"path": "api/runs/{number}", "result": "/state", "url": "/links/web", "properties": "/out",
               "results": {"passed": "SUCCESS", "flaky": "UNSTABLE", "broken": "FAILURE", "cancelled": "ABORTED"}},
    "find": {"path": "api/runs?key={key}", "number": "/run/id"},
    "stop": {"method": "DELETE", "path": "api/runs/{number}", "body": null}
}"#;

struct World {
    _double: Double,
    state: Arc<Mutex<State>>,
    ci: Generic,
    clock: Waiting,
}

async fn world(states: &[&'static str], change: impl FnOnce(&mut config::Generic)) -> World {
    let state = State {
        states: states.to_vec(),
        ..State::default()
    };
    let state = Arc::new(Mutex::new(state));
    let shared = Arc::clone(&state);
    let double = Double::start(move |call| shared.lock().unwrap().answer(call)).await;
    let clock = Waiting::default();
    let mut controller = double.controller(Kind::Generic);
    let mut how = serde_json::from_str(HOW).unwrap();
    change(&mut how);
    controller.generic = Some(how);
    assert_eq!(controller.problems(), Vec::<String>::new());
    let ci = Generic::new(&controller, Arc::new(clock.clone())).unwrap();
    World {
        _double: double,
        state,
        ci,
        clock,
    }
}

fn request() -> BuildRequest {
    let mut request = BuildRequest::new("shop/build", "01J/1/2");
    request.branch = Some("main".to_owned());
    request.property_file = Some("properties".to_owned());
    let parameters = [("ENV", "{key}"), ("B", "2")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    request.parameters = parameters.into();
    request
}

#[tokio::test]
async fn a_build_is_started_followed_and_handed_on() {
    let world = world(&["queued", "running", "Passed"], |_| {}).await;
    let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
    assert_eq!((outcome.status, outcome.error), (Status::Succeeded, None));
    assert_eq!(outcome.outputs["TAG"], "1.4.2");
    let info = &outcome.outputs["buildInfo"];
    assert_eq!(
        (&info["number"], &info["result"]),
        (&json!(41), &json!("SUCCESS"))
    );
    assert_eq!(info["url"], "https://builds.example/41");
    let state = world.state.lock().unwrap();
    let (asked, _) = &state.builds[0];
    assert_eq!(asked.key, "01J/1/2");
    let body = json!({"ref": "refs/heads/main", "with": {"ENV": "{key}", "B": "2"}, "env": ["{key}"], "key": "01J/1/2"});
    assert_eq!(asked.body, body);
}

#[tokio::test]
async fn words_become_results() {
    for (word, status) in [
        ("flaky", Status::Terminal),
        ("BROKEN", Status::Terminal),
        ("cancelled", Status::Canceled),
    ] {
        let world = world(&["something new", word], |_| {}).await;
        let outcome = follow(&world.ci, &world.clock, &request(), 100).await;
        assert_eq!(outcome.status, status, "{word}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_or_repeated_only_where_it_may_be() {
    for (has_find, is_repeatable, posts) in [(true, false, 1), (false, true, 2), (false, false, 1)]
    {
        let world = world(&["passed"], |how| {
            how.find = how.find.take().filter(|_| has_find);
            how.start.repeatable = is_repeatable;
        })
        .await;
        world.state.lock().unwrap().lose_reply = true;
        let mut request = request();
        request.property_file = None;
        let outcome = follow(&world.ci, &world.clock, &request, 100).await;
        let state = world.state.lock().unwrap();
        assert_eq!(state.posts, posts, "{has_find} {is_repeatable}");
        let is_known = has_find || is_repeatable;
        assert_eq!(outcome.error.is_none(), is_known, "{:?}", outcome.error);
        assert!(is_known || outcome.error.unwrap().contains("not known whether"));
    }
}

#[tokio::test]
async fn called_back_stops_the_build() {
    let world = world(&["running"], |_| {}).await;
    let outcome = follow(&world.ci, &world.clock, &request(), 3).await;
    assert_eq!((outcome.status, outcome.error), (Status::Canceled, None));
    assert!(world.state.lock().unwrap().stopped);
}

#[test]
fn what_is_wrong_with_an_account_is_told() {
    let how = json!({"start": {"path": "/a", "number": "id"}, "status": {"path": "s", "results": {"ok": "GOOD"}}});
    let controller = Controller {
        name: "b".to_owned(),
        kind: Kind::Generic,
        address: "https://b.example".to_owned(),
        generic: serde_json::from_value(how).unwrap(),
        ..Controller::default()
    };
    assert_eq!(
        controller.problems().len(),
        3,
        "{:?}",
        controller.problems()
    );
    let none = Controller {
        generic: None,
        ..controller
    };
    assert_eq!(none.problems().len(), 1);
}

#[test]
fn the_example_of_the_manual_is_an_account() {
    let manual = include_str!("../../../../docs/triggers.md");
    let block = manual
        .split("```yaml")
        .find(|block| block.contains("kind: generic"));
    let example = block.unwrap().split("```").next().unwrap();
    let config: crate::CiConfig = serde_yaml_ng::from_str(example).unwrap();
    assert_eq!(config.controllers[0].kind, Kind::Generic);
    assert_eq!(config.problems(), Vec::<String>::new());
}

proptest! {
    #[test]
    fn no_template_breaks_it(template in "(\\{|\\}|job|key|parameters|\\.|ENV|ü){0,12}") {
        let request = request();
        let asked = Asked { request: Some(&request), job: &request.job, number: None };
        asked.path(&template);
    }
}
