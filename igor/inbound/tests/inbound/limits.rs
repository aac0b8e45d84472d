//! How large a delivery may be.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use igor_inbound::{Refused, Source, limits};
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
    assert_eq!(limits::body_bytes(None), limits::BODY_BYTES_MAX);
    let small = Source {
        max_body_bytes: Some(10),
        ..Source::default()
    };
    assert_eq!(limits::body_bytes(Some(&small)), 10);
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
    assert_eq!(event.artifacts.len(), limits::FILES_MAX);
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
