//! Bad input of each kind is refused with a status, a code and a sentence; what was taken although it
//! cannot run ends with the reason.

use integration_tests::{
    harness::{Answer, Suite},
    pipeline::{pipeline, wait},
};
use reqwest::Method;
use serde_json::{Value, json};

/// Bytes above every limit of a stage's context.
const LARGE: usize = 300 * 1024;
/// Bytes above the limit of a request.
const TOO_LARGE: usize = 1100 * 1024;
/// Stages above the limit.
const MANY: usize = 1_001;

/// What a program and a person need from a refusal. The sentence must name these words.
fn check(what: &str, answer: &Answer, status: u16, words: &[&str]) {
    assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
    assert_eq!(
        answer.media_type, "application/problem+json",
        "{what}: {answer:?}"
    );
    let body = &answer.body;
    for member in ["type", "title", "detail", "code", "trace_id", "message"] {
        let text = body[member].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{what}: {member} is missing: {body}");
    }
    assert_eq!(body["status"], json!(status), "{what}: {body}");
    let code = body["code"].as_str().unwrap();
    assert!(
        kork::problem::lookup(code).is_some(),
        "{what}: {code} has no page"
    );
    let text = body.to_string();
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is not named: {body}");
    }
    for inside in ["panicked", "src/", ".rs:", "Error {"] {
        assert!(!text.contains(inside), "{what}: shows its inside: {body}");
    }
}

async fn started(suite: &Suite, definition: &Value) -> Answer {
    let gate = suite.gate();
    gate.post("/pipelines/start", definition).await.unwrap()
}

#[tokio::test]
async fn bodies_that_are_no_json_objects() {
    let suite = Suite::start().await;
    let nested = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let bodies: [(&str, &[u8]); 8] = [
        ("nothing", b""),
        ("half an object", b"{\"application\": "),
        ("text", b"hello"),
        ("a list", b"[1, 2]"),
        ("a string", b"\"x\""),
        ("no UTF-8", b"{\"name\": \"\xff\xfe\"}"),
        ("nested deeply", nested.as_bytes()),
        ("null", b"null"),
    ];
    for path in ["/pipelines", "/pipelines/start", "/tasks"] {
        for (what, bytes) in bodies {
            let body = Some(("application/json", bytes.to_vec()));
            let answer = suite.gate().send(Method::POST, path, body).await.unwrap();
            check(&format!("{path} with {what}"), &answer, 400, &[]);
        }
        let form = Some(("application/x-www-form-urlencoded", b"a=b".to_vec()));
        let answer = suite.gate().send(Method::POST, path, form).await.unwrap();
        check(&format!("{path} with a form"), &answer, 415, &[]);
    }
    suite.gate().get("/health").await.unwrap();
}

#[tokio::test]
async fn members_of_the_wrong_type() {
    let suite = Suite::start().await;
    let base = pipeline("bad", "types", &[wait("1", &[], 0)]);
    for (member, value) in [
        ("stages", json!({"a": 1})),
        ("stages", json!(["x"])),
        ("stages", json!([{"refId": "1"}])),
        ("stages", json!([{"refId": "1", "type": {}, "name": "x"}])),
        (
            "stages",
            json!([{"refId": [], "type": "wait", "name": "x"}]),
        ),
        ("parameterConfig", json!("x")),
    ] {
        let mut definition = base.clone();
        definition[member] = value.clone();
        let answer = started(&suite, &definition).await;
        check(&format!("{member} = {value}"), &answer, 400, &[member]);
    }
}

#[tokio::test]
async fn what_cannot_run_is_refused_or_ends_with_the_reason() {
    let suite = Suite::start().await;
    let cycle = [
        wait("1", &[], 0),
        wait("2", &["3"], 0),
        wait("3", &["2"], 0),
    ];
    let unknown =
        [json!({"refId": "1", "requisiteStageRefIds": [], "type": "frobnicate", "name": "f"})];
    let nowhere = [wait("1", &["9"], 0)];
    for (what, stages, word) in [
        ("a cycle", &cycle[..], "can never start"),
        ("an unknown stage type", &unknown, "frobnicate"),
        ("an unknown reference", &nowhere, "no stage can start"),
    ] {
        let answer = started(&suite, &pipeline("bad", what, stages)).await;
        let id = answer.reference().unwrap();
        let execution = suite.gate().ended(&id, Suite::PATIENCE).await;
        assert_eq!(execution["status"], "TERMINAL", "{what}: {execution:#}");
        let told = execution.to_string();
        assert!(told.contains(word), "{what}: no reason: {execution:#}");
    }
}

#[tokio::test]
async fn a_missing_parameter_is_named() {
    let suite = Suite::start().await;
    let mut definition = pipeline("bad", "parameters", &[wait("1", &[], 0)]);
    definition["parameterConfig"] = json!([{"name": "version", "required": true}]);
    let saved = suite.gate().post("/pipelines", &definition).await.unwrap();
    saved.success().unwrap();
    let path = "/pipelines/bad/parameters";
    let manual = json!({"type": "manual"});
    let answer = suite.gate().post(path, &manual).await.unwrap();
    check("a missing parameter, stored", &answer, 400, &["version"]);
    let given = json!({"type": "manual", "parameters": {"version": "7"}});
    let answer = suite.gate().post(path, &given).await.unwrap();
    assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
}

#[tokio::test]
async fn more_than_a_limit_allows() {
    let suite = Suite::start().await;
    let mut large = wait("1", &[], 0);
    large["comments"] = json!("x".repeat(LARGE));
    let answer = started(&suite, &pipeline("bad", "context", &[large])).await;
    check("a large context", &answer, 400, &["262144"]);

    let many: Vec<Value> = (0..MANY).map(|n| wait(&n.to_string(), &[], 0)).collect();
    let answer = started(&suite, &pipeline("bad", "many", &many)).await;
    check("many stages", &answer, 400, &["1000"]);

    let mut huge = pipeline("bad", "huge", &[wait("1", &[], 0)]);
    huge["description"] = json!("x".repeat(TOO_LARGE));
    for path in ["/pipelines", "/pipelines/start"] {
        let answer = suite.gate().post(path, &huge).await.unwrap();
        check(&format!("{path}, huge"), &answer, 413, &["1048576"]);
    }
    let path = format!("/executions?executionIds={}", "x,".repeat(600));
    let answer = suite.gate().send(Method::GET, &path, None).await.unwrap();
    check("many ids", &answer, 400, &["500"]);
    let path = format!("/applications/{}", "x".repeat(5_000));
    let answer = suite.gate().send(Method::GET, &path, None).await.unwrap();
    check("a long path", &answer, 414, &["4096"]);
}

#[tokio::test]
async fn ids_that_name_nothing() {
    let suite = Suite::start().await;
    let definition = pipeline("bad", "ids", &[wait("1", &[], 3600)]);
    let id = suite.gate().start(&definition).await.unwrap();
    let known = format!("/pipelines/{id}");
    let nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let calls = [
        (Method::GET, "/pipelines/nosuch".to_owned(), "nosuch"),
        (Method::GET, format!("/pipelines/{nobody}"), nobody),
        (Method::GET, "/pipelines/%00".to_owned(), ""),
        (
            Method::GET,
            "/pipelines/..%2f..%2fetc%2fpasswd".to_owned(),
            "",
        ),
        (Method::GET, format!("/tasks/{nobody}"), nobody),
        (Method::PUT, format!("/pipelines/{nobody}/cancel"), nobody),
        (Method::PUT, format!("/pipelines/{nobody}/pause"), nobody),
        (Method::DELETE, format!("/pipelines/{nobody}"), nobody),
        (Method::PUT, format!("{known}/stages/nope/restart"), "nope"),
        (Method::POST, "/pipelines/bad/nosuch".to_owned(), "nosuch"),
        (Method::GET, "/applications/nosuch".to_owned(), "nosuch"),
        (Method::GET, "/credentials/nosuch".to_owned(), "nosuch"),
        (Method::GET, "/nosuch".to_owned(), "/nosuch"),
    ];
    for (method, path, word) in calls {
        let what = format!("{method} {path}");
        let body = (method != Method::GET && method != Method::DELETE)
            .then(|| ("application/json", b"{}".to_vec()));
        let answer = suite.gate().send(method, &path, body).await.unwrap();
        check(&what, &answer, 404, &[word]);
    }
}
