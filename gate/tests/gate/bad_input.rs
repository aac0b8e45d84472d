//! Bad requests of every kind, against every route that can get them.

use reqwest::Response;
use serde_json::Value;

use crate::{
    contract::{body_for, filled, operations},
    services::TestGate,
};

async fn check(answer: Response, status: u16, code: &str, what: &str) -> Value {
    assert_eq!(answer.status(), status, "{what}: {:?}", answer.text().await);
    assert_eq!(
        answer.headers()["content-type"],
        "application/problem+json",
        "{what}"
    );
    let id = answer.headers()["x-spinnaker-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], code, "{what}: {problem}");
    assert_eq!(problem["status"], status, "{what}");
    assert_eq!(problem["trace_id"], id, "{what}");
    for member in [
        "message",
        "error",
        "timestamp",
        "detail",
        "instance",
        "title",
        "type",
    ] {
        assert!(problem[member].is_string(), "{what}: {member} of {problem}");
    }
    problem
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_by_every_route() {
    let gate = TestGate::start().await;
    let mut checked = 0;
    for (method, path, operation) in operations() {
        let Some(body) = operation.get("requestBody") else {
            continue;
        };
        // What comes in from outside is read by igor.
        if path == "/pipelines/move" || path.starts_with("/webhooks/") {
            continue;
        }
        let what = format!("{method} {path}");
        let request = || {
            gate.request(&method, &filled(&path))
                .header("content-type", "application/json")
        };
        let broken = request().body("{\n \"a\": }").send().await.unwrap();
        let problem = check(broken, 400, "GATE-0005", &what).await;
        assert_eq!(problem["line"], 2, "{what}");
        let text = request().body("\"x\"").send().await.unwrap();
        check(text, 400, "GATE-0006", &what).await;
        let deep = request()
            .body(format!("{{\"a\":{}", "[".repeat(10_000)))
            .send()
            .await
            .unwrap();
        check(deep, 400, "GATE-0005", &what).await;
        let large = request()
            .body(vec![b' '; 1024 * 1024 + 1])
            .send()
            .await
            .unwrap();
        check(large, 413, "GATE-0007", &what).await;
        let media = gate
            .request(&method, &filled(&path))
            .header("content-type", "text/xml");
        check(
            media.body("<a/>").send().await.unwrap(),
            415,
            "GATE-0004",
            &what,
        )
        .await;
        if body["required"] == true {
            check(request().send().await.unwrap(), 400, "GATE-0005", &what).await;
            let bare = gate.request(&method, &filled(&path)).send().await.unwrap();
            check(bare, 400, "GATE-0005", &what).await;
        }
        checked += 1;
    }
    assert!(checked > 20, "{checked} routes take a body");
    gate.stop().await;
}

#[tokio::test]
async fn a_body_without_an_announced_length_is_limited_too() {
    let gate = TestGate::start().await;
    let chunks = (0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let answer = gate.request("POST", "/tasks").body(body).send().await;
    // The server may close while the client still writes.
    if let Ok(answer) = answer {
        check(answer, 413, "GATE-0007", "chunks").await;
    }
    assert_eq!(gate.send("GET", "/version").await.status(), 200);
    gate.stop().await;
}

async fn check_parameter(gate: &TestGate, asked: (&str, &str, &str), body: Option<Value>) {
    let (method, url, name) = asked;
    let mut request = gate.request(method, url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let problem = check(answer, 400, "GATE-0008", &format!("{method} {url}")).await;
    assert_eq!(problem["errors"][0]["pointer"], format!("?{name}"), "{url}");
}

#[tokio::test]
async fn parameters_that_cannot_be_read_are_refused_by_every_route() {
    let gate = TestGate::start().await;
    let mut checked = 0;
    for (method, path, operation) in operations() {
        for parameter in operation["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let ignored = ["force", "includeDetails"].contains(&name);
            let bad: &[&str] = match parameter["schema"]["type"].as_str().unwrap() {
                _ if parameter["in"] == "path" || ignored => continue,
                "integer" => &["-1", "x", "1.5", "99999999999999999999999"],
                "boolean" => &["maybe", "1"],
                "array" if name == "statuses" => &["DONE", "RUNNING,done"],
                _ => continue,
            };
            let needed = match path.as_str() {
                "/executions" => "executionIds=a&",
                "/search" => "type=applications&q=abc&",
                _ => "",
            };
            for value in bad {
                let url = format!("{}?{needed}{name}={value}", filled(&path));
                let body = operation
                    .get("requestBody")
                    .map(|_| body_for(&path, &operation));
                check_parameter(&gate, (&method, &url, name), body).await;
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "{checked} bad values");
    for (url, code) in [
        ("/search?q=abc", "GATE-0008"),
        ("/cron/validate", "GATE-0008"),
        ("/pipelines/01X/evaluateExpression", "GATE-0008"),
        ("/executions?limit=%zz", "GATE-0008"),
        ("/applications/a/executions/search?size=0", "GATE-0008"),
        ("/applications/a/executions/search?trigger=%7B", "GATE-0008"),
        (
            "/applications/a/executions/search?trigger=eA%3D%3D",
            "GATE-0008",
        ),
        ("/applications/%ff", "GATE-0009"),
    ] {
        check(gate.send("GET", url).await, 400, code, url).await;
    }
    let long = format!("/executions?executionIds={}", "a".repeat(20_000));
    check(
        gate.send("GET", &long).await,
        414,
        "GATE-0009",
        "a long query",
    )
    .await;
    let long = format!("/applications/{}", "a".repeat(5_000));
    check(
        gate.send("GET", &long).await,
        414,
        "GATE-0009",
        "a long path",
    )
    .await;
    gate.stop().await;
}

#[tokio::test]
async fn unknown_paths_methods_and_types_are_told_apart() {
    let gate = TestGate::start().await;
    for path in [
        "/nosuchpath",
        "/applications/a/b/c/d/e/f/g/h",
        "/pipelines//x",
        "/history/nobody",
    ] {
        check(gate.send("GET", path).await, 404, "GATE-0001", path).await;
    }
    let answer = gate.send("PUT", "/applications").await;
    assert_eq!(answer.headers()["allow"], "GET");
    check(answer, 405, "GATE-0002", "PUT /applications").await;
    let answer = gate.send("PURGE", "/pipelines/x").await;
    assert_eq!(answer.headers()["allow"], "GET, PUT, DELETE");
    check(answer, 405, "GATE-0002", "PURGE").await;
    let answer = gate
        .send_json("POST", "/pipelines/move", &serde_json::json!({}))
        .await;
    check(answer, 405, "GATE-0017", "move").await;
    for (method, path, operation) in operations() {
        let content = &operation["responses"]["200"]["content"];
        if method == "GET" && content.get("application/json").is_some() {
            let request = gate
                .request("GET", &filled(&path))
                .header("accept", "image/png");
            check(request.send().await.unwrap(), 406, "GATE-0003", &path).await;
        }
    }
    let head = gate.send("HEAD", "/version").await;
    assert_eq!(head.status(), 200);
    assert_eq!(head.text().await.unwrap(), "");
    gate.stop().await;
}

#[tokio::test]
async fn wrong_shapes_have_a_pointer() {
    let gate = TestGate::start().await;
    for (path, body, pointer) in [
        (
            "/actions/pipelines/reorder",
            r#"{"application":"a","idsToIndices":{"x":"y"}}"#,
            "/idsToIndices/x",
        ),
        (
            "/actions/pipelines/reorder",
            r#"{"application":"a"}"#,
            "/idsToIndices",
        ),
        (
            "/pipelines/01X/evaluateVariables",
            r#"[{"key":"a"}, 3]"#,
            "/1",
        ),
        (
            "/operations/plan",
            r#"{"kind":"deploy","payload":[]}"#,
            "/payload",
        ),
    ] {
        let request = gate
            .request("POST", path)
            .header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        let problem = check(answer, 400, "GATE-0006", path).await;
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    gate.stop().await;
}
