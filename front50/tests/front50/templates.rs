//! Templates: what one save stores, who wins a name, what may be deleted.

use kork::model::api::front50::{DeleteTemplate, SaveTemplate};
use kork::model::{
    Context,
    api::front50::{GetObject, SavePipeline},
};
use serde_json::{Value, json};

use crate::rig::Rig;

fn object(value: Value) -> Context {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

fn template(description: &str) -> Context {
    object(json!({
        "id": "Wait-T", "schema": "v2", "own": null,
        "metadata": {"name": "n", "description": description, "scopes": ["global"]},
        "pipeline": {"stages": []},
    }))
}

fn save(description: &str, tag: Option<&str>, create: bool) -> SaveTemplate {
    SaveTemplate {
        template: template(description),
        tag: tag.map(str::to_owned),
        create,
        user: "bob".to_owned(),
    }
}

async fn version(rig: &Rig, id: &str) -> Option<Context> {
    let get = GetObject {
        object_type: "pipelineTemplate".to_owned(),
        id: id.to_owned(),
    };
    rig.ask(get).await.ok()
}

#[tokio::test]
async fn one_save_stores_the_named_the_latest_and_the_unchanging_version() {
    let rig = Rig::start().await;
    rig.ask(save("one", Some("stable"), true))
        .await
        .expect("new");
    let stable = version(&rig, "wait-t:stable").await.expect("the named one");
    assert_eq!(
        (&stable["tag"], &stable["lastModifiedBy"], &stable["own"]),
        (&json!("stable"), &json!("bob"), &json!(null))
    );
    let latest = version(&rig, "wait-t:latest").await.expect("the latest");
    assert_eq!(latest["tag"], "latest");
    let digest = front50::domain::template::content_digest(&template("one"));
    let key = format!("front50/pipeline-templates/wait-t@sha256:{digest}");
    let kept = rig
        .body(&format!("{key}/pipeline-template-metadata.json"))
        .await;
    let kept: Value = serde_json::from_str(&kept).expect("stored under Spinnaker's key");
    assert_eq!(
        (&kept["digest"], &kept["tag"]),
        (&json!(digest), &json!("latest"))
    );
    assert_eq!(
        version(&rig, "wait-t").await,
        None,
        "the plain one was not saved"
    );

    let problem = rig.ask(save("two", Some("stable"), true)).await;
    let detail = "A pipeline template with the id Wait-T:stable already exists";
    assert_eq!(problem.expect_err("taken").detail, detail);
    rig.ask(save("two", None, false)).await.expect("replaced");
    let described =
        async |id: &str| version(&rig, id).await.expect("there")["metadata"]["description"].clone();
    assert_eq!(described("wait-t").await, "two");
    assert_eq!(described("wait-t:latest").await, "two");
    assert_eq!(described("wait-t:stable").await, "one");
    assert_eq!(described(&format!("wait-t@sha256:{digest}")).await, "one");
}

#[tokio::test]
async fn of_two_that_create_one_template_one_wins() {
    let mut rig = Rig::start().await;
    let ports = rig.second().await;
    for round in 0..20 {
        let create = |who: &str| {
            let mut create = save(who, None, true);
            create
                .template
                .insert("id".to_owned(), json!(format!("t{round}")));
            create
        };
        let (one, other) = tokio::join!(
            rig.ask(create("one")),
            crate::rig::ask(&ports, create("other"))
        );
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        let winner = if one.is_ok() { "one" } else { "other" };
        let stored = version(&rig, &format!("t{round}")).await.expect("stored");
        assert_eq!(stored["metadata"]["description"], winner);
    }
}

#[tokio::test]
async fn a_template_stays_while_pipelines_are_made_from_it() {
    let rig = Rig::start().await;
    rig.ask(save("one", None, true)).await.expect("new");
    let pipeline = object(json!({
        "id": "p-1", "application": "shop", "name": "n", "type": "templatedPipeline",
        "template": {"reference": "spinnaker://wait-t", "type": "front50/pipelineTemplate"},
    }));
    let saved = rig
        .ask(SavePipeline {
            pipeline,
            ..SavePipeline::default()
        })
        .await;
    saved.expect("saved");
    let delete = |tag: Option<&str>| DeleteTemplate {
        id: "Wait-T".to_owned(),
        tag: tag.map(str::to_owned),
        ..DeleteTemplate::default()
    };
    let problem = rig.ask(delete(None)).await.expect_err("needed");
    let detail = "The following pipeline configs depend on this template: p-1";
    assert_eq!(problem.detail, detail);
    rig.ask(delete(Some("latest"))).await.expect("not needed");
    assert_eq!(version(&rig, "wait-t:latest").await, None);
    assert!(version(&rig, "wait-t").await.is_some());
    rig.ask(delete(Some("latest"))).await.expect("gone already");
}
