//! Pipeline templates: what is read, what the tasks of changes say, what a plan is.

use kork_model::api::front50::ListPipelines;
use serde_json::{Value, json};

use crate::services::{NOWHERE, TestGate, object};

const BASE: &str = "/v2/pipelineTemplates";

fn template(id: &str) -> Value {
    json!({"id": id, "metadata": {"name": "Wait", "scopes": ["shop"]}, "pipeline": {}})
}

#[tokio::test]
async fn templates_are_listed_by_scope_and_read_by_version() {
    let gate = TestGate::start().await;
    let all = gate.get_json(BASE).await;
    assert_eq!(
        (&all[0]["tag"], &all[1]["tag"]),
        (&json!("latest"), &json!("stable"))
    );
    let of_shop = gate
        .get_json(&format!("{BASE}?scopes=SHOP&scopes=other"))
        .await;
    assert_eq!(of_shop.as_array().unwrap().len(), 1);
    let versions = gate.get_json(&format!("{BASE}/versions")).await;
    assert_eq!(versions["wait"].as_array().unwrap().len(), 2);
    for (query, stored) in [
        ("", "wait"),
        ("?tag=stable", "wait:stable"),
        ("?digest=0f", "wait@sha256:0f"),
    ] {
        let one = gate.get_json(&format!("{BASE}/wait{query}")).await;
        assert_eq!((one.get("tag"), one.get("digest")), (None, None), "{query}");
        assert_eq!(gate.last("objects.get")["id"], stored);
    }
    assert_eq!(gate.get_json("/pipelineTemplates").await, all);
    assert_eq!(gate.get_json("/pipelineTemplates/wait").await["id"], "wait");
    let both = format!("{BASE}/wait?tag=stable&digest=0f");
    assert_eq!(gate.send("GET", &both).await.status(), 400);
    assert_eq!(
        gate.send("GET", &format!("{BASE}/{NOWHERE}"))
            .await
            .status(),
        404
    );
    gate.stop().await;
}

#[tokio::test]
async fn dependents_are_the_pipelines_made_from_a_template() {
    let mut gate = TestGate::start_with(crate::services::config(), crate::services::in_memory());
    gate.serve(|_: &ListPipelines| {
        let made = |name: &str, of: &str, kind: &str| {
            object(
                &json!({"id": name, "name": name, "application": "shop", "type": kind,
                "template": {"reference": format!("spinnaker://{of}")}}),
            )
        };
        let kind = "templatedPipeline";
        Ok(vec![
            made("a", "Wait", kind),
            made("b", "other", kind),
            made("c", "wait", "plain"),
        ])
    })
    .await;
    let expect = json!([{"application": "shop", "pipelineConfigId": "a", "pipelineName": "a"}]);
    assert_eq!(
        gate.get_json(&format!("{BASE}/wait/dependents")).await,
        expect
    );
    gate.stop().await;
}

#[tokio::test]
async fn a_change_is_answered_with_its_finished_task() {
    let gate = TestGate::start().await;
    let answer = gate
        .send_json(
            "POST",
            &format!("{BASE}/create?tag=stable"),
            &template("wait"),
        )
        .await;
    assert_eq!(answer.status(), 200);
    let task: Value = answer.json().await.unwrap();
    assert_eq!(
        (&task["status"], &task["application"]),
        (&json!("SUCCEEDED"), &json!("shop"))
    );
    assert_eq!(task["name"], "Create pipeline template 'Wait'");
    let variable = |name: &str| {
        let mut variables = task["variables"].as_array().unwrap().iter();
        variables
            .find(|v| v["key"] == name)
            .map(|v| v["value"].clone())
    };
    assert_eq!(variable("pipelineTemplate.id"), Some(json!("wait:stable")));
    assert_eq!(
        variable("notification.type"),
        Some(json!("createpipelinetemplate"))
    );
    assert_eq!(variable("application"), None);
    let asked = gate.last("templates.save");
    assert_eq!(
        (&asked["create"], &asked["tag"]),
        (&json!(true), &json!("stable"))
    );
    assert_eq!(asked["template"]["schema"], "v2", "the default");

    let answer = gate
        .send_json("POST", &format!("{BASE}/create"), &template("taken"))
        .await;
    assert_eq!(answer.status(), 200, "the task says that it failed");
    let task: Value = answer.json().await.unwrap();
    assert_eq!(task["status"], "TERMINAL");
    let variables = task["variables"].as_array().unwrap();
    let exception = variables.iter().find(|v| v["key"] == "exception").unwrap();
    let detail = "A pipeline template with the id taken already exists";
    assert_eq!(exception["value"]["details"]["errors"], json!([detail]));
    assert_eq!(
        task["steps"][0]["taskExceptionDetails"]["exception"]["operation"],
        "createV2PipelineTemplate"
    );

    let answer = gate
        .send_json(
            "POST",
            &format!("{BASE}/update/wait"),
            &json!({"metadata": {"scopes": []}}),
        )
        .await;
    let task: Value = answer.json().await.unwrap();
    assert_eq!(task["application"], "spinnaker");
    let asked = gate.last("templates.save");
    assert_eq!(
        (&asked["create"], &asked["template"]["id"]),
        (&json!(false), &json!("wait"))
    );

    let answer = gate
        .send("DELETE", &format!("{BASE}/wait?tag=stable"))
        .await;
    assert_eq!(answer.status(), 202, "spin takes nothing else");
    assert_eq!(answer.json::<Value>().await.unwrap()["status"], "SUCCEEDED");
    assert_eq!(gate.last("templates.delete")["tag"], "stable");
    assert_eq!(
        gate.send("DELETE", &format!("{BASE}/away")).await.status(),
        503
    );
    gate.stop().await;
}

#[tokio::test]
async fn what_is_no_template_is_refused() {
    let gate = TestGate::start().await;
    for body in [
        json!({"id": "a", "schema": "v1", "metadata": {}}),
        json!({"id": "a", "schema": 2, "metadata": {}}),
        json!({"id": "a", "metadata": "x"}),
        json!({"id": "a"}),
    ] {
        let answer = gate
            .send_json("POST", &format!("{BASE}/create"), &body)
            .await;
        assert_eq!(answer.status(), 400, "{body}");
    }
    let other = gate
        .send_json("POST", &format!("{BASE}/update/a"), &template("b"))
        .await;
    assert_eq!(other.status(), 400, "another template than the path says");
    gate.stop().await;
}

#[tokio::test]
async fn a_plan_is_the_filled_template() {
    let gate = TestGate::start().await;
    let config = |reference: &str, variables: Value| {
        json!({"application": "shop", "name": "n", "type": "templatedPipeline", "schema": "v2",
            "template": {"reference": reference}, "variables": variables})
    };
    let path = format!("{BASE}/plan");
    let good = config("spinnaker://wait:latest", json!({"t": 5}));
    let answer = gate.send_json("POST", &path, &good).await;
    assert_eq!(answer.status(), 200);
    let plan: Value = answer.json().await.unwrap();
    assert_eq!(plan["stages"], json!([{"waitTime": 5}]));
    assert_eq!(
        (&plan["application"], plan.get("plan")),
        (&json!("shop"), None)
    );
    for (bad, pointer) in [
        (config("spinnaker://wait:latest", json!({})), "/variables"),
        (config("http://wait", json!({})), "/template/reference"),
        (
            config(&format!("spinnaker://{NOWHERE}"), json!({})),
            "/template/reference",
        ),
        (json!({}), "/template/reference"),
    ] {
        let answer = gate.send_json("POST", &path, &bad).await;
        assert_eq!(answer.status(), 400, "{bad}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["detail"], "Pipeline template is invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{bad}");
    }
    gate.stop().await;
}
