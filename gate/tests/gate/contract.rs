//! What existing clients rely on: statuses, shapes, encodings, and the route table as a whole.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::services::{NOWHERE, TASK, TestGate};

/// A path of the document with values for its parameters.
pub(crate) fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{id}" if path.contains("/tasks/") => TASK.to_owned(),
        "{name}" | "{nameOrId}" => "deploy".to_owned(),
        "{type}" => "application".to_owned(),
        "{code}" => "GATE-0001".to_owned(),
        "{number}" => "7".to_owned(),
        part if part.starts_with('{') => "x".to_owned(),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// (method, path, operation) of everything in the document.
pub(crate) fn operations() -> Vec<(String, String, Value)> {
    let document = gate::document();
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

/// A body that the operation takes.
pub(crate) fn body_for(path: &str, operation: &Value) -> Value {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    match path {
        "/actions/pipelines/reorder" | "/actions/strategies/reorder" => {
            json!({"application": "shop", "idsToIndices": {"p-0": 1}})
        }
        "/operations/plan" => json!({"kind": "deploy", "payload": {}}),
        "/pipelines/{id}/evaluateExpression" => json!({"expression": "${1}"}),
        "/v2/pipelineTemplates/create" | "/v2/pipelineTemplates/update/{id}" => {
            json!({"id": "x", "schema": "v2", "metadata": {"name": "n", "scopes": ["shop"]}})
        }
        "/v2/pipelineTemplates/plan" => {
            json!({"template": {"reference": "spinnaker://wait"}, "application": "shop"})
        }
        _ if schema["type"] == "array" => json!([]),
        _ => json!({"name": "deploy", "application": "shop", "id": "x"}),
    }
}

#[tokio::test]
async fn every_documented_operation_answers_as_documented() {
    let gate = TestGate::start().await;
    let operations = operations();
    assert!(operations.len() > 90, "{} operations", operations.len());
    for (method, path, operation) in operations {
        let query = match path.as_str() {
            "/events" => continue,
            "/cron/validate" => "?expression=0%200%200%20*%20*%20%3F",
            "/search" => "?q=shop&type=applications",
            "/tasks/cancel" => "?ids=a,b",
            "/triggers/history" => "?pipeline=p",
            p if p.starts_with("/v3/builds/{master}/") => "?job=a",
            "/pipelines/{id}/evaluateVariables" => "?executionId=x",
            p if p.ends_with("/evaluateExpression") && method == "GET" => "?expression=%24%7B1%7D",
            _ => "",
        };
        let mut request = gate.request(&method, &format!("{}{query}", filled(&path)));
        if operation.get("requestBody").is_some() {
            request = request.json(&body_for(&path, &operation));
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16().to_string();
        let documented = &operation["responses"][&status];
        assert!(
            documented.is_object(),
            "{method} {path} answered {status}: {:?}",
            answer.text().await
        );
        assert!(
            answer.headers().contains_key("x-spinnaker-request-id"),
            "{method} {path}"
        );
        let sent = answer
            .headers()
            .get("content-type")
            .map(|v| v.to_str().unwrap().to_owned());
        let sent = sent.map(|text| text.split(';').next().unwrap().to_owned());
        match documented["content"].as_object() {
            Some(content) => assert!(
                sent.as_ref().is_some_and(|sent| content.contains_key(sent)),
                "{method} {path}: {sent:?}"
            ),
            None if status == "405" => assert_eq!(sent.unwrap(), "application/problem+json"),
            None => {
                assert_eq!(sent, None, "{method} {path}");
                assert_eq!(answer.text().await.unwrap(), "", "{method} {path}");
            }
        }
    }
    gate.stop().await;
}

#[tokio::test]
async fn both_generations_of_spin_and_deck_start_pipelines() {
    let gate = TestGate::start().await;
    let plain = json!({"type": "manual", "parameters": {"v": "1"}, "artifacts": []});
    for body in [plain.clone(), json!({"trigger": plain})] {
        let answer = gate
            .send_json("POST", "/pipelines/shop/deploy", &body)
            .await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert_eq!(
            answer.json::<Value>().await.unwrap(),
            json!({"ref": "/pipelines/01STARTED"})
        );
        let asked = gate.last("executions.startStored");
        assert_eq!(asked["trigger"]["parameters"], json!({"v": "1"}), "{body}");
        assert_eq!(asked["user"], "anonymous");
    }
    for nothing in ["", "null"] {
        let start = gate.request("POST", "/pipelines/shop/deploy");
        let start = start
            .header("content-type", "application/json")
            .body(nothing);
        assert_eq!(start.send().await.unwrap().status(), StatusCode::ACCEPTED);
    }
    let deck = json!({"buildNumber": "", "type": "manual", "dryRun": false, "user": "[anonymous]"});
    let answer = gate
        .send_json("POST", "/pipelines/v2/shop/My%20Pipe.v2", &deck)
        .await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let started: Value = answer.json().await.unwrap();
    let asked = gate.last("executions.startStored");
    assert_eq!(asked["nameOrId"], "My Pipe.v2");
    assert!(asked["trigger"].get("buildNumber").is_none());
    assert_eq!(asked["trigger"]["user"], "[anonymous]");
    assert_eq!(asked["trigger"]["eventId"], started["eventId"]);
    assert_eq!(
        started["ref"],
        format!("/pipelines/{}", asked["id"].as_str().unwrap())
    );
    let answer = gate.send("POST", "/pipelines/shop/deploy").await;
    assert_eq!(
        answer.status(),
        StatusCode::ACCEPTED,
        "a start needs no body"
    );
    let answer = gate
        .send("POST", &format!("/pipelines/shop/{NOWHERE}"))
        .await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    gate.stop().await;
}

#[tokio::test]
async fn the_user_is_anonymous_whatever_a_header_says() {
    let gate = TestGate::start().await;
    let request = gate
        .request("POST", "/tasks")
        .header("X-SPINNAKER-USER", "root");
    let answer = request.json(&json!({"job": []})).send().await.unwrap();
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        json!({"ref": format!("/tasks/{TASK}")})
    );
    assert_eq!(gate.last("tasks.start")["user"], "anonymous");
    gate.stop().await;
}

#[tokio::test]
async fn a_pipeline_config_is_found_by_its_exact_name() {
    let gate = TestGate::start().await;
    let found = gate
        .get_json("/applications/shop/pipelineConfigs/deploy")
        .await;
    assert!(found["id"].is_string() && found["index"] == 0);
    let found = gate
        .get_json("/applications/shop/pipelineConfigs/My%20Pipe.v2")
        .await;
    assert_eq!(found["index"], 1);
    for name in ["DEPLOY", "p-0", "nope"] {
        let answer = gate
            .send("GET", &format!("/applications/shop/pipelineConfigs/{name}"))
            .await;
        assert_eq!(answer.status(), 404, "{name}");
        let problem: Value = answer.json().await.unwrap();
        let message = format!("Pipeline config (id: {name}) not found for Application (id: shop)");
        assert_eq!(problem["message"], message);
    }
    gate.stop().await;
}

#[tokio::test]
async fn saving_is_synchronous_and_empty_and_fails_with_the_cause() {
    let gate = TestGate::start().await;
    let pipeline = json!({"name": "n", "application": "a", "id": null, "triggers": null});
    let answer = gate
        .send_json("POST", "/pipelines?staleCheck=true", &pipeline)
        .await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("content-type"));
    assert_eq!(answer.text().await.unwrap(), "");
    let asked = gate.last("pipelines.save");
    assert_eq!(asked["staleCheck"], true);
    assert_eq!(asked["pipeline"], json!({"name": "n", "application": "a"}));
    let answer = gate.send_json("POST", "/pipelines", &json!({})).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "FRONT50-0001");
    assert_eq!(problem["errors"][0]["pointer"], "/name");
    assert_eq!(problem["status"], 400);
    let put = json!({"name": "n", "application": "a"});
    let answer = gate.send_json("PUT", "/pipelines/p-0", &put).await;
    assert_eq!(answer.status(), 400, "the body must carry the id");
    let put = json!({"name": "n", "application": "a", "id": NOWHERE});
    let answer = gate
        .send_json("PUT", &format!("/pipelines/{NOWHERE}"), &put)
        .await;
    assert_eq!(answer.status(), 200, "an unknown id is created");
    assert_eq!(gate.last("pipelines.save")["pipeline"]["id"], NOWHERE);
    for name in ["deploy", NOWHERE] {
        let answer = gate
            .send("DELETE", &format!("/pipelines/shop/{name}"))
            .await;
        assert_eq!(answer.status(), 200, "deleting {name}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn notifications_have_two_levels_in_any_case() {
    let gate = TestGate::start().await;
    gate.get_json("/notifications/Application/shop").await;
    assert_eq!(gate.last("notifications.get")["name"], "shop");
    gate.get_json("/notifications/global/x").await;
    assert_eq!(gate.last("notifications.get")["name"], "__global");
    assert_eq!(
        gate.send("GET", "/notifications/other/shop").await.status(),
        400
    );
    assert_eq!(
        gate.send("DELETE", "/notifications/other/shop")
            .await
            .status(),
        400
    );
    gate.stop().await;
}

#[tokio::test]
async fn puts_need_neither_a_body_nor_a_type() {
    let gate = TestGate::start().await;
    for what in ["cancel?reason=because%20so", "pause", "resume"] {
        let path = format!("/pipelines/01X/{what}");
        assert_eq!(gate.send("PUT", &path).await.status(), 200, "{path}");
        let typed = gate
            .request("PUT", &path)
            .header("content-type", "application/json");
        assert_eq!(typed.send().await.unwrap().status(), 200, "{path}");
        assert_eq!(
            gate.send_json("PUT", &path, &json!({})).await.status(),
            200,
            "{path}"
        );
    }
    assert_eq!(gate.last("executions.cancel")["reason"], "because so");
    let literal = "/applications/%7Bapplication%7D/pipelines/01X/cancel";
    assert_eq!(gate.send("PUT", literal).await.status(), 200);
    assert_eq!(
        gate.send("PUT", &format!("/pipelines/{NOWHERE}/cancel"))
            .await
            .status(),
        404
    );
    gate.stop().await;
}

#[tokio::test]
async fn applications_merge_what_is_stored_with_what_runs() {
    let gate = TestGate::start().await;
    let list = gate.get_json("/applications").await;
    assert_eq!(
        list[0],
        json!({"name": "shop", "email": "a@example.com", "accounts": "local"})
    );
    assert_eq!(list[1], json!({"name": "web", "email": "b@example.com"}));
    let names = |list: Value| list.as_array().unwrap().len();
    assert_eq!(
        names(gate.get_json("/applications?owner=B@example.com").await),
        1
    );
    assert_eq!(names(gate.get_json("/applications?account=local").await), 1);
    assert_eq!(
        names(gate.get_json("/applications?account=nosuch").await),
        0
    );
    let one = gate.get_json("/applications/Shop").await;
    assert_eq!(one["name"], "shop");
    assert_eq!(
        one["attributes"],
        json!({"name": "shop", "own": [null], "accounts": "local"})
    );
    assert_eq!(one["clusters"]["local"][0]["name"], "shop-main");
    let one = gate.get_json("/applications/shop?expand=false").await;
    assert_eq!(one["clusters"], json!({}));
    let answer = gate
        .send("GET", &format!("/applications/{NOWHERE}?expand=false"))
        .await;
    assert_eq!(answer.status(), 404);
    let message = answer.json::<Value>().await.unwrap()["message"].clone();
    assert_eq!(message, "Application not found (id: nowhere)");
    assert_eq!(
        gate.get_json("/applications/shop/clusters").await,
        json!({"local": ["shop-main"]})
    );
    gate.stop().await;
}

#[tokio::test]
async fn encoded_blanks_slashes_and_dots_stay_in_their_names() {
    let gate = TestGate::start().await;
    gate.send(
        "GET",
        "/applications/a/serverGroups/acct/ns/replicaSet%20web%2F1.2",
    )
    .await;
    let asked = gate.last("serverGroups.get");
    assert_eq!(
        (&asked["name"], &asked["region"]),
        (&json!("replicaSet web/1.2"), &json!("ns"))
    );
    gate.send("GET", "/applications/a/serverGroups/acct/ns/x/logs?lines=7")
        .await;
    assert_eq!(gate.last("serverGroups.logs")["lines"], 7);
    gate.stop().await;
}

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn deliveries_are_handed_on_as_they_came() {
    let gate = TestGate::start().await;
    let request = gate
        .request("POST", "/webhooks/github/main?token=t")
        .header("X-GitHub-Delivery", "d-1")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Authorization", "Basic x")
        .header("Cookie", "session=1")
        .body(" payload=%7B%7D ");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer, json!({"eventProcessed": true, "eventId": "main"}));
    let asked = gate.last("deliveries.receive");
    assert_eq!(
        (&asked["kind"], &asked["source"], &asked["body"]["text"]),
        (&json!("github"), &json!("main"), &json!(" payload=%7B%7D "))
    );
    assert_eq!(asked["query"], json!({"token": "t"}));
    assert_eq!(asked["headers"]["x-github-delivery"], "d-1");
    assert_eq!(asked["headers"]["authorization"], "Basic x");
    assert!(asked["headers"].get("cookie").is_none());
    // Spinnaker answers its plain webhooks with 200.
    let plain = gate.send("POST", "/webhooks/webhook/x").await;
    assert_eq!(plain.status(), 200);
    let bytes = gate
        .request("POST", "/webhooks/webhook/x")
        .body(vec![0x1f, 0x8b, 0xff]);
    assert_eq!(bytes.send().await.unwrap().status(), 200);
    assert_eq!(gate.last("deliveries.receive")["body"]["base64"], "H4v/");
    // More than other requests may have; so does one whose length is not said. Turns are given back.
    for _ in 0..20 {
        let parts = vec![b'x'; 2 * MIB];
        let parts = parts.chunks(64 * 1024).map(|part| Ok(part.to_vec()));
        let parts = futures_util::stream::iter(parts.collect::<Vec<Result<_, std::io::Error>>>());
        let large = gate
            .request("POST", "/webhooks/webhook/x")
            .body(reqwest::Body::wrap_stream(parts));
        assert_eq!(large.send().await.unwrap().status(), 200);
    }
    for bytes in [2 * MIB, 4 * MIB] {
        let large = gate
            .request("POST", "/webhooks/webhook/x")
            .body(vec![b'x'; bytes]);
        assert_eq!(large.send().await.unwrap().status(), 200);
        let told = gate.last("deliveries.receive");
        let told = told["body"]["base64"].as_str().unwrap();
        assert_eq!(told.len(), bytes.div_ceil(3) * 4);
    }
    // igor refuses what is too large, and keeps that it came in.
    let large = gate
        .request("POST", "/webhooks/webhook/x")
        .body(vec![b'x'; 4 * MIB + 1]);
    large.send().await.unwrap();
    let told = &gate.last("deliveries.receive")["body"];
    assert_eq!(*told, json!({"tooLarge": 4 * MIB + 1}));
    gate.stop().await;
}

#[tokio::test]
async fn builds_have_the_paths_of_both_generations() {
    let gate = TestGate::start().await;
    let get = async |path: &str| -> Value { gate.send("GET", path).await.json().await.unwrap() };
    assert_eq!(get("/v2/builds").await, json!(["ci", "lab"]));
    assert_eq!(get("/v3/builds?type=jenkins").await, json!(["ci"]));
    assert_eq!(get("/v3/builds/ci/jobs").await, json!(["a/job/b"]));
    let one = json!({"name": "a/job/b", "number": 7});
    assert_eq!(get("/v3/builds/ci/build/7?job=a%2Fjob%2Fb").await, one);
    assert_eq!(get("/v2/builds/ci/build/7/a%2Fjob%2Fb").await, one);
    assert_eq!(
        gate.send("GET", "/v3/builds/ci/build/x?job=a")
            .await
            .status(),
        400
    );
    assert_eq!(gate.send("GET", "/v3/builds/ci/job").await.status(), 400);
    gate.stop().await;
}

#[tokio::test]
async fn expressions_come_in_three_forms() {
    let gate = TestGate::start().await;
    let expression = "${ 1 + 'ä' }";
    let encoded = "%24%7B%201%20%2B%20%27%C3%A4%27%20%7D";
    let forms = [
        gate.request(
            "GET",
            &format!("/pipelines/01X/01S/evaluateExpression?expression={encoded}"),
        ),
        gate.request("POST", "/pipelines/01X/evaluateExpression")
            .json(&json!({"expression": expression})),
        gate.request("POST", "/pipelines/01X/evaluateExpression")
            .header("content-type", "text/plain")
            .body(expression),
    ];
    for form in forms {
        let answer: Value = form.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer, json!({"result": expression}));
    }
    let empty = "/pipelines/01X/evaluateExpression?expression=";
    assert_eq!(gate.get_json(empty).await, json!({"result": ""}));
    let text = gate.request("POST", "/pipelines/01X/evaluateExpression");
    let text = text.header("content-type", "text/plain").body("");
    assert_eq!(text.send().await.unwrap().status(), 400);
    let variables = json!([{"key": "a", "value": "${1}"}]);
    let path = "/pipelines/01X/evaluateVariables";
    let answer = gate.send_json("POST", path, &variables).await;
    assert_eq!(answer.status(), 400, "executionId is needed");
    let path = format!("{path}?executionId=01Y&requisiteStageRefIds=1,2&spelVersion=v4");
    let answer = gate.send_json("POST", &path, &variables).await;
    assert_eq!(answer.status(), 200);
    let unknown = "/pipelines/01X/evaluateVariables?executionId=01Y&spelVersion=v9";
    let answer = gate.send_json("POST", unknown, &variables).await;
    assert_eq!(answer.status(), 400);
    let asked = gate.last("executions.evaluateVariables");
    assert_eq!(asked["id"], "01Y");
    assert_eq!(asked["requisiteStageRefIds"], json!(["1", "2"]));
    assert_eq!(asked["variables"], variables);
    gate.stop().await;
}

#[tokio::test]
async fn without_its_neighbours_gate_says_so() {
    let gate = TestGate::start_with(crate::services::config(), crate::services::in_memory());
    assert_eq!(gate.get_json("/auth/user").await["username"], "anonymous");
    let answer = gate.send("GET", "/applications").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "KORK-0001");
    gate.stop().await;
}
