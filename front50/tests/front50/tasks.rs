//! Work orders: what tasks leave in their context, and that an order that comes twice is done once.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kork::model::{Status, WorkOrder, WorkReport, WorkResult, api::front50::*, work};
use serde_json::{Value, json};

use crate::rig::{Rig, eventually, object};

fn order(key: &str, kind: &str, payload: Value) -> WorkOrder {
    WorkOrder {
        key: key.into(),
        execution: "e".into(),
        stage: "s".into(),
        task: "1".to_owned(),
        application: "shop".to_owned(),
        user: "ana".to_owned(),
        service: "front50".to_owned(),
        kind: kind.to_owned(),
        payload: object(payload),
        deadline: None,
        cancel: false,
        traceparent: None,
    }
}

async fn send(rig: &Rig, order: &WorkOrder, id: &str) {
    let payload = serde_json::to_vec(order).expect("an order");
    let queue = work::orders("front50");
    rig.ports
        .queue
        .enqueue(&queue, id, payload.into(), None)
        .await
        .expect("enqueued");
}

async fn report(rig: &Rig) -> WorkReport {
    let wait = std::time::Duration::from_secs(10);
    let mut taken = rig
        .ports
        .queue
        .pull(work::REPORTS, 1, wait, wait)
        .await
        .expect("the queue answers");
    let delivery = taken.pop().expect("a report within ten seconds");
    rig.ports
        .queue
        .ack(&delivery.lease)
        .await
        .expect("acknowledged");
    serde_json::from_slice(&delivery.payload).expect("a report")
}

async fn done(rig: &Rig, key: &str, kind: &str, payload: Value) -> WorkResult {
    send(rig, &order(key, kind, payload), key).await;
    let report = report(rig).await;
    assert_eq!(report.key.as_str(), key);
    report.result.expect("a result")
}

fn encoded(value: &Value) -> String {
    STANDARD.encode(value.to_string())
}

#[tokio::test]
async fn applications_leave_spinnakers_variables() {
    let rig = Rig::start().await;
    let application = json!({"name": "shop", "email": "a@acme.example", "own": {"deep": [1, null]},
        "permissions": {"READ": ["x"]}});
    let result = done(
        &rig,
        "k1",
        "createApplication",
        json!({"application": application}),
    )
    .await;
    assert_eq!(result.status, Status::Succeeded);
    assert_eq!(
        Value::Object(result.context),
        json!({
        "notification.type": "upsertapplication", "application.name": "shop", "previousState": {},
        "newState": {"name": "shop", "email": "a@acme.example", "own": {"deep": [1, null]}}})
    );
    let change = json!({"application": {"name": "shop", "email": "b@acme.example"}});
    let result = done(&rig, "k2", "updateApplication", change).await;
    let before = &result.context["previousState"];
    assert_eq!(
        (&before["name"], &before["email"]),
        (&json!("SHOP"), &json!("a@acme.example"))
    );
    assert!(
        before.get("createTs").is_none(),
        "nulls are left out: {before}"
    );
    let shown = rig
        .ask(GetApplication {
            name: "shop".to_owned(),
        })
        .await
        .expect("it is there");
    assert_eq!(
        (&shown["email"], &shown["permissions"]),
        (&json!("b@acme.example"), &json!({"READ": ["x"]}))
    );

    let delete = || json!({"application": {"name": "shop"}});
    let result = done(&rig, "k3", "deleteApplication", delete()).await;
    assert_eq!(result.context["notification.type"], "deleteapplication");
    assert_eq!(result.context["previousState"]["email"], "b@acme.example");
    let result = done(&rig, "k4", "deleteApplication", delete()).await;
    assert_eq!(
        (result.status, result.context.contains_key("previousState")),
        (Status::Succeeded, false)
    );
}

#[tokio::test]
async fn failures_say_what_clients_are_shown() {
    let rig = Rig::start().await;
    let taken = json!({"pipeline": {"application": "shop", "name": "one"}});
    done(&rig, "k0", "savePipeline", taken).await;
    let table = [
        (
            "createApplication",
            json!({"application": {"name": "x"}}),
            "/application/email",
            "Application must have a non-empty email",
        ),
        (
            "createApplication",
            json!({"application": {"email": "x"}}),
            "/application/name",
            "Missing one or more required task parameters (application.name)",
        ),
        (
            "createApplication",
            json!({}),
            "/application",
            "Missing one or more required task parameters (application)",
        ),
        (
            "savePipeline",
            json!({"pipeline": encoded(&json!({"application": "shop", "name": "ONE"}))}),
            "/pipeline/name",
            "A pipeline with name ONE already exists in application shop",
        ),
        (
            "savePipeline",
            json!({"pipeline": {"application": "shop"}}),
            "/pipeline/name",
            "A pipeline requires name and application fields",
        ),
        (
            "savePipeline",
            json!({"pipeline": "no base64!"}),
            "/pipeline",
            "pipeline must be an object, or base64 of the JSON of one",
        ),
        (
            "reorderPipelines",
            json!({"application": "shop"}),
            "/idsToIndices",
            "`idsToIndices` is required field on request body",
        ),
    ];
    for (place, (kind, payload, pointer, detail)) in table.into_iter().enumerate() {
        let result = done(&rig, &format!("f{place}"), kind, payload).await;
        assert_eq!(result.status, Status::Terminal, "{detail}");
        let error = &result.error.expect("a reason").errors[0];
        assert_eq!(
            (error.pointer.as_str(), error.detail.as_str()),
            (pointer, detail)
        );
    }
    let result = done(&rig, "f9", "frobnicate", json!({})).await;
    assert_eq!(result.error.expect("a reason").code, "FRONT50-0009");
}

#[tokio::test]
async fn pipelines_are_saved_reordered_and_deleted() {
    let rig = Rig::start().await;
    let document = json!({"application": "shop", "name": "deploy", "triggers": [{"type": "cron"}]});
    let result = done(
        &rig,
        "p1",
        "savePipeline",
        json!({"pipeline": encoded(&document)}),
    )
    .await;
    assert_eq!(
        (
            &result.context["notification.type"],
            &result.context["pipeline.name"]
        ),
        (&json!("savepipeline"), &json!("deploy"))
    );
    let id = result.context["pipeline.id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let indices = encoded(&json!({ &id: 4 }));
    let reorder = json!({"idsToIndices": indices, "isStrategy": encoded(&json!(false)), "application": "shop"});
    let result = done(&rig, "p2", "reorderPipelines", reorder).await;
    assert_eq!(result.status, Status::Succeeded, "{:?}", result.error);
    let get = || GetPipeline {
        id: id.clone(),
        strategies: false,
    };
    assert_eq!(rig.ask(get()).await.expect("there")["index"], 4);
    let stale = json!({"pipeline": {"id": id, "application": "shop", "name": "deploy", "updateTs": "5"}, "staleCheck": true});
    let result = done(&rig, "p3", "updatePipeline", stale).await;
    let error = result.error.expect("stale");
    assert_eq!(
        (error.code.as_str(), error.errors[0].pointer.as_str()),
        ("FRONT50-0003", "/pipeline")
    );
    for key in ["p4", "p5"] {
        let result = done(
            &rig,
            key,
            "deletePipeline",
            json!({"pipeline": encoded(&document)}),
        )
        .await;
        assert_eq!(result.status, Status::Succeeded, "also when it is gone");
    }
    assert_eq!(
        rig.ask(get()).await.expect_err("deleted").code,
        "FRONT50-0004"
    );
}

#[tokio::test]
async fn projects_are_saved_and_deleted() {
    let rig = Rig::start().await;
    let result = done(
        &rig,
        "j1",
        "upsertProject",
        json!({"project": {"name": "Sales"}}),
    )
    .await;
    let id = result.context["project.id"].clone();
    let result = done(
        &rig,
        "j2",
        "upsertProject",
        json!({"project": {"name": "SALES"}}),
    )
    .await;
    assert_eq!(
        result.error.expect("taken").errors[0].detail,
        "A Project named 'SALES' already exists"
    );
    let result = done(&rig, "j3", "deleteProject", json!({"project": {"id": id}})).await;
    assert_eq!(result.status, Status::Succeeded);
    assert!(rig.ask(ListProjects {}).await.expect("a list").is_empty());
}

#[tokio::test]
async fn an_order_that_comes_again_gets_its_first_result() {
    let rig = Rig::start().await;
    let save = order(
        "w1",
        "savePipeline",
        json!({"pipeline": {"application": "shop", "name": "deploy",
        "triggers": [{"type": "cron", "id": "given"}]}, "staleCheck": true}),
    );
    send(&rig, &save, "one").await;
    let first = report(&rig).await;
    send(&rig, &save, "two").await;
    assert_eq!(report(&rig).await, first);
    // The worker died before it had recorded the result: the same is done again, and is the same.
    let records = rig
        .ports
        .objects
        .list("front50-rs/work/")
        .await
        .expect("a list");
    assert_eq!(records.len(), 1);
    rig.ports
        .objects
        .erase(&records[0].key)
        .await
        .expect("erased");
    send(&rig, &save, "three").await;
    assert_eq!(report(&rig).await, first);
    let list = rig.ask(ListPipelines {
        application: Some("shop".to_owned()),
        ..Default::default()
    });
    let list = list.await.expect("a list");
    assert_eq!(list.len(), 1);
    let id = list[0]["id"].as_str().expect("an id");
    let history = PipelineHistory {
        id: id.to_owned(),
        limit: 0,
        strategies: false,
    };
    assert_eq!(
        rig.ask(history).await.expect("a history").len(),
        1,
        "written once"
    );
}

#[tokio::test]
async fn withdrawn_and_broken_orders_are_settled() {
    let rig = Rig::start().await;
    let mut withdrawn = order(
        "c1",
        "createApplication",
        json!({"application": {"name": "x", "email": "x"}}),
    );
    withdrawn.cancel = true;
    send(&rig, &withdrawn, "withdrawn").await;
    let queue = work::orders("front50");
    rig.ports
        .queue
        .enqueue(&queue, "broken", "no order".into(), None)
        .await
        .expect("enqueued");
    eventually(
        "the queue is empty and the broken one a dead letter",
        || async {
            let depth = rig
                .ports
                .queue
                .depth(&queue)
                .await
                .expect("the queue answers");
            let dead = rig
                .ports
                .queue
                .dead(&queue)
                .await
                .expect("the queue answers");
            (depth == 0 && dead.len() == 1 && dead[0].0 == "broken")
                .then_some(())
                .ok_or_else(|| format!("{depth} waiting, dead: {dead:?}"))
        },
    )
    .await;
    let problem = rig
        .ask(GetApplication {
            name: "x".to_owned(),
        })
        .await
        .expect_err("withdrawn");
    assert_eq!(problem.code, "FRONT50-0004");
}

#[tokio::test]
async fn a_report_of_a_large_application_leaves_its_states_out() {
    let rig = Rig::start().await;
    for key in ["l1", "l2"] {
        let application =
            json!({"name": "shop", "email": "a@acme.example", "text": "x".repeat(700 * 1024)});
        let result = done(
            &rig,
            key,
            "upsertApplication",
            json!({"application": application}),
        )
        .await;
        assert_eq!(result.status, Status::Succeeded, "{:?}", result.error);
        assert!(!result.context.contains_key("newState"));
    }
}
