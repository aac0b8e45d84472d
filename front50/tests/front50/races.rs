//! Two instances on one store, and many writers at once.

use kork::{
    model::{Problem, api::front50::*},
    ports::{Condition, Ports},
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::rig::{Rig, ask, eventually, object};

/// Writers at once.
const WRITERS: usize = 50;

fn create(name: &str) -> SavePipeline {
    let pipeline = object(json!({"application": "shop", "name": name}));
    SavePipeline {
        pipeline,
        user: "ana".to_owned(),
        ..Default::default()
    }
}

async fn race(first: &Ports, second: &Ports, name: &str) -> Vec<Result<String, Problem>> {
    let mut running = JoinSet::new();
    for writer in 0..WRITERS {
        let ports = if writer % 2 == 0 {
            first.clone()
        } else {
            second.clone()
        };
        // Case makes no difference.
        let name = if writer % 3 == 0 {
            name.to_uppercase()
        } else {
            name.to_owned()
        };
        running.spawn(async move {
            let saved = ask(&ports, create(&name)).await?;
            Ok(saved["id"].as_str().unwrap_or_default().to_owned())
        });
    }
    running.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_creates_of_one_name_exactly_one_wins() {
    for mut rig in [Rig::start().await, Rig::start_in_directory().await] {
        let second = rig.second().await;
        let results = race(&rig.ports, &second, "deploy").await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{results:?}");
        for problem in results.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(problem.code, "FRONT50-0002", "{problem}");
        }
        let stored = rig
            .ports
            .objects
            .list("front50/pipelines/")
            .await
            .expect("a list");
        let stored = stored
            .iter()
            .filter(|info| info.key.ends_with("pipeline-metadata.json"));
        assert_eq!(stored.count(), 1, "losers leave nothing");
        let names = rig
            .ports
            .objects
            .list("front50-rs/names/pipelines/shop/")
            .await
            .expect("a list");
        assert_eq!(names.len(), 1);
    }
}

#[tokio::test]
async fn a_name_without_its_pipeline_is_taken_over_in_time() {
    let rig = Rig::start().await;
    ask(&rig.ports, create("deploy")).await.expect("created");
    let names = rig
        .ports
        .objects
        .list("front50-rs/names/pipelines/shop/")
        .await
        .expect("a list");
    let key = &names[0].key;
    let record =
        |at: u64| json!({"id": "gone", "name": "x", "application": "shop", "at": at}).to_string();
    let delete = DeletePipeline {
        application: "shop".to_owned(),
        name: "deploy".to_owned(),
        ..Default::default()
    };
    rig.ask(delete).await.expect("deleted");
    assert!(rig.body(key).await.is_empty(), "given back");
    // A writer died between the name and its pipeline: just now, and long ago.
    let now = rig.ports.clock.now().millis();
    rig.ports
        .objects
        .put(key, record(now).into(), Condition::Always)
        .await
        .expect("stored");
    let problem = ask(&rig.ports, create("deploy"))
        .await
        .expect_err("may still be at work");
    assert_eq!(problem.code, "FRONT50-0002");
    rig.ports
        .objects
        .put(key, record(0).into(), Condition::Always)
        .await
        .expect("stored");
    let saved = ask(&rig.ports, create("deploy")).await.expect("taken over");
    assert!(
        rig.body(key)
            .await
            .contains(saved["id"].as_str().expect("an id"))
    );
}

#[tokio::test]
async fn a_save_on_one_instance_is_seen_on_the_other() {
    let mut rig = Rig::start().await;
    let second = rig.second().await;
    let saved = rig.ask(create("deploy")).await.expect("created");
    let id = saved["id"].as_str().expect("an id").to_owned();
    let get = || GetPipeline {
        id: id.clone(),
        strategies: false,
    };
    let by_name = || PipelineByName {
        application: "shop".to_owned(),
        name: "deploy".to_owned(),
        strategies: false,
    };
    assert_eq!(ask(&second, get()).await.expect("at once, by id"), saved);
    assert_eq!(
        ask(&second, by_name()).await.expect("at once, by name")["id"],
        saved["id"]
    );
    let list = || ListPipelines {
        application: Some("shop".to_owned()),
        ..Default::default()
    };
    eventually("the list shows it", || async {
        let list = ask(&second, list()).await.expect("a list");
        (list.len() == 1)
            .then_some(())
            .ok_or_else(|| format!("{list:?}"))
    })
    .await;
    let delete = DeletePipeline {
        application: "shop".to_owned(),
        name: "deploy".to_owned(),
        ..Default::default()
    };
    ask(&second, delete).await.expect("deleted by the other");
    assert_eq!(
        rig.ask(get()).await.expect_err("at once").code,
        "FRONT50-0004"
    );
    eventually("the list is empty", || async {
        let list = rig.ask(list()).await.expect("a list");
        list.is_empty()
            .then_some(())
            .ok_or_else(|| format!("{list:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_checked_saves_of_one_version_exactly_one_wins() {
    let mut rig = Rig::start().await;
    let second = rig.second().await;
    let loaded = rig.ask(create("deploy")).await.expect("created");
    let mut running = JoinSet::new();
    for writer in 0..WRITERS {
        let ports = if writer % 2 == 0 {
            rig.ports.clone()
        } else {
            second.clone()
        };
        let mut pipeline = loaded.clone();
        pipeline.insert("writer".to_owned(), json!(writer));
        running.spawn(async move {
            let save = SavePipeline {
                pipeline,
                stale_check: true,
                ..Default::default()
            };
            ask(&ports, save).await
        });
    }
    let results = running.join_all().await;
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        1,
        "{results:?}"
    );
    for problem in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(problem.kind.status(), 409, "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn merges_of_one_application_lose_nothing() {
    let mut rig = Rig::start().await;
    let second = rig.second().await;
    let mut running = JoinSet::new();
    for writer in 0..WRITERS {
        let ports = if writer % 2 == 0 {
            rig.ports.clone()
        } else {
            second.clone()
        };
        running.spawn(async move {
            let mut application = object(json!({"name": "shop", "email": "s@acme.example"}));
            application.insert(format!("own{writer}"), json!(writer));
            ask(
                &ports,
                UpsertApplication {
                    application,
                    user: String::new(),
                },
            )
            .await
        });
    }
    for result in running.join_all().await {
        result.expect("merged");
    }
    let merged = rig
        .ask(GetApplication {
            name: "shop".to_owned(),
        })
        .await
        .expect("it is there");
    for writer in 0..WRITERS {
        assert_eq!(merged[&format!("own{writer}")], writer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_names_are_swapped_only_one_way() {
    let mut rig = Rig::start().await;
    let second = rig.second().await;
    let one = rig.ask(create("one")).await.expect("created");
    let two = rig.ask(create("two")).await.expect("created");
    let rename = |mut pipeline: kork::model::Context, name: &str| {
        pipeline.insert("name".to_owned(), json!(name));
        SavePipeline {
            pipeline,
            ..Default::default()
        }
    };
    let (first, other) = tokio::join!(
        rig.ask(rename(one, "three")),
        ask(&second, rename(two, "three"))
    );
    assert_eq!(
        usize::from(first.is_ok()) + usize::from(other.is_ok()),
        1,
        "{first:?} {other:?}"
    );
}

#[tokio::test]
async fn changes_of_applications_reach_the_other_instance_by_name() {
    let mut rig = Rig::start().await;
    let second = rig.second().await;
    let mut events = rig.events().await;
    // An application may have a member `id` that means nothing here.
    let application = object(
        json!({"name": "Shop", "email": "s@acme.example", "id": "other",
        "permissions": {"READ": ["devs"]}}),
    );
    let upsert = UpsertApplication {
        application,
        user: "ana".to_owned(),
    };
    rig.ask(upsert).await.expect("created");
    let (permission, application) = (events.next().await, events.next().await);
    assert_eq!(permission.kind, "front50:permission:created");
    assert_eq!(application.kind, "front50:application:created");
    assert_eq!(application.subject.as_deref(), Some("Shop"));
    assert_eq!(application.application.as_deref(), Some("Shop"));
    assert_ne!(permission.id, application.id);
    eventually("the list shows it with its permissions", || async {
        let list = ask(&second, ListApplications {}).await.expect("a list");
        let is_there = list
            .first()
            .is_some_and(|it| it["permissions"] == json!({"READ": ["devs"]}));
        is_there.then_some(()).ok_or_else(|| format!("{list:?}"))
    })
    .await;
}
