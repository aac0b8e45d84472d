//! Projects of a GitLab that are looked at beside its webhooks.

use std::sync::{Arc, Mutex};

use kork::rpc;
use kork_model::{
    InboundEvent, Kind, Problem, Timestamp,
    api::igor::{CompleteEvent, ListSources},
    inbound::{EventKind, Verified},
};
use serde_json::{Value, json};

use crate::{
    http::serve,
    world::{World, eventually},
};

fn pipeline(id: u64) -> Value {
    let status = if id == 13 { "running" } else { "success" };
    json!({"id": id, "status": status, "ref": "main", "sha": "3f0c", "created_at": "2026-09-01T10:00:00Z",
           "web_url": format!("https://gitlab.example/acme/shop/-/pipelines/{id}")})
}

fn webhook(id: u64) -> String {
    json!({"object_kind": "pipeline", "project": {"path_with_namespace": "acme/shop"},
           "object_attributes": {"id": id, "status": "success", "ref": "main", "sha": "3f0c"}})
    .to_string()
}

/// What the world knows of the pipelines of `acme/shop`.
struct Lab {
    world: World,
    pipelines: Arc<Mutex<Vec<u64>>>,
    calls: Arc<Mutex<Vec<String>>>,
}

async fn lab(poll_ms: u64) -> Lab {
    let pipelines: Arc<Mutex<Vec<u64>>> = Arc::new(Mutex::new(vec![1]));
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let (known, made) = (Arc::clone(&pipelines), Arc::clone(&calls));
    let address = serve(move |call, _| {
        let newest: Vec<u64> = known.lock().unwrap().iter().rev().copied().collect();
        made.lock().unwrap().push(call.clone());
        async move {
            let (_, rest) = call.split_once("/api/v4/projects/acme%2Fshop/").unwrap();
            Some(match rest.split(['/', '?']).collect::<Vec<_>>()[..] {
                ["pipelines", id] if !id.starts_with("per_page") => pipeline(id.parse().unwrap()),
                ["pipelines", _, "jobs", _] => {
                    json!([{"id": 70, "name": "build", "status": "success",
                    "artifacts_file": {"filename": "artifacts.zip", "size": 9}}])
                }
                ["jobs", "70", "artifacts", "out", "build.json"] => json!({"TAG": "1.4.2"}),
                ["pipelines", ..] => newest.into_iter().map(pipeline).collect(),
                _ => return None,
            })
        }
    });
    let address = address.await;
    let world = World::new(&json!({})).await;
    world.write("secret", "token");
    let accounts = json!({
        "controllers": [{"name": "lab", "kind": "gitlab", "address": address, "projects": ["acme/shop"], "pollMs": poll_ms}],
        "sources": [{"name": "main", "sender": "gitlab", "controller": "lab", "secretFiles": [world.path("secret")]}],
    });
    world.write("accounts.yaml", &accounts.to_string());
    let lab = Lab {
        world,
        pipelines,
        calls,
    };
    lab.shows("name").await;
    lab
}

impl Lab {
    /// What is shown of the server.
    async fn shows(&self, field: &str) -> Value {
        eventually("it is shown", async || {
            let sources = rpc::call(&*self.world.ports.rpc, &ListSources {})
                .await
                .unwrap();
            let lab = sources.into_iter().find(|source| source["name"] == "lab")?;
            lab.get(field).filter(|value| !value.is_null()).cloned()
        })
        .await
    }

    async fn complete(
        &self,
        event: InboundEvent,
        file: Option<&str>,
    ) -> Result<Option<InboundEvent>, Problem> {
        let request = CompleteEvent {
            event,
            property_files: file.map(str::to_owned).into_iter().collect(),
        };
        rpc::call(&*self.world.ports.rpc, &request).await
    }
}

#[tokio::test]
async fn a_property_file_is_read_when_a_trigger_wants_one() {
    let lab = lab(0).await;
    let headers = [
        ("x-gitlab-event", "Pipeline Hook"),
        ("x-gitlab-token", "token"),
    ];
    lab.world
        .send("gitlab/main", &headers, &webhook(7))
        .await
        .unwrap();
    let told = lab.world.stored().remove(0);
    assert!(told.incomplete);
    let as_sent = lab.complete(told.clone(), None).await.unwrap().unwrap();
    assert_eq!(
        (as_sent.incomplete, &as_sent.trigger),
        (false, &told.trigger)
    );
    assert!(
        lab.calls.lock().unwrap().is_empty(),
        "nobody wants to know more"
    );
    let whole = lab
        .complete(told.clone(), Some("out/build.json"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        whole.trigger["propertyFiles"]["out/build.json"],
        json!({"TAG": "1.4.2"})
    );
    assert_eq!(whole.trigger["buildInfo"]["number"], 7);
    assert_eq!(
        (&whole.id, &whole.result, whole.verified),
        (&told.id, &told.result, told.verified)
    );
    assert_eq!(whole.artifacts[0]["type"], "http/file");
    // What the server does not say keeps nothing that was proved from starting.
    let none = lab.complete(told, Some("none.json")).await.unwrap_err();
    assert_eq!(none.kind, Kind::Unavailable, "it did not answer");
}

/// As a person chooses it: by its number alone.
#[tokio::test]
async fn a_build_of_which_only_the_number_is_known_is_looked_up() {
    let lab = lab(0).await;
    let chosen = |number: u64| InboundEvent {
        kind: EventKind::Build,
        source: "lab".to_owned(),
        job: Some("acme/shop".to_owned()),
        build_number: Some(number),
        received: Timestamp(u64::MAX / 2),
        incomplete: true,
        ..InboundEvent::default()
    };
    let found = lab
        .complete(chosen(7), Some("out/build.json"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.result.as_deref(), found.branch.as_deref()),
        (Some("SUCCESS"), Some("main"))
    );
    assert_eq!(found.trigger["buildInfo"]["result"], "SUCCESS");
    assert_eq!(
        found.trigger["propertyFiles"]["out/build.json"]["TAG"],
        "1.4.2"
    );
    assert_eq!(found.verified, Verified::Fetched);
    let running = lab.complete(chosen(13), None).await.unwrap_err();
    assert!(running.detail.contains("has not ended"), "{running:?}");
}

#[tokio::test]
async fn a_pipeline_has_one_name_whoever_tells_of_it() {
    let lab = lab(1_000).await;
    let (world, pipelines) = (&lab.world, &lab.pipelines);
    lab.shows("lastPoll").await;
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
