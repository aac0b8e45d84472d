//! Saving, reading, ordering and deleting pipelines over the bus.

use std::collections::BTreeMap;

use kork::model::{Context, Problem, api::front50::*};
use serde_json::{Value, json};

use crate::rig::{Rig, object};

async fn save(rig: &Rig, pipeline: Value) -> Result<Context, Problem> {
    rig.ask(SavePipeline {
        pipeline: object(pipeline),
        user: "ana".to_owned(),
        ..Default::default()
    })
    .await
}

async fn save_checked(rig: &Rig, pipeline: Context) -> Result<Context, Problem> {
    rig.ask(SavePipeline {
        pipeline,
        user: "bob".to_owned(),
        stale_check: true,
        ..Default::default()
    })
    .await
}

fn id_of(document: &Context) -> String {
    document["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_pipeline_is_created_updated_renamed_and_deleted() {
    let rig = Rig::start().await;
    let mut events = rig.events().await;
    let first = save(
        &rig,
        json!({"application": "shop", "name": " deploy ", "x": {"deep": [1, null]}}),
    )
    .await
    .expect("created");
    assert_eq!(
        (&first["name"], &first["schema"], &first["triggers"]),
        (&json!("deploy"), &json!("1"), &json!([]))
    );
    assert_eq!(
        (&first["lastModifiedBy"], &first["x"]),
        (&json!("ana"), &json!({"deep": [1, null]}))
    );
    let event = events.next().await;
    assert_eq!(event.kind, "front50:pipeline:created");
    assert_eq!(event.subject.as_deref(), first["id"].as_str());
    assert_eq!(
        event.data,
        json!({"id": first["id"], "name": "deploy", "application": "shop", "updateTs": first["updateTs"]})
    );

    let mut change = first.clone();
    change.insert("name".to_owned(), json!("ship"));
    let second = save_checked(&rig, change).await.expect("renamed");
    assert_eq!(second["lastModifiedBy"], "bob");
    let event = events.next().await;
    assert_eq!(event.kind, "front50:pipeline:updated");
    save(&rig, json!({"application": "shop", "name": "DEPLOY"}))
        .await
        .expect("the name is free again");
    let problem = save(&rig, json!({"application": "Shop", "name": "SHIP"}))
        .await
        .expect_err("taken");
    assert_eq!(
        (problem.code.as_str(), problem.kind.status()),
        ("FRONT50-0002", 400)
    );
    assert_eq!(
        problem.errors[0].detail,
        "A pipeline with name SHIP already exists in application Shop"
    );
    save(&rig, json!({"application": "other", "name": "ship"}))
        .await
        .expect("another application");

    let delete = |name: &str| DeletePipeline {
        application: "SHOP".to_owned(),
        name: name.to_owned(),
        user: "ana".to_owned(),
        strategies: false,
    };
    rig.ask(delete("Ship")).await.expect("deleted");
    let problem = rig.ask(delete("Ship")).await.expect_err("deleted already");
    assert_eq!(
        problem.detail,
        "No pipeline found with name 'Ship' in application 'SHOP'"
    );
    let get = GetPipeline {
        id: id_of(&first),
        strategies: false,
    };
    assert_eq!(
        rig.ask(get).await.expect_err("deleted").code,
        "FRONT50-0004"
    );
    save(&rig, json!({"application": "shop", "name": "ship"}))
        .await
        .expect("the name is free again");

    let history = PipelineHistory {
        id: id_of(&first),
        limit: 0,
        strategies: false,
    };
    let history = rig.ask(history).await.expect("kept after the delete");
    let names: Vec<_> = history.iter().map(|version| &version["name"]).collect();
    assert_eq!(names, ["ship", "deploy"], "newest first");
}

#[tokio::test]
async fn a_stale_save_is_refused_with_both_versions() {
    let rig = Rig::start().await;
    let loaded = save(&rig, json!({"application": "shop", "name": "deploy"}))
        .await
        .expect("created");
    let with = |text: &str| {
        let mut change = loaded.clone();
        change.insert("description".to_owned(), json!(text));
        change
    };
    let first = save_checked(&rig, with("one"))
        .await
        .expect("the first of two");
    let problem = save_checked(&rig, with("two"))
        .await
        .expect_err("the second of two");
    assert_eq!(
        (problem.code.as_str(), problem.kind.status()),
        ("FRONT50-0003", 409)
    );
    let data = problem.data.expect("both versions");
    assert_eq!(data["submitted"]["description"], "two");
    assert_eq!(data["stored"], Value::Object(first.clone()));
    assert!(
        problem.detail.contains("bob has saved it"),
        "{}",
        problem.detail
    );
    save_checked(&rig, with("one"))
        .await
        .expect("who submits what is stored loses nothing");
    let mut old = with("three");
    old.insert("updateTs".to_owned(), json!("5"));
    save(&rig, Value::Object(old))
        .await
        .expect("without the check the last one wins");
}

#[tokio::test]
async fn a_path_must_agree_with_the_body() {
    let rig = Rig::start().await;
    let stored = save(&rig, json!({"application": "shop", "name": "deploy"}))
        .await
        .expect("created");
    let put = |path: &str, body: Value| SavePipeline {
        pipeline: object(body),
        user: "ana".to_owned(),
        id_in_path: Some(path.to_owned()),
        ..Default::default()
    };
    let id = id_of(&stored);
    let problem = rig
        .ask(put(
            &id,
            json!({"application": "shop", "name": "deploy", "id": "other"}),
        ))
        .await
        .expect_err("another id");
    assert_eq!(
        (problem.kind.status(), problem.errors[0].pointer.as_str()),
        (400, "/id")
    );
    let problem = rig
        .ask(put(
            "nosuch",
            json!({"application": "shop", "name": "x", "id": "nosuch"}),
        ))
        .await
        .expect_err("unknown");
    assert_eq!(problem.kind.status(), 404);
    let put = put(
        &id.to_uppercase(),
        json!({"application": "shop", "name": "deploy", "y": 1}),
    );
    assert_eq!(
        rig.ask(put).await.expect("without an id in the body")["id"],
        id.as_str()
    );
}

#[tokio::test]
async fn lists_are_ordered_and_reordered() {
    let rig = Rig::start().await;
    let mut ids = BTreeMap::new();
    for name in ["gamma", "Beta", "alpha"] {
        let saved = save(&rig, json!({"application": "shop", "name": name}))
            .await
            .expect("created");
        ids.insert(name, id_of(&saved));
    }
    let names = async |rig: &Rig, filter: Option<&str>, limit: Option<u32>| -> Vec<String> {
        let list = ListPipelines {
            application: Some("shop".to_owned()),
            name_filter: filter.map(str::to_owned),
            limit,
            strategies: false,
        };
        let list = rig.ask(list).await.expect("a list");
        list.iter()
            .map(|each| {
                format!(
                    "{}={}",
                    each["index"],
                    each["name"].as_str().unwrap_or_default()
                )
            })
            .collect()
    };
    assert_eq!(
        names(&rig, None, None).await,
        ["0=alpha", "1=Beta", "2=gamma"]
    );
    assert_eq!(names(&rig, Some("A"), Some(2)).await, ["0=alpha", "1=Beta"]);
    assert_eq!(names(&rig, Some("GAM"), None).await, ["0=gamma"]);
    let reorder = |indices: &[(&str, i64)]| ReorderPipelines {
        application: "SHOP".to_owned(),
        ids_to_indices: indices
            .iter()
            .map(|(id, index)| ((*id).to_owned(), *index))
            .collect(),
        user: "bob".to_owned(),
        strategies: false,
    };
    let (gamma, beta) = (ids["gamma"].as_str(), ids["Beta"].as_str());
    rig.ask(reorder(&[(gamma, 0), (beta, 1)]))
        .await
        .expect("reordered");
    assert_eq!(
        names(&rig, None, None).await,
        ["0=gamma", "1=Beta", "2=alpha"]
    );
    let problem = rig
        .ask(reorder(&[(gamma, 5), ("nosuch", 0)]))
        .await
        .expect_err("unknown id");
    assert_eq!(problem.kind.status(), 404);
    let stored = rig
        .ask(GetPipeline {
            id: gamma.to_owned(),
            strategies: false,
        })
        .await
        .expect("there");
    assert_eq!(
        stored["index"], 0,
        "nothing is reordered when one id is wrong"
    );
    let mut change = stored.clone();
    change.remove("index");
    let saved = save_checked(&rig, change).await.expect("saved");
    assert_eq!(saved["index"], 0, "the stored index stays");
    let all = rig.ask(ListPipelines::default()).await.expect("all");
    assert_eq!(
        all.iter().filter(|each| each.contains_key("index")).count(),
        2,
        "not renumbered"
    );
}

#[tokio::test]
async fn bulk_saves_fail_one_by_one() {
    let rig = Rig::start().await;
    save(&rig, json!({"application": "shop", "name": "deploy"}))
        .await
        .expect("created");
    let pipelines = vec![
        json!({"application": "shop", "name": "batch1", "stages": []}),
        json!({"application": "shop", "name": "deploy", "stages": []}),
        json!({"name": "noapp"}),
        json!({"application": "shop", "name": "BATCH1"}),
        json!(7),
    ];
    let bulk = BulkSavePipelines {
        pipelines,
        user: "ana".to_owned(),
        ..Default::default()
    };
    let answer = rig.ask(bulk).await.expect("an answer");
    assert_eq!(answer["successful_pipelines"], json!(["batch1"]));
    assert_eq!(
        (
            &answer["successful_pipelines_count"],
            &answer["failed_pipelines_count"]
        ),
        (&json!(1), &json!(4))
    );
    let messages: Vec<_> = answer["failed_pipelines"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|each| &each["errorMsg"])
        .collect();
    assert_eq!(
        messages,
        [
            "A pipeline with name deploy already exists in the application shop",
            "Encountered the following error when validating pipeline noapp in the application null: A pipeline requires name and application fields",
            "Duplicate pipeline name BATCH1 in application shop in this request",
            "a pipeline must be an object",
        ]
    );
    let empty = rig
        .ask(BulkSavePipelines::default())
        .await
        .expect("an answer");
    assert_eq!(
        (
            &empty["successful_pipelines_count"],
            &empty["failed_pipelines"]
        ),
        (&json!(0), &json!([]))
    );
    let many = vec![json!({}); front50::domain::limits::BULK_MAX + 1];
    let problem = rig
        .ask(BulkSavePipelines {
            pipelines: many,
            ..Default::default()
        })
        .await;
    assert_eq!(problem.expect_err("too many").code, "FRONT50-0005");
}

#[tokio::test]
async fn strategies_are_like_pipelines_and_apart_from_them() {
    let rig = Rig::start().await;
    let document = || object(json!({"application": "shop", "name": "st", "strategy": true}));
    let strategy = || SavePipeline {
        pipeline: document(),
        strategies: true,
        ..Default::default()
    };
    let saved = rig.ask(strategy()).await.expect("created");
    assert_eq!(
        (&saved["strategy"], &saved["lastModifiedBy"]),
        (&json!(true), &json!("anonymous"))
    );
    save(&rig, Value::Object(document()))
        .await
        .expect("a pipeline may have the same name");
    let problem = rig.ask(strategy()).await.expect_err("taken");
    assert_eq!(
        problem.detail,
        "A strategy with name st already exists in application shop"
    );
    let list = || ListPipelines {
        application: Some("shop".to_owned()),
        strategies: true,
        ..Default::default()
    };
    let shown = rig.ask(list()).await.expect("a list");
    assert_eq!(shown.len(), 1);
    assert!(
        !shown[0].contains_key("index"),
        "strategies are not numbered"
    );
    let delete = || DeletePipeline {
        application: "shop".to_owned(),
        name: "st".to_owned(),
        strategies: true,
        ..Default::default()
    };
    rig.ask(delete()).await.expect("deleted");
    assert_eq!(
        rig.ask(delete()).await.expect_err("gone").detail,
        "No pipeline strategy found with name 'st' in application 'shop'"
    );
    assert!(rig.ask(list()).await.expect("a list").is_empty());
}

#[tokio::test]
async fn a_templated_pipeline_needs_its_template() {
    let template = r#"{"id":"t","tag":"latest","schema":"v2"}"#.to_owned();
    let key = "front50/pipeline-templates/t:latest/pipeline-template-metadata.json".to_owned();
    let rig = Rig::start_with(&[(key, template)]).await;
    let templated = |reference: &str| {
        json!({"application": "shop", "name": "n", "type": "templatedPipeline", "schema": "v2",
            "template": {"reference": reference, "type": "front50/pipelineTemplate"}})
    };
    let problem = save(&rig, templated("spinnaker://nosuch"))
        .await
        .expect_err("unknown");
    assert_eq!(
        (problem.kind.status(), problem.errors[0].pointer.as_str()),
        (400, "/template/reference")
    );
    save(&rig, templated("spinnaker://t:latest"))
        .await
        .expect("known");
}

#[tokio::test]
async fn the_largest_document_goes_through_and_a_larger_one_does_not() {
    let rig = Rig::start().await;
    let filled =
        |bytes: usize| json!({"application": "shop", "name": "big", "text": "x".repeat(bytes)});
    let max = front50::domain::limits::DOCUMENT_BYTES_MAX;
    let saved = save(&rig, filled(max - 60)).await.expect("just fits");
    let get = GetPipeline {
        id: id_of(&saved),
        strategies: false,
    };
    assert_eq!(rig.ask(get).await.expect("can be read").len(), saved.len());
    let problem = save(&rig, filled(max)).await.expect_err("too large");
    assert_eq!(
        (problem.code.as_str(), problem.kind.status()),
        ("FRONT50-0005", 413)
    );
    let most = front50::domain::limits::ANSWER_BYTES_MAX / max + 1;
    for n in 1..most {
        let name = format!("big {n}");
        let next = json!({"application": "shop", "name": name, "text": "x".repeat(max - 60)});
        save(&rig, next).await.expect("just fits");
    }
    let problem = rig
        .ask(ListPipelines::default())
        .await
        .expect_err("together too large");
    assert_eq!(problem.code, "FRONT50-0010");
    let mut after = None;
    let mut seen = 0;
    loop {
        let page = ListObjects {
            object_type: "pipeline".to_owned(),
            after,
        };
        let page = rig.ask(page).await.expect("a page");
        seen += page["objects"].as_array().map_or(0, Vec::len);
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, most, "page by page all of them come");
}

#[tokio::test]
async fn an_application_has_room_for_so_many_pipelines() {
    let mut rig = Rig::start().await;
    let mut config = front50::Config::default();
    config.limits.pipelines_per_application_max = 2;
    let small = rig.second_with(config).await;
    let named = |name: &str| SavePipeline {
        pipeline: object(json!({"application": "shop", "name": name})),
        ..Default::default()
    };
    let first = crate::rig::ask(&small, named("one"))
        .await
        .expect("the first");
    crate::rig::ask(&small, named("two"))
        .await
        .expect("the second");
    let problem = crate::rig::ask(&small, named("three"))
        .await
        .expect_err("the third");
    assert_eq!(
        (problem.code.as_str(), problem.kind.status()),
        ("FRONT50-0005", 413)
    );
    let save = SavePipeline {
        pipeline: first,
        ..Default::default()
    };
    crate::rig::ask(&small, save)
        .await
        .expect("an update needs no room");
}

#[tokio::test]
async fn a_conflict_of_large_documents_still_fits_into_an_answer() {
    let rig = Rig::start().await;
    let text = "x".repeat(600 * 1024);
    let big = json!({"application": "shop", "name": "big", "text": text});
    let mut loaded = save(&rig, big).await.expect("created");
    loaded.insert("updateTs".to_owned(), json!("5"));
    loaded.insert("more".to_owned(), json!(1));
    let data = save_checked(&rig, loaded)
        .await
        .expect_err("stale")
        .data
        .expect("versions");
    assert_eq!(data["submitted"]["updateTs"], "5");
    assert!(data["stored"]["updateTs"].is_string() && data["stored"].get("text").is_none());
}
