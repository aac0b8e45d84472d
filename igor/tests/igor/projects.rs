//! Projects of a GitLab that are looked at beside its webhooks.

use std::sync::{Arc, Mutex};

use kork::rpc;
use kork_model::api::igor::ListSources;
use serde_json::{Value, json};

use crate::{
    http::serve,
    world::{World, eventually},
};

fn pipeline(id: u64) -> Value {
    json!({"id": id, "status": "success", "ref": "main", "sha": "3f0c", "created_at": "2026-09-01T10:00:00Z",
           "web_url": format!("https://gitlab.example/acme/shop/-/pipelines/{id}")})
}

fn webhook(id: u64) -> String {
    json!({"object_kind": "pipeline", "project": {"path_with_namespace": "acme/shop"},
           "object_attributes": {"id": id, "status": "success", "ref": "main", "sha": "3f0c"}})
    .to_string()
}

#[tokio::test]
async fn a_pipeline_has_one_name_whoever_tells_of_it() {
    let pipelines: Arc<Mutex<Vec<u64>>> = Arc::new(Mutex::new(vec![1]));
    let known = Arc::clone(&pipelines);
    let address = serve(move |call, _| {
        let newest: Vec<u64> = known.lock().unwrap().iter().rev().copied().collect();
        async move {
            let (_, rest) = call
                .split_once("/api/v4/projects/acme%2Fshop/pipelines")
                .unwrap();
            Some(match rest.strip_prefix('/') {
                Some(id) => pipeline(id.parse().unwrap()),
                None => newest.into_iter().map(pipeline).collect(),
            })
        }
    });
    let address = address.await;
    let world = World::new(&json!({})).await;
    world.write("secret", "token");
    let accounts = json!({
        "controllers": [{"name": "lab", "kind": "gitlab", "address": address, "projects": ["acme/shop"], "pollMs": 1_000}],
        "sources": [{"name": "main", "sender": "gitlab", "controller": "lab", "secretFiles": [world.path("secret")]}],
    });
    world.write("accounts.yaml", &accounts.to_string());
    let seen = |field: &'static str| {
        let world = &world;
        eventually("it was looked", async move || {
            let sources = rpc::call(&*world.ports.rpc, &ListSources {}).await.unwrap();
            let lab = sources.into_iter().find(|source| source["name"] == "lab")?;
            lab.get(field).filter(|value| !value.is_null()).cloned()
        })
    };
    seen("lastPoll").await;
    assert!(world.stored().is_empty(), "the first look is silent");
    pipelines.lock().unwrap().push(2);
    eventually("the look tells of it", async || {
        (!world.stored().is_empty()).then_some(())
    })
    .await;
    let headers = [
        ("x-gitlab-event", "Pipeline Hook"),
        ("x-gitlab-token", "token"),
    ];
    for id in [2, 3] {
        world
            .send("gitlab/main", &headers, &webhook(id))
            .await
            .unwrap();
    }
    let told = world.stored();
    let [looked, sent, later] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(looked.id, "gitlab-ci:lab:acme/shop:2");
    assert_eq!(sent.id, looked.id);
    assert_eq!(
        (
            &sent.job,
            &sent.build_number,
            &sent.result,
            &sent.branch,
            &sent.sender
        ),
        (
            &looked.job,
            &looked.build_number,
            &looked.result,
            &looked.branch,
            &looked.sender
        )
    );
    pipelines.lock().unwrap().push(3);
    eventually("the look tells of it", async || {
        world.stored().get(3).cloned()
    })
    .await;
    assert_eq!(world.stored()[3].id, later.id);
}
