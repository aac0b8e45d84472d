//! The contract of [`ObjectStore`](crate::ports::ObjectStore).

use std::future::Future;

use bytes::Bytes;
use futures_util::future::join_all;

use super::checks;
use crate::ports::{Condition, ObjectStore, ObjectStoreError, Ports, Stored, limit};

/// Everything an object store guarantees.
pub async fn objects<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Ports>,
{
    checks!(make:
        a_read_sees_the_last_write,
        a_conditional_write_needs_its_condition,
        of_many_conditional_writers_one_wins,
        a_conditional_delete_needs_its_condition,
        earlier_versions_are_kept,
        an_erased_object_leaves_nothing,
        a_listing_is_sorted_and_has_only_the_prefix,
        any_text_is_a_key,
        what_is_no_key_is_refused,
        what_is_too_large_is_refused,
        a_body_is_never_seen_half_written,
    );
}

async fn put(objects: &dyn ObjectStore, key: &str, body: &str) -> Stored {
    objects
        .put(key, Bytes::from(body.to_owned()), Condition::Always)
        .await
        .unwrap_or_else(|error| panic!("put {key}: {error}"))
}

async fn get(objects: &dyn ObjectStore, key: &str) -> Option<Bytes> {
    objects
        .get(key)
        .await
        .unwrap_or_else(|error| panic!("get {key}: {error}"))
        .map(|o| o.body)
}

async fn keys(objects: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    let listed = objects.list(prefix).await.expect("list");
    listed.into_iter().map(|info| info.key).collect()
}

fn refused<T: std::fmt::Debug>(outcome: &Result<T, ObjectStoreError>) {
    assert!(
        matches!(outcome, Err(ObjectStoreError::ConditionFailed { .. })),
        "{outcome:?}"
    );
}

/// Body, etag, version, time and size agree between put, get and list.
async fn a_read_sees_the_last_write(ports: Ports) {
    let objects = &*ports.objects;
    assert_eq!(get(objects, "a/b.json").await, None);
    let before = ports.clock.now();
    let first = put(objects, "a/b.json", "one").await;
    let second = put(objects, "a/b.json", "second").await;
    assert_ne!(first.etag, second.etag);
    assert_ne!(first.version, second.version);
    let found = objects
        .get("a/b.json")
        .await
        .expect("get")
        .expect("the object");
    assert_eq!((&found.body[..], found.info.size), (&b"second"[..], 6));
    assert_eq!(
        (&found.info.etag, &found.info.version),
        (&second.etag, &second.version)
    );
    // A store of its own may round its times to seconds.
    assert!(found.info.modified.plus_ms(1_000) >= before);
    let mut listed = objects.list("a/").await.expect("list");
    // A listing may leave the version out.
    for info in listed.iter_mut().filter(|info| info.version.is_empty()) {
        info.version.clone_from(&second.version);
    }
    assert_eq!(listed, [found.info]);
    let empty = put(objects, "empty", "").await;
    let found = objects
        .get("empty")
        .await
        .expect("get")
        .expect("an empty object");
    assert!(found.body.is_empty() && found.info.etag == empty.etag && !found.info.deleted);
}

/// If absent, if unchanged; a refused write changes nothing.
async fn a_conditional_write_needs_its_condition(ports: Ports) {
    let objects = &*ports.objects;
    let body = || Bytes::from_static(b"x");
    refused(
        &objects
            .put("k", body(), Condition::IfMatch("no such etag".to_owned()))
            .await,
    );
    let first = objects
        .put("k", body(), Condition::IfAbsent)
        .await
        .expect("the first");
    refused(&objects.put("k", body(), Condition::IfAbsent).await);
    let second = put(objects, "k", "second").await;
    refused(
        &objects
            .put("k", body(), Condition::IfMatch(first.etag))
            .await,
    );
    assert_eq!(get(objects, "k").await.as_deref(), Some(&b"second"[..]));
    let unchanged = Condition::IfMatch(second.etag);
    objects
        .put("k", Bytes::from_static(b"third"), unchanged)
        .await
        .expect("unchanged");
    objects
        .delete("k", Condition::Always)
        .await
        .expect("delete");
    objects
        .put("k", body(), Condition::IfAbsent)
        .await
        .expect("a deleted object is absent");
}

/// A conditional write is atomic among all writers.
async fn of_many_conditional_writers_one_wins(ports: Ports) {
    let objects = &*ports.objects;
    let race = async |condition: &Condition| {
        let writers = (0..8).map(|writer| {
            objects.put(
                "race",
                Bytes::from(format!("{condition:?} {writer}")),
                condition.clone(),
            )
        });
        let outcomes = join_all(writers).await;
        let won: Vec<&Stored> = outcomes.iter().flatten().collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        won[0].etag.clone()
    };
    let mut etag = race(&Condition::IfAbsent).await;
    for _ in 0..5 {
        etag = race(&Condition::IfMatch(etag)).await;
    }
}

/// A delete of nothing is fine, unless a condition says otherwise.
async fn a_conditional_delete_needs_its_condition(ports: Ports) {
    let objects = &*ports.objects;
    objects
        .delete("k", Condition::Always)
        .await
        .expect("deleting nothing is fine");
    let first = put(objects, "k", "one").await;
    put(objects, "k", "two").await;
    refused(&objects.delete("k", Condition::IfMatch(first.etag)).await);
    assert!(get(objects, "k").await.is_some());
    let etag = objects
        .get("k")
        .await
        .expect("get")
        .expect("the object")
        .info
        .etag;
    objects
        .delete("k", Condition::IfMatch(etag.clone()))
        .await
        .expect("delete");
    assert!(get(objects, "k").await.is_none());
    refused(&objects.delete("k", Condition::IfMatch(etag)).await);
}

/// Newest first, delete markers included, of exactly this key.
async fn earlier_versions_are_kept(ports: Ports) {
    let objects = &*ports.objects;
    let mut stored = Vec::new();
    for body in ["one", "two"] {
        stored.push(put(objects, "k", body).await);
    }
    objects
        .delete("k", Condition::Always)
        .await
        .expect("delete");
    stored.push(put(objects, "k", "three").await);
    put(objects, "k-deeper", "other").await;
    put(objects, "kk", "other").await;
    let versions = objects.versions("k").await.expect("versions");
    let deleted: Vec<bool> = versions.iter().map(|version| version.deleted).collect();
    assert_eq!(deleted, [false, true, false, false]);
    assert!(versions.iter().all(|version| version.key == "k"));
    let named: Vec<&String> = versions
        .iter()
        .filter(|v| !v.deleted)
        .map(|version| &version.version)
        .collect();
    assert_eq!(
        named,
        [&stored[2].version, &stored[1].version, &stored[0].version]
    );
    let first = objects
        .get_version("k", &stored[0].version)
        .await
        .expect("get_version");
    assert_eq!(first.expect("the first version").body, "one");
    let marker = objects
        .get_version("k", &versions[1].version)
        .await
        .expect("get_version");
    assert_eq!(marker, None, "a delete marker has no body");
    assert_eq!(
        objects
            .get_version("k", "nonsense")
            .await
            .expect("get_version"),
        None
    );
    objects
        .delete("k", Condition::Always)
        .await
        .expect("delete");
    assert_eq!(keys(objects, "").await, ["k-deeper", "kk"]);
    assert_eq!(objects.versions("k").await.expect("versions").len(), 5);
}

/// Neither the object nor a version.
async fn an_erased_object_leaves_nothing(ports: Ports) {
    let objects = &*ports.objects;
    put(objects, "k", "one").await;
    put(objects, "k-deeper", "kept").await;
    objects.erase("k").await.expect("erase");
    objects.erase("k").await.expect("erasing nothing is fine");
    assert!(get(objects, "k").await.is_none());
    assert!(objects.versions("k").await.expect("versions").is_empty());
    assert_eq!(keys(objects, "").await, ["k-deeper"]);
    put(objects, "k", "anew").await;
    assert_eq!(get(objects, "k").await.as_deref(), Some(&b"anew"[..]));
}

/// A prefix may end anywhere in a key.
async fn a_listing_is_sorted_and_has_only_the_prefix(ports: Ports) {
    let objects = &*ports.objects;
    let all = ["a/1", "a/10", "a/2x/y", "a0", "b/1", "B/1", "a/2", "a.b"];
    join_all(all.iter().map(|key| put(objects, key, "x"))).await;
    assert_eq!(keys(objects, "a/").await, ["a/1", "a/10", "a/2", "a/2x/y"]);
    assert_eq!(keys(objects, "a/1").await, ["a/1", "a/10"]);
    assert_eq!(
        keys(objects, "a").await,
        ["a.b", "a/1", "a/10", "a/2", "a/2x/y", "a0"]
    );
    assert_eq!(
        keys(objects, "").await,
        ["B/1", "a.b", "a/1", "a/10", "a/2", "a/2x/y", "a0", "b/1"]
    );
    assert!(keys(objects, "a/3").await.is_empty());
    assert!(keys(objects, "nothing/here").await.is_empty());
}

/// Also text that file systems and shells take amiss.
async fn any_text_is_a_key(ports: Ports) {
    let objects = &*ports.objects;
    let long = format!("long/{}", "x".repeat(limit::NAME_BYTES_MAX - 5));
    let wide = format!("wide/{}", "日".repeat(150));
    let mut all: Vec<&str> = vec![
        "plain",
        "Plain",
        "PLAIN",
        "with blank",
        "colon:at@bang!",
        "per%cent",
        "a+b",
        "tilde~",
        "back\\slash",
        "star*?",
        "quote\"'",
        "ünïcode/日本",
        ".hidden",
        "a..b",
        "trailing.",
        "new\nline",
        "/absolute",
        "a//b",
        "directory/",
        "-rf",
        "con",
        &long,
        &wide,
    ];
    for key in &all {
        put(objects, key, &format!("body of {key}")).await;
    }
    for key in &all {
        let body = get(objects, key)
            .await
            .unwrap_or_else(|| panic!("{key} is not there"));
        assert_eq!(body, format!("body of {key}"));
    }
    all.sort_unstable();
    assert_eq!(keys(objects, "").await, all);
    assert_eq!(keys(objects, "long/x").await, [long.as_str()]);
    assert_eq!(keys(objects, "wide/日日").await, [wide.as_str()]);
}

/// Nothing leaves the store.
async fn what_is_no_key_is_refused(ports: Ports) {
    let objects = &*ports.objects;
    let long = "x".repeat(limit::NAME_BYTES_MAX + 1);
    for key in ["", "..", ".", "../x", "a/../../x", "a/./b", "a/..", &long] {
        let outcomes = [
            objects
                .put(key, Bytes::new(), Condition::Always)
                .await
                .err(),
            objects.get(key).await.err(),
            objects.delete(key, Condition::Always).await.err(),
            objects.erase(key).await.err(),
            objects.versions(key).await.err(),
        ];
        for error in outcomes {
            assert!(
                matches!(error, Some(ObjectStoreError::BadKey { .. })),
                "{key:?}: {error:?}"
            );
        }
    }
    assert!(keys(objects, "").await.is_empty());
}

/// The limits of every adapter are the same.
async fn what_is_too_large_is_refused(ports: Ports) {
    let body = Bytes::from(vec![0; limit::OBJECT_BYTES_MAX + 1]);
    let outcome = ports.objects.put("big", body, Condition::Always).await;
    assert!(
        matches!(outcome, Err(ObjectStoreError::TooLarge { .. })),
        "{outcome:?}"
    );
}

/// Readers see one write or another.
async fn a_body_is_never_seen_half_written(ports: Ports) {
    let objects = &*ports.objects;
    let body = |fill: u8| Bytes::from(vec![fill; 200_000]);
    objects
        .put("k", body(0), Condition::Always)
        .await
        .expect("put");
    let writes = async {
        for fill in 1..10 {
            objects
                .put("k", body(fill), Condition::Always)
                .await
                .expect("put");
        }
    };
    let reads = async {
        for _ in 0..30 {
            let seen = objects
                .get("k")
                .await
                .expect("get")
                .expect("the object")
                .body;
            assert!(seen.len() == 200_000 && seen.iter().all(|byte| *byte == seen[0]));
        }
    };
    futures_util::join!(writes, reads);
}
