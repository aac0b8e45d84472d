//! Lists of executions and tasks: filters, order, pages.

use serde_json::{Value, json};

use crate::services::{TASK, TestGate};

#[tokio::test]
async fn lists_take_both_encodings_and_empty_means_no_filter() {
    let gate = TestGate::start().await;
    for query in [
        "pipelineConfigIds=a,b&statuses=RUNNING,PAUSED",
        "pipelineConfigIds=a&pipelineConfigIds=b&statuses=RUNNING&statuses=PAUSED",
    ] {
        gate.get_json(&format!("/executions?{query}")).await;
        let asked = gate.last("executions.list");
        assert_eq!(
            asked["filter"]["pipelineConfigIds"],
            json!(["a", "b"]),
            "{query}"
        );
        assert_eq!(
            asked["filter"]["statuses"],
            json!(["RUNNING", "PAUSED"]),
            "{query}"
        );
        assert_eq!(
            (&asked["limitPerConfig"], &asked["expand"]),
            (&json!(1), &json!(true))
        );
    }
    gate.get_json("/applications/shop/tasks?statuses=").await;
    assert_eq!(
        gate.last("executions.list")["filter"]["statuses"],
        json!([])
    );
    assert_eq!(gate.get_json("/executions").await, json!([]));
    gate.get_json("/executions?pipelineConfigIds=a&limit=0")
        .await;
    assert_eq!(gate.last("executions.list")["limitPerConfig"], json!(1));
    let asked = "/executions?executionIds=01OLD,01NEW,01MID&limit=1&statuses=RUNNING";
    let ids = |list: Value| {
        let list = list.as_array().unwrap().clone();
        list.iter().map(|e| e["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        ids(gate.get_json(asked).await),
        ["01OLD", "01NEW", "01MID"],
        "in the order asked for"
    );
    let filter = gate.last("executions.list")["filter"].clone();
    assert_eq!(filter["executionIds"], json!(["01OLD", "01NEW", "01MID"]));
    assert_eq!(filter["statuses"], json!([]), "ids decide alone");
    assert_eq!(
        ids(gate.get_json("/executions?pipelineConfigIds=a").await),
        ["01OLD", "01MID", "01NEW"],
        "by rising start time"
    );
    let both = "/executions?executionIds=01A&pipelineConfigIds=a";
    let answer = gate.send("GET", both).await;
    assert_eq!(answer.status(), 400);
    let problem: Value = answer.json().await.unwrap();
    let detail = "Only pipelineConfigIds OR executionIds can be specified";
    assert_eq!(problem["detail"], detail);
    let answer = gate
        .send("GET", "/executions?executionIds=a&statuses=DONE")
        .await;
    assert_eq!(answer.status(), 400);
    gate.stop().await;
}

#[tokio::test]
async fn a_search_takes_all_types_and_no_time_span_that_is_turned_round() {
    let gate = TestGate::start().await;
    let search = "/applications/shop/executions/search";
    for (types, asked) in [("*", json!([])), ("manual,cron", json!(["manual", "cron"]))] {
        gate.get_json(&format!("{search}?triggerTypes={types}"))
            .await;
        assert_eq!(
            gate.last("executions.list")["filter"]["triggerTypes"],
            asked
        );
    }
    let span =
        |from, to| format!("{search}?triggerTimeStartBoundary={from}&triggerTimeEndBoundary={to}");
    gate.get_json(&span(5, 5)).await;
    assert_eq!(gate.send("GET", &span(6, 5)).await.status(), 400);
    gate.stop().await;
}

#[tokio::test]
async fn executions_of_an_application_rise_by_start_time() {
    let gate = TestGate::start().await;
    let list = gate
        .get_json("/applications/shop/pipelines?limit=0&expand=false")
        .await;
    let ids: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["01OLD", "01MID", "01NEW"]);
    let asked = gate.last("executions.list");
    assert_eq!(
        (&asked["limitPerConfig"], &asked["expand"]),
        (&json!(10), &json!(false))
    );
    gate.get_json("/applications/shop/pipelines?limit=30").await;
    let asked = gate.last("executions.list");
    assert_eq!(
        (&asked["limitPerConfig"], &asked["expand"]),
        (&json!(30), &json!(true))
    );
    let stage = &gate.get_json("/pipelines/01X?expand=false").await["stages"][0];
    assert_eq!(stage["context"], json!({"group": "g"}));
    assert_eq!(
        (&stage["outputs"], &stage["tasks"]),
        (&json!({}), &json!([]))
    );
    gate.stop().await;
}

#[tokio::test]
async fn tasks_are_paged_and_apart_from_pipelines() {
    let gate = TestGate::start().await;
    gate.get_json("/applications/shop/tasks?page=3&limit=20")
        .await;
    let asked = gate.last("executions.list");
    assert_eq!(
        (&asked["offset"], &asked["limit"]),
        (&json!(40), &json!(20))
    );
    assert_eq!(asked["orchestrations"], true);
    let task = gate.get_json(&format!("/tasks/{TASK}")).await;
    assert_eq!(task["name"], "do it");
    assert_eq!(task["steps"].as_array().unwrap().len(), 1);
    assert_eq!(task["variables"][1], json!({"key": "waitTime", "value": 3}));
    assert_eq!(task["execution"]["type"], "ORCHESTRATION");
    assert_eq!(gate.send("GET", "/tasks/01X").await.status(), 404);
    assert_eq!(
        gate.send("GET", &format!("/pipelines/{TASK}"))
            .await
            .status(),
        404
    );
    gate.stop().await;
}

#[tokio::test]
async fn a_list_that_is_too_long_for_one_message_is_fetched_in_pages() {
    let mut gate = TestGate::start_with(crate::services::config(), crate::services::in_memory());
    gate.serve(|r: &kork_model::api::orca::ListExecutions| {
        let asked = r.limit.unwrap_or(u32::MAX);
        if asked > 8 {
            let text = "a message to or from orca is too large";
            return Err(kork_model::Problem::new(
                "KORK-0004",
                kork_model::Kind::TooLarge,
                text,
            ));
        }
        let page = (r.offset..20).take(asked as usize);
        Ok(page
            .map(|n| crate::services::execution(&format!("01E{n:02}"), u64::from(n)))
            .map(|execution| kork_model::Shown::of(&execution).unwrap())
            .collect())
    })
    .await;
    let list = gate.get_json("/applications/shop/pipelines").await;
    assert_eq!(list.as_array().unwrap().len(), 20);
    let search = gate
        .get_json("/applications/*/executions/search?size=3&reverse=true")
        .await;
    assert_eq!(search[0]["id"], "01E19", "the oldest of all comes first");
    let search = gate
        .get_json("/applications/*/executions/search?size=2&startIndex=19&reverse=true")
        .await;
    assert_eq!(search.as_array().unwrap().len(), 1);
    assert_eq!(search[0]["id"], "01E00", "and the newest last");
    assert_eq!(
        gate.last("executions.list")["filter"]["application"],
        Value::Null
    );
    gate.stop().await;
}
