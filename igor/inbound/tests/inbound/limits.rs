//! How large a delivery may be.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use igor_inbound::{Refused, Sender, Source, limits};
use kork_model::inbound::Verified;

use crate::harness::{Case, SECRET, Sent, sha256};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn plain() -> Sent {
    Case::named("anybody", "generic/x").sent()
}

fn too_large(sent: &Sent) {
    let refused = sent.receive().unwrap_err();
    assert!(matches!(refused, Refused::TooLarge { .. }), "{refused}");
    assert_eq!(refused.status(), 413);
}

#[test]
fn bodies_end_at_the_limit_of_the_source() {
    let mut sent = plain();
    sent.body = format!("{{\"a\":\"{}\"}}", "x".repeat(limits::BODY_BYTES_MAX - 8)).into_bytes();
    assert_eq!(sent.body.len(), limits::BODY_BYTES_MAX);
    assert!(sent.receive().is_ok());
    sent.body.push(b' ');
    too_large(&sent);
    // More than a message of the suite holds cannot be configured.
    sent.source.max_body_bytes = Some(usize::MAX);
    too_large(&sent);
    let of = limits::body_bytes;
    assert_eq!(of(Sender::Generic, None), limits::BODY_BYTES_MAX);
    assert_eq!(of(Sender::Github, None), limits::WORDY_BODY_BYTES_MAX);
    let small = Source {
        max_body_bytes: Some(10),
        ..Source::default()
    };
    assert_eq!(of(Sender::Generic, Some(&small)), 10);
    assert_eq!(of(Sender::Github, Some(&small)), 10);
}

#[test]
fn a_body_is_too_large_before_anybody_asks_for_its_signature() {
    let mut sent = plain().secret(SECRET);
    sent.body = vec![b' '; limits::BODY_BYTES_MAX + 1];
    too_large(&sent);
}

#[test]
fn gzip_is_read_and_its_signature_is_over_what_was_sent() {
    let mut sent = Case::named("push", "git/github").sent().secret(SECRET);
    let json = sent.body.clone();
    sent.body = gzip(&json);
    let sent = sent.header("content-encoding", "gzip");
    let signed = |bytes: &[u8]| {
        let code = sha256(SECRET, bytes);
        sent.clone()
            .header("x-hub-signature-256", format!("sha256={code}"))
            .receive()
    };
    assert_eq!(signed(&sent.body).unwrap().verified, Verified::Signed);
    assert!(signed(&json).is_err());
}

#[test]
fn bombs_do_not_go_off() {
    let mut sent = plain().header("content-encoding", "gzip");
    let limit = limits::BODY_BYTES_MAX;
    sent.body = gzip(format!("{{\"a\":\"{}\"}}", "x".repeat(limit - 8)).as_bytes());
    assert!(sent.receive().is_ok());
    sent.body = gzip(&vec![b' '; limit + 1]);
    assert!(sent.body.len() < 10_000);
    too_large(&sent);
    // Many small members one after the other are one content.
    sent.body = gzip(&vec![b' '; limit / 4]).repeat(5);
    too_large(&sent);
    sent.body.truncate(20);
    assert_eq!(sent.receive().unwrap_err().status(), 400);
    let other = plain().header("content-encoding", "br");
    assert_eq!(other.receive().unwrap_err().status(), 400);
}

#[test]
fn headers_and_forms_have_limits() {
    let mut sent = plain();
    for index in 0..=limits::HEADERS_MAX {
        sent = sent.header(&format!("x-{index}"), "a");
    }
    too_large(&sent);
    too_large(&plain().header("x-a", "a".repeat(limits::HEADER_BYTES_MAX)));
    let mut sent = plain();
    for index in 0..5 {
        sent = sent.header(
            &format!("x-{index}"),
            "a".repeat(limits::ALL_HEADERS_BYTES_MAX / 5),
        );
    }
    too_large(&sent);
    let mut form = plain().header("content-type", "application/x-www-form-urlencoded");
    let fields = |count: usize| -> Vec<u8> {
        (0..count)
            .flat_map(|index| format!("f{index}=1&").into_bytes())
            .collect()
    };
    form.body = fields(limits::FORM_FIELDS_MAX);
    assert!(form.receive().is_ok());
    form.body = fields(limits::FORM_FIELDS_MAX + 1);
    too_large(&form);
}

#[test]
fn deep_nesting_is_refused() {
    let mut sent = plain();
    sent.body = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes();
    let refused = sent.receive().unwrap_err();
    assert!(refused.to_string().contains("levels deep"), "{refused}");
}

#[test]
fn many_changes_at_once_are_refused_and_many_files_are_cut() {
    let mut sent = Case::named("push of one branch", "bitbucket/acme").sent();
    let body = |changes: usize| {
        let change =
            serde_json::json!({"new": {"type": "branch", "name": "b", "target": {"hash": "c"}}});
        serde_json::json!({"repository": {"full_name": "a/b"}, "push": {"changes": vec![change; changes]}})
    };
    sent.body = serde_json::to_vec(&body(limits::EVENTS_MAX)).unwrap();
    let events = sent.receive().unwrap().events;
    let mut ids: Vec<&String> = events.iter().map(|event| &event.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), limits::EVENTS_MAX);
    sent.body = serde_json::to_vec(&body(limits::EVENTS_MAX + 1)).unwrap();
    too_large(&sent);

    let mut sent = Case::named("push", "git/github").sent();
    let files: Vec<String> = (0..limits::FILES_MAX + 10)
        .map(|index| format!("f{index}"))
        .collect();
    let mut body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    body["commits"] = serde_json::json!([{"added": files}]);
    sent.body = serde_json::to_vec(&body).unwrap();
    let event = sent.receive().unwrap().events.remove(0);
    // Part of them would say of the others that they are unchanged.
    assert!(event.files.is_empty());
    assert!(event.artifacts.len() > 500, "{}", event.artifacts.len());
    let bytes = serde_json::to_vec(&event.artifacts).unwrap().len();
    assert!(bytes < limits::ARTIFACTS_BYTES_MAX + 10_000, "{bytes}");
}

#[test]
fn a_large_body_of_many_changes_is_not_copied_without_end() {
    let mut sent = Case::named("push of one branch", "bitbucket/acme").sent();
    sent.source.max_body_bytes = Some(limits::BODY_BYTES_MAX);
    let change =
        serde_json::json!({"new": {"type": "branch", "name": "b", "target": {"hash": "c"}}});
    let body = serde_json::json!({
        "repository": {"full_name": "a/b"},
        "push": {"changes": vec![change; limits::EVENTS_MAX]},
        "x": "x".repeat(1024 * 1024),
    });
    sent.body = serde_json::to_vec(&body).unwrap();
    too_large(&sent);
}

/// A push of so many commits with so many files each, and signatures.
fn push(commits: usize, files: usize) -> Sent {
    let mut sent = Case::named("push", "git/github").sent().secret(SECRET);
    let mut body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    let commit = |n: usize| {
        let files: Vec<String> = (0..files)
            .map(|f| format!("services/{n}/file-{f}.rs"))
            .collect();
        serde_json::json!({"id": format!("{n:040}"), "message": "m".repeat(600), "added": files,
                           "removed": [], "modified": []})
    };
    let all: Vec<_> = (1..=commits).map(commit).collect();
    body["after"] = all.last().unwrap()["id"].clone();
    body["head_commit"] = all.last().unwrap().clone();
    body["commits"] = all.into();
    sent.body = serde_json::to_vec(&body).unwrap();
    let code = sha256(SECRET, &sent.body);
    sent.header("x-hub-signature-256", format!("sha256={code}"))
}

fn bytes(of: &impl serde::Serialize) -> usize {
    serde_json::to_vec(of).unwrap().len()
}

#[test]
fn a_push_that_is_larger_than_an_event_goes_without_its_oldest_commits() {
    let sent = push(1_500, 20);
    assert!(
        sent.body.len() > limits::BODY_BYTES_MAX * 4,
        "{}",
        sent.body.len()
    );
    let received = sent.receive().unwrap();
    let why = received.ignored.unwrap();
    assert!(why.contains("of 1500 commits"), "{why}");
    let event = &received.events[0];
    assert_eq!(event.verified, Verified::Signed);
    assert!(bytes(event) <= limits::EVENT_BYTES_MAX);
    assert!(bytes(&event.payload) <= limits::BODY_BYTES_MAX);
    assert!(bytes(&event.payload) > limits::BODY_BYTES_MAX / 2);
    let kept = event.payload["commits"].as_array().unwrap();
    assert_eq!(kept.last().unwrap()["id"], event.payload["after"]);
    assert_eq!(
        kept[0].get("added"),
        None,
        "nobody takes part of them for all"
    );
    assert_eq!(event.payload["head_commit"].get("added"), None);
    assert!(event.files.is_empty(), "more than are listed");
    assert_eq!(event.signed.as_ref().unwrap().body, "");
    let mut sent = push(3, 1);
    sent.body.resize(limits::WORDY_BODY_BYTES_MAX + 1, b' ');
    too_large(&sent);
}

#[test]
fn a_push_of_many_files_is_one_event_with_its_signature_and_its_files() {
    // Parsed and signed, and as files and artifacts, it is there four times.
    let sent = push(4, 900);
    assert!(
        sent.body.len() < limits::BODY_BYTES_MAX,
        "{}",
        sent.body.len()
    );
    let received = sent.receive().unwrap();
    let event = &received.events[0];
    assert!(bytes(event) <= limits::EVENT_BYTES_MAX, "{}", bytes(event));
    assert_eq!(event.files.len(), 3_600);
    assert!(event.signed.is_some());
    assert_eq!(event.payload["commits"].as_array().unwrap().len(), 4);
}

#[test]
fn the_newest_commits_stay_where_they_are_listed_first() {
    let mut sent = push(1_500, 0);
    let mut body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    body["commits"].as_array_mut().unwrap().reverse();
    sent.body = serde_json::to_vec(&body).unwrap();
    sent.secrets.clear();
    let received = sent.receive().unwrap();
    let payload = &received.events[0].payload;
    assert_eq!(payload["commits"][0]["id"], payload["after"]);
}

#[test]
fn the_log_of_a_build_is_cut_to_its_end() {
    let case = Case::all()
        .into_iter()
        .find(|case| case.sender == "jenkins" && case.body.pointer("/build/full_url").is_some());
    let case = case.unwrap();
    let mut sent = case.sent();
    let mut body = case.body;
    body["build"]["log"] = format!("{}the end", "é\n".repeat(700_000)).into();
    sent.body = serde_json::to_vec(&body).unwrap();
    let received = sent.receive().unwrap();
    let log = received.events[0].payload["build"]["log"].as_str().unwrap();
    assert!(log.ends_with("the end"));
    assert!((limits::LOG_BYTES_MAX - 4..=limits::LOG_BYTES_MAX).contains(&log.len()));
    // What is no log does not grow with it.
    body["build"]["log"] = "".into();
    body["build"]["notes"] = "n".repeat(limits::BODY_BYTES_MAX).into();
    sent.body = serde_json::to_vec(&body).unwrap();
    too_large(&sent);
}
