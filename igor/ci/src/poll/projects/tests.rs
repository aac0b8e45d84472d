use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use kork_model::inbound::{EventKind, Verified};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::Kind,
    double::{Answer, Asked, Double, Waiting},
    server::connect,
};

/// A server with builds by project, oldest first: number, and whether it has ended.
#[derive(Default)]
struct State {
    builds: BTreeMap<String, Vec<(u64, bool)>>,
    broken: Vec<&'static str>,
    calls: usize,
}

impl State {
    /// A page of a list, newest first.
    fn page(&self, project: &str, query: &str) -> Vec<(u64, bool)> {
        let page = query
            .rsplit_once("page=")
            .unwrap()
            .1
            .parse::<usize>()
            .unwrap();
        let newest = self.builds[project].iter().rev().copied();
        newest.skip((page - 1) * PAGE).take(PAGE).collect()
    }

    fn one(&self, project: &str, id: &str) -> Option<(u64, bool)> {
        let id: u64 = id.parse().unwrap();
        self.builds[project]
            .iter()
            .find(|(known, _)| *known == id)
            .copied()
    }

    fn gitlab(&mut self, asked: &Asked) -> Answer {
        self.calls += 1;
        let path = asked.line.strip_prefix("GET /api/v4/projects/").unwrap();
        let (project, rest) = path.split_once('/').unwrap();
        let project = project.replace("%2F", "/");
        if self.broken.contains(&project.as_str()) {
            return (404, json!({ "message": "404 Project Not Found" }));
        }
        let shown = |(id, ended): (u64, bool)| {
            json!({ "id": id, "status": if ended { "success" } else { "running" }, "ref": format!("v{id}"),
                    "sha": "3f0c", "tag": id % 2 == 0, "user": { "username": "ana" },
                    "created_at": "2026-09-01T10:00:00.000Z",
                    "web_url": format!("https://gitlab.example/{project}/-/pipelines/{id}") })
        };
        match rest.strip_prefix("pipelines").unwrap().split_at(1) {
            ("?", query) => {
                let page = self.page(&project, query).into_iter();
                // A list does not say whether a pipeline is of a tag, nor whose it is.
                let row = page.map(|build| {
                    let mut row = shown(build);
                    row.as_object_mut()
                        .unwrap()
                        .retain(|key, _| key != "tag" && key != "user");
                    row
                });
                (200, row.collect())
            }
            (_, id) => self
                .one(&project, id)
                .map_or((404, Value::Null), |b| (200, shown(b))),
        }
    }

    fn github(&mut self, asked: &Asked) -> Answer {
        self.calls += 1;
        let path = asked
            .line
            .strip_prefix("GET /repos/acme/shop/actions/")
            .unwrap();
        let path = path.strip_prefix("workflows/build.yml/").unwrap_or(path);
        let path = path.strip_prefix("runs").unwrap();
        let shown = |(id, ended): (u64, bool)| {
            let head = if id == 7_003 {
                "stranger/shop"
            } else {
                "acme/shop"
            };
            json!({ "id": id, "run_number": id - 7_000, "run_attempt": 2, "name": "Build it",
                    "path": ".github/workflows/build.yml@main", "head_branch": "main", "head_sha": "3f0c",
                    "status": if ended { "completed" } else { "in_progress" },
                    "conclusion": ended.then_some("success"), "created_at": "2026-09-01T10:00:00Z",
                    "html_url": format!("https://github.example/acme/shop/actions/runs/{id}"),
                    "repository": { "full_name": "acme/shop" }, "head_repository": { "full_name": head },
                    "triggering_actor": { "login": "ana" } })
        };
        match path.split_at(1) {
            ("?", query) => {
                let page = self.page("acme/shop", query).into_iter().map(shown);
                (200, json!({ "workflow_runs": page.collect::<Vec<_>>() }))
            }
            (_, id) => self
                .one("acme/shop", id)
                .map_or((404, Value::Null), |b| (200, shown(b))),
        }
    }
}

struct World {
    _double: Double,
    state: Arc<Mutex<State>>,
    ci: Arc<dyn BuildServer>,
    projects: Vec<String>,
    cursor: Cursor,
}

async fn world(kind: Kind, projects: &[&str]) -> World {
    let state: Arc<Mutex<State>> = Arc::default();
    for project in projects {
        state
            .lock()
            .unwrap()
            .builds
            .insert((*project).to_owned(), Vec::new());
    }
    let shared = Arc::clone(&state);
    let answer = if kind == Kind::Gitlab {
        State::gitlab
    } else {
        State::github
    };
    let double = Double::start(move |asked| answer(&mut shared.lock().unwrap(), &asked)).await;
    let ci = connect(&double.controller(kind), Arc::new(Waiting::default())).unwrap();
    World {
        _double: double,
        state,
        ci,
        projects: projects.iter().map(|p| (*p).to_owned()).collect(),
        cursor: Cursor::default(),
    }
}

impl World {
    fn set(&self, project: &str, builds: &[(u64, bool)]) {
        self.state
            .lock()
            .unwrap()
            .builds
            .insert(project.to_owned(), builds.to_vec());
    }

    async fn look(&mut self) -> Polled {
        let polled = poll_projects(&*self.ci, &self.projects, 50, &self.cursor)
            .await
            .unwrap();
        let kept = serde_json::to_value(&polled.cursor).unwrap();
        self.cursor = serde_json::from_value(kept).unwrap();
        polled
    }

    async fn ids(&mut self) -> Vec<String> {
        let polled = self.look().await;
        assert!(polled.failed.is_empty(), "{:?}", polled.failed);
        polled.events.into_iter().map(|event| event.id).collect()
    }
}

#[tokio::test]
async fn the_first_look_at_a_project_is_silent_and_later_ones_tell_what_ended_once() {
    let mut world = world(Kind::Gitlab, &["a/b/ledger"]).await;
    world.set("a/b/ledger", &[(10, true), (21, false), (30, true)]);
    assert_eq!(world.ids().await, [""; 0]);
    world.set(
        "a/b/ledger",
        &[(10, true), (21, true), (30, true), (44, true), (51, false)],
    );
    let told = ["gitlab-ci:lab:a/b/ledger:21", "gitlab-ci:lab:a/b/ledger:44"];
    assert_eq!(world.ids().await, told);
    assert_eq!(world.ids().await, [""; 0]);
    // A project that the account names later, one without pipelines so far, and one that was deleted.
    world.projects = ["a/b/ledger", "a/new", "a/empty"].map(str::to_owned).into();
    world.set("a/new", &[(3, true)]);
    world.set("a/empty", &[]);
    world.set("a/b/ledger", &[(10, true)]);
    assert_eq!(world.ids().await, [""; 0]);
    world.set("a/new", &[(3, true), (60, true)]);
    world.set("a/empty", &[(61, true)]);
    assert_eq!(
        world.ids().await,
        ["gitlab-ci:lab:a/new:60", "gitlab-ci:lab:a/empty:61"]
    );
    world.projects = vec!["a/new".to_owned()];
    world.look().await;
    assert_eq!(
        world.cursor.jobs.len(),
        1,
        "what is not looked at is forgotten"
    );
}

#[tokio::test]
async fn a_pipeline_is_told_as_its_webhook_tells_it() {
    let mut world = world(Kind::Gitlab, &["a/ledger"]).await;
    world.look().await;
    world.set("a/ledger", &[(7, true), (8, true)]);
    let [branch, tag] = <[InboundEvent; 2]>::try_from(world.look().await.events).unwrap();
    assert_eq!(
        (branch.branch.as_deref(), branch.tag.as_deref()),
        (Some("v7"), None)
    );
    assert_eq!(
        (tag.branch.as_deref(), tag.tag.as_deref()),
        (None, Some("v8"))
    );
    assert_eq!(
        (tag.kind, tag.verified, tag.incomplete),
        (EventKind::Build, Verified::Fetched, false)
    );
    assert_eq!(
        (&*tag.sender, &*tag.source, tag.job.as_deref()),
        ("gitlab", "lab", Some("a/ledger"))
    );
    assert_eq!(
        (tag.build_number, tag.result.as_deref(), tag.building),
        (Some(8), Some("SUCCESS"), Some(false))
    );
    assert_eq!(
        (tag.actor.as_deref(), tag.commit.as_deref()),
        (Some("ana"), Some("3f0c"))
    );
    assert_eq!(
        (
            &tag.trigger["master"],
            &tag.trigger["job"],
            &tag.trigger["buildNumber"]
        ),
        (&json!("lab"), &json!("a/ledger"), &json!(8))
    );
    assert_eq!(tag.trigger["buildInfo"]["result"], "SUCCESS");
}

#[tokio::test]
async fn a_run_is_told_as_its_webhook_tells_it_and_none_of_a_fork() {
    let mut world = world(Kind::GithubActions, &["acme/shop"]).await;
    world.set("acme/shop", &[(7_001, true), (7_002, false)]);
    assert_eq!(world.ids().await, [""; 0]);
    world.set(
        "acme/shop",
        &[(7_001, true), (7_002, true), (7_003, true), (7_004, false)],
    );
    let events = world.look().await.events;
    let ids: Vec<_> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["githubActions:lab:acme/shop/build.yml:2.2"]);
    assert_eq!(events[0].job.as_deref(), Some("acme/shop/build.yml"));
    assert_eq!(
        (events[0].build_number, &*events[0].sender),
        (Some(2), "github")
    );
    assert_eq!(events[0].repository.as_deref(), Some("acme/shop"));
    world.set("acme/shop", &[(7_003, true), (7_004, true)]);
    assert_eq!(
        world.ids().await,
        ["githubActions:lab:acme/shop/build.yml:4.2"]
    );
}

#[tokio::test]
async fn a_run_is_found_by_the_number_that_people_see() {
    let world = world(Kind::GithubActions, &["acme/shop"]).await;
    let many: Vec<_> = (7_001..=7_250).map(|id| (id, true)).collect();
    world.set("acme/shop", &many);
    let find = async |job: &str, shown, url: Option<&str>| {
        let found = world.ci.projects().unwrap().find(job, shown, url).await;
        found.map(|found| found.map(|(project, number)| format!("{project} {number}")))
    };
    let job = "acme/shop/build.yml";
    assert_eq!(
        find(job, 12, None).await.unwrap().unwrap(),
        "acme/shop 7012"
    );
    assert_eq!(find(job, 999, None).await.unwrap(), None);
    let calls = world.state.lock().unwrap().calls;
    let page = "https://github.example/acme/shop/actions/runs/7099/job/3";
    assert_eq!(
        find(job, 12, Some(page)).await.unwrap().unwrap(),
        "acme/shop 7099"
    );
    assert_eq!(world.state.lock().unwrap().calls, calls, "its page says it");
    assert!(find("acme/shop", 12, None).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_read_is_read_the_next_time() {
    let mut world = world(Kind::Gitlab, &["a/x", "a/y"]).await;
    world.look().await;
    world.set("a/x", &[(1, true)]);
    world.set("a/y", &[(2, true)]);
    world.state.lock().unwrap().broken = vec!["a/x"];
    let polled = world.look().await;
    assert_eq!((polled.events.len(), polled.failed.len()), (1, 1));
    world.state.lock().unwrap().broken = vec!["a/x", "a/y"];
    let none = poll_projects(&*world.ci, &world.projects, 50, &world.cursor).await;
    assert!(none.unwrap_err().is_not_found(), "nothing can be read");
    world.state.lock().unwrap().broken = Vec::new();
    assert_eq!(world.ids().await, ["gitlab-ci:lab:a/x:1"]);
}

#[tokio::test]
async fn of_very_many_the_newest_are_told_and_looking_ends() {
    let mut world = world(Kind::Gitlab, &["a/x"]).await;
    world.set("a/x", &[(1, true)]);
    world.look().await;
    let many: Vec<_> = (1..=2_000).map(|id| (id, true)).collect();
    world.set("a/x", &many[..160]);
    let polled = world.look().await;
    assert_eq!((polled.events.len(), polled.skipped[0].1), (50, 109));
    world.set("a/x", &many);
    world.state.lock().unwrap().calls = 0;
    let polled = world.look().await;
    assert_eq!(polled.events.last().unwrap().build_number, Some(2_000));
    assert_eq!((polled.events.len(), polled.skipped[0].1), (50, 451));
    assert_eq!(world.state.lock().unwrap().calls, PAGES_MAX + 50);
    assert_eq!(world.ids().await, [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whenever pipelines end, and whenever it is looked: each is told once, and none that had ended before.
    #[test]
    fn each_is_told_once(steps in proptest::collection::vec((0usize..3, any::<prop::sample::Index>()), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = world(Kind::Gitlab, &["a/x"]).await;
            world.set("a/x", &[(1, true)]);
            let (mut builds, mut told) = (vec![(1, true)], Vec::new());
            world.look().await;
            for (what, at) in steps {
                match what {
                    0 => builds.push((builds.len() as u64 + 1, false)),
                    1 => { let at = at.index(builds.len()); builds[at].1 = true; }
                    _ => told.extend(world.ids().await),
                }
                world.set("a/x", &builds);
            }
            told.extend(world.ids().await);
            let ended = builds.iter().skip(1).filter(|(_, ended)| *ended);
            let mut ended: Vec<_> = ended.map(|(id, _)| format!("gitlab-ci:lab:a/x:{id}")).collect();
            ended.sort();
            told.sort();
            assert_eq!(told, ended);
        });
    }
}
