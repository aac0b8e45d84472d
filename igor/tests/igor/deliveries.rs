//! Who may send, what is kept of it, and what becomes of secrets and accounts that change.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use kork::rpc;
use kork_model::{
    Kind,
    api::igor::{
        GetDelivery, ListDeliveries, ListSources, RawBody, ReceiveDelivery, ReplayDelivery,
    },
    inbound::Verified,
};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::world::{World, eventually};

const PUSH: &str = r#"{"ref":"refs/heads/main","after":"3f0c9d7a5b1e4826c0d9f8e7a6b5c4d3e2f1a0b9",
    "repository":{"name":"shop","full_name":"acme/shop","owner":{"name":"acme"}},"pusher":{"name":"ana"}}"#;

fn signed(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let code = mac.finalize().into_bytes();
    let mut header = "sha256=".to_owned();
    for byte in code {
        write!(header, "{byte:02x}").unwrap();
    }
    header
}

async fn push(world: &World, secret: &str, id: &str) -> Result<(), Kind> {
    let signature = signed(secret, PUSH);
    let headers = [
        ("x-github-event", "push"),
        ("x-github-delivery", id),
        ("x-hub-signature-256", &signature),
        ("authorization", "Bearer hidden"),
    ];
    let sent = world.send("github/main", &headers, PUSH).await;
    sent.map(drop).map_err(|problem| problem.kind)
}

async fn world() -> World {
    let world = World::new(&json!({})).await;
    world.write("secret", "first\n");
    world.write("accounts.yaml", &accounts(&world).to_string());
    // The file is read again by itself.
    eventually("the source is known", async || {
        let sources = rpc::call(&*world.ports.rpc, &ListSources {}).await.unwrap();
        sources.iter().any(|s| s["name"] == "main").then_some(())
    })
    .await;
    world
}

fn accounts(world: &World) -> Value {
    json!({"registries": [{"name": "own", "address": "http://127.0.0.1:1", "allowHttp": true,
                           "repositories": ["pay/ledger"], "pollMs": 3_600_000}],
           "repositories": [{"name": "cart", "url": "https://127.0.0.1:1/acme/cart.git", "source": "github",
                             "pollMs": 3_600_000}],
           "googleKeysFile": world.path("no such file"), "sources": [
        {"name": "main", "sender": "github", "secretFiles": [world.path("secret")]},
        {"name": "open", "sender": "github"},
        {"name": "harbor", "sender": "harbor"},
        {"name": "jenkins", "sender": "jenkins", "secretFiles": [world.path("secret")]},
        {"name": "team", "authentication": {"type": "header", "name": "X-Team"},
         "secretFiles": [world.path("secret")]},
        {"name": "push", "sender": "pubsub",
         "authentication": {"type": "google", "audience": "a", "email": "e"}},
    ]})
}

#[tokio::test]
async fn a_delivery_is_stored_once_it_is_proved() {
    let world = world().await;
    push(&world, "first", "d-1").await.unwrap();
    let stored = world.stored();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].id, "github:d-1");
    assert_eq!(stored[0].verified, Verified::Signed);
    assert_eq!(world.last().await.proof.as_deref(), Some("signature"));
    assert_eq!(
        push(&world, "wrong", "d-2").await,
        Err(Kind::Unauthenticated)
    );
    assert_eq!(world.stored().len(), 1, "a refused delivery was stored");
    let refused = world.last().await;
    assert_eq!(refused.verdict, "refused");
    assert!(refused.because.unwrap().contains("signature"));
    assert_eq!(refused.headers["authorization"], "***");
    let whole = GetDelivery { id: refused.id };
    let whole = rpc::call(&*world.ports.rpc, &whole).await.unwrap();
    assert_eq!(
        whole.body, None,
        "nobody vouches for the body of a refused delivery"
    );
}

#[tokio::test]
async fn a_secret_in_a_body_is_kept_nowhere() {
    let world = world().await;
    // So did Gitea for a while, at the path of GitHub as well.
    let body = PUSH.replacen('{', r#"{"secret":"first","#, 1);
    let signature = signed("first", &body);
    let bare = signature.trim_start_matches("sha256=");
    let headers = [("x-gitea-event", "push"), ("x-gitea-signature", bare)];
    world.send("github/main", &headers, &body).await.unwrap();
    let stored = world.stored();
    assert_eq!(stored[0].sender, "gitea");
    assert_eq!(stored[0].payload["ref"], "refs/heads/main");
    assert!(!stored[0].payload.contains_key("secret"));
    let kept = GetDelivery {
        id: world.last().await.id,
    };
    let kept = rpc::call(&*world.ports.rpc, &kept).await.unwrap();
    assert_eq!(kept.verdict, "accepted");
    assert!(!serde_json::to_string(&kept).unwrap().contains("first"));
}

#[tokio::test]
async fn secrets_are_exchanged_while_it_runs() {
    let world = world().await;
    world.write("secret", "first\nsecond\n");
    push(&world, "first", "a").await.unwrap();
    push(&world, "second", "b").await.unwrap();
    world.write("secret", "second\n");
    assert_eq!(push(&world, "first", "c").await, Err(Kind::Unauthenticated));
    std::fs::remove_file(world.path("secret")).unwrap();
    // Without its secret nothing can be told apart: the sender has to come again.
    assert_eq!(push(&world, "second", "d").await, Err(Kind::Unavailable));
    world.write("secret", "second\n");
    push(&world, "second", "d").await.unwrap();
    assert_eq!(world.stored().len(), 3);
}

#[tokio::test]
async fn what_proves_nothing_starts_nothing_unless_it_may() {
    let world = world().await;
    let headers = [("x-github-event", "push"), ("x-github-delivery", "o-1")];
    let taken = world.send("github/open", &headers, PUSH).await.unwrap();
    assert!(!taken.event_processed);
    assert!(taken.ignored.unwrap().contains("allowUnverified"));
    assert!(world.stored().is_empty());
    // As in Spinnaker, as long as nobody configures a source.
    let plain = world.send("webhook/x", &[], r#"{"a": 1}"#).await.unwrap();
    assert!(plain.event_processed);
    let empty = world.send("webhook/x", &[], "").await.unwrap();
    assert!(empty.event_processed);
    let broken = world.send("webhook/x", &[], "{").await.unwrap_err();
    assert_eq!(broken.kind, Kind::Invalid);
    assert_eq!(world.stored().len(), 2);
}

#[tokio::test]
async fn nothing_is_promised_while_orca_is_away() {
    let world = world().await;
    world.is_away.store(true, Ordering::Relaxed);
    assert_eq!(push(&world, "first", "d-1").await, Err(Kind::Unavailable));
    world.is_away.store(false, Ordering::Relaxed);
    push(&world, "first", "d-1").await.unwrap();
    assert_eq!(world.stored().len(), 1);
}

#[tokio::test]
async fn a_replay_is_something_new() {
    let world = world().await;
    push(&world, "first", "d-1").await.unwrap();
    let replay = |id: String| ReplayDelivery {
        id,
        user: "ana".to_owned(),
    };
    let accepted = world.last().await;
    let request = replay(accepted.id.clone());
    let taken = rpc::call(&*world.ports.rpc, &request).await.unwrap();
    assert!(taken.event_id.starts_with("github:d-1/replay/"));
    let stored = world.stored();
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[1].commit, stored[0].commit);
    assert_eq!(world.last().await.replay_of, Some(accepted.id));
    push(&world, "wrong", "d-2").await.unwrap_err();
    let request = replay(world.last().await.id);
    let refused = rpc::call(&*world.ports.rpc, &request).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.code.as_str()),
        (Kind::Conflict, "IGOR-0007")
    );
}

#[tokio::test]
async fn a_broken_accounts_file_changes_nothing_and_is_shown() {
    let world = world().await;
    world.write("accounts.yaml", "sources: {");
    let wrong = eventually("the mistake is shown", async || {
        let sources = rpc::call(&*world.ports.rpc, &ListSources {}).await.unwrap();
        let wrong = sources.into_iter().find(|s| s["name"] == "accountsFile");
        wrong.map(|wrong| wrong["error"].to_string())
    })
    .await;
    assert!(wrong.len() > 10, "{wrong}");
    push(&world, "first", "d-1").await.unwrap();
    world.write("accounts.yaml", &accounts(&world).to_string());
    eventually("the mistake is gone", async || {
        let sources = rpc::call(&*world.ports.rpc, &ListSources {}).await.unwrap();
        let is_there = sources.iter().any(|s| s["name"] == "accountsFile");
        (!is_there).then_some(())
    })
    .await;
}

/// A secret is worth nothing when the same may be said without it under another name.
#[tokio::test]
async fn nobody_speaks_under_another_name_of_what_a_source_is_configured_for() {
    let world = world().await;
    let headers = [("x-github-event", "push"), ("x-github-delivery", "z-1")];
    for path in ["github/zzz", "git/github", "gitea/zzz"] {
        let refused = world.send(path, &headers, PUSH).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unauthenticated, "{path}");
        let record = world.last().await;
        assert_eq!((&*record.verdict, record.body), ("refused", None), "{path}");
        assert!(record.because.unwrap().contains("nothing proves"), "{path}");
    }
    let build = r#"{"master": "elsewhere", "project": {"name": "a",
        "lastBuild": {"number": 1, "building": false, "result": "SUCCESS"}}}"#;
    let image =
        r#"{"account": "own", "repository": "pay/ledger", "tag": "v1", "registry": "r.example"}"#;
    for (path, body) in [("build/zzz", build), ("docker/zzz", image)] {
        let refused = world.send(path, &[], body).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unauthenticated, "{path}");
    }
    assert!(world.stored().is_empty());
    // Plain webhooks go by their names, as in Spinnaker.
    assert!(world.send("webhook/zzz", &[], "{}").await.is_ok());
    assert_eq!(world.stored().len(), 1);
}

#[tokio::test]
async fn without_sources_anybody_may_speak_as_in_spinnaker() {
    let world = World::new(&json!({})).await;
    let headers = [("x-github-event", "push"), ("x-github-delivery", "z-1")];
    let taken = world.send("git/github", &headers, PUSH).await.unwrap();
    assert!(taken.event_processed);
    assert_eq!(world.last().await.verified, Verified::No);
}

#[tokio::test]
async fn a_digest_that_is_still_to_be_learnt_excuses_nobody() {
    let world = world().await;
    let body = r#"{"type": "PUSH_ARTIFACT", "event_data": {"resources": [{"tag": "v1",
        "resource_url": "127.0.0.1:1/pay/ledger:v1"}], "repository": {"repo_full_name": "pay/ledger"}}}"#;
    let taken = world.send("harbor/harbor", &[], body).await.unwrap();
    assert!(!taken.event_processed, "{taken:?}");
    assert!(world.stored().is_empty());
}

#[tokio::test]
async fn a_source_whose_secrets_are_not_there_is_none_without_secrets() {
    let world = world().await;
    for text in ["", " \n\n"] {
        world.write("secret", text);
        assert_eq!(push(&world, "", "e").await, Err(Kind::Unavailable));
        let record = world.last().await;
        assert_eq!(record.verdict, "failed");
        assert!(record.because.unwrap().contains("empty"));
    }
    assert!(world.stored().is_empty());
}

#[tokio::test]
async fn what_could_not_be_taken_is_kept_and_can_be_done_again() {
    let world = world().await;
    world.is_away.store(true, Ordering::Relaxed);
    assert_eq!(push(&world, "first", "d-1").await, Err(Kind::Unavailable));
    let failed = world.last().await;
    assert_eq!(
        (&*failed.verdict, failed.verified, failed.repeated),
        ("failed", Verified::Signed, false)
    );
    world.is_away.store(false, Ordering::Relaxed);
    push(&world, "first", "d-1").await.unwrap();
    let taken = world.last().await;
    assert_eq!((&*taken.verdict, taken.repeated), ("accepted", false));
    push(&world, "first", "d-1").await.unwrap();
    assert!(world.last().await.repeated);
    let again = ReplayDelivery {
        id: failed.id,
        user: "ana".to_owned(),
    };
    rpc::call(&*world.ports.rpc, &again).await.unwrap();
    assert_eq!(world.stored().len(), 3);
}

#[tokio::test]
async fn secrets_are_hidden_wherever_they_are() {
    let world = world().await;
    let headers = [
        ("x-team", "first"),
        ("x-note", "is it first?"),
        ("x-plain", "1"),
    ];
    world.send("webhook/team", &headers, "{}").await.unwrap();
    let wrong = [("x-team", "guess"), ("x-plain", "1")];
    world.send("webhook/team", &wrong, "{}").await.unwrap_err();
    for hidden in [2, 1] {
        let newest = ListDeliveries {
            source: None,
            limit: 2,
        };
        let kept = rpc::call(&*world.ports.rpc, &newest).await.unwrap();
        let record = &kept[hidden - 1];
        assert_eq!(record.headers["x-team"], "***");
        assert_eq!(record.headers["x-plain"], "1");
        assert_ne!(
            record.headers.get("x-note").map(String::as_str),
            Some("is it first?")
        );
    }
    assert!(!world.stored()[0].attributes.contains_key("x-note"));
}

#[tokio::test]
async fn what_is_too_large_to_be_handed_on_is_in_the_list() {
    let world = world().await;
    let large = ReceiveDelivery {
        kind: "webhook".to_owned(),
        source: "x".to_owned(),
        body: RawBody::TooLarge(400_000),
        ..ReceiveDelivery::default()
    };
    let refused = rpc::call(&*world.ports.rpc, &large).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.code.as_str()),
        (Kind::TooLarge, "IGOR-0003")
    );
    let record = world.last().await;
    assert_eq!(record.verdict, "refused");
    assert!(record.because.unwrap().contains("400000 bytes"));
}

#[tokio::test]
async fn a_push_of_thousands_of_commits_is_an_event_and_the_list_says_what_it_goes_without() {
    let world = world().await;
    let commit = |n: usize| {
        let files: Vec<String> = (0..9).map(|file| format!("src/{n}/{file}.rs")).collect();
        json!({"id": format!("{n:040}"), "message": "m".repeat(500), "added": files})
    };
    let commits: Vec<_> = (0..2_000).map(commit).collect();
    let push = json!({
        "ref": "refs/heads/main", "after": commits.last().unwrap()["id"], "commits": commits,
        "repository": {"full_name": "acme/shop", "name": "shop", "owner": {"login": "acme"}},
    });
    let push = push.to_string();
    let signature = signed("first", &push);
    let headers = [
        ("x-github-event", "push"),
        ("x-github-delivery", "d-large"),
        ("x-hub-signature-256", &signature),
    ];
    let taken = world.send("github/main", &headers, &push).await;
    assert!(taken.unwrap().event_processed);
    let event = world.stored().remove(0);
    assert_eq!(event.branch.as_deref(), Some("main"));
    let record = world.last().await;
    assert_eq!(record.verdict, "accepted");
    let because = record.because.unwrap();
    assert!(because.contains("of 2000 commits"), "{because}");
    let whole = GetDelivery { id: record.id };
    let whole = rpc::call(&*world.ports.rpc, &whole).await.unwrap();
    assert_eq!(whole.body, None);
    assert_eq!(whole.events.len(), 1);
}

/// Who proves to be Jenkins is believed where no controller can be asked.
#[tokio::test]
async fn a_build_of_a_controller_that_is_not_known_is_as_good_as_its_proof() {
    let world = world().await;
    let body =
        r#"{"url": "https://ci.example/job/a/3/", "result": "SUCCESS", "parameters": {"a": 1}}"#;
    let refused = world.send("jenkins/jenkins", &[], body).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unauthenticated);
    let headers = [("authorization", "Bearer first")];
    let taken = world.send("jenkins/jenkins", &headers, body).await.unwrap();
    assert!(taken.event_processed, "{taken:?}");
    assert_eq!(world.last().await.proof.as_deref(), Some("secret"));
    let event = world.stored().remove(0);
    assert_eq!(
        (event.verified, event.incomplete),
        (Verified::Signed, false)
    );
    assert_eq!(event.parameters["a"], 1);
}

/// A look at the registry names it alike, and a sender that repeats itself starts nothing.
#[tokio::test]
async fn a_tag_that_is_moved_back_is_news() {
    let world = world().await;
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let image = |letter: &str, id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "/p", "type": "harbor.artifact.pushed", "data": {
            "repository": {"repo_full_name": "pay/ledger"},
            "resources": [{"tag": "prod", "digest": digest(letter), "resource_url": "h.example/pay/ledger:prod"}]}})
        .to_string()
    };
    let mut accounts = accounts(&world);
    accounts["sources"][2]["allowUnverified"] = true.into();
    world.write("accounts.yaml", &accounts.to_string());
    eventually("harbor may send", async || {
        let sent = world.send("harbor/harbor", &[], &image("0", "0")).await;
        sent.unwrap().event_processed.then_some(())
    })
    .await;
    let id = |letter: &str| format!("docker:h.example/pay/ledger:prod@{}", digest(letter));
    for (letter, delivery, expected) in [
        ("a", "1", id("a")),
        ("a", "1", id("a")),
        ("b", "2", id("b")),
        ("a", "3", format!("{}/4", id("a"))),
        ("a", "3", format!("{}/4", id("a"))),
        ("b", "2", id("b")),
    ] {
        let body = image(letter, delivery);
        let taken = world.send("harbor/harbor", &[], &body).await.unwrap();
        assert_eq!(taken.event_id, expected, "{delivery}");
    }
}

/// A push of a watched repository is one event, whoever tells of it under whatever path.
#[tokio::test]
async fn pushes_of_a_watched_repository_are_named_after_it() {
    let world = world().await;
    eventually("the repository is watched", async || {
        let sources = rpc::call(&*world.ports.rpc, &ListSources {}).await.unwrap();
        sources.iter().any(|s| s["name"] == "cart").then_some(())
    })
    .await;
    let place = "git:127.0.0.1:1/acme/cart:refs/heads/main:";
    let (one, other) = ("3f0c9d7a5b1e4826c0d9f8e7a6b5c4d3e2f1a0b9", "e".repeat(40));
    let body = |commit: &str| PUSH.replace(one, commit).replace("acme/shop", "acme/cart");
    for (commit, delivery, expected) in [
        (one, "1", format!("{place}{one}")),
        (&other, "2", format!("{place}{other}")),
        (one, "3", format!("{place}{one}/3")),
        (one, "3", format!("{place}{one}/3")),
    ] {
        let body = body(commit);
        let signature = signed("first", &body);
        let headers = [
            ("x-github-event", "push"),
            ("x-github-delivery", delivery),
            ("x-hub-signature-256", &signature),
        ];
        let taken = world.send("git/main", &headers, &body).await.unwrap();
        assert_eq!(taken.event_id, expected, "{delivery}");
    }
}

/// Only who pushes with a token of Google needs Google's keys.
#[tokio::test]
async fn google_keys_stop_nobody_else_and_are_fetched_seldom() {
    let world = world().await;
    push(&world, "first", "d-1").await.unwrap();
    let token = |key: &str| {
        let header = format!(r#"{{"alg":"RS256","kid":"{key}"}}"#);
        let header = URL_SAFE_NO_PAD.encode(header);
        format!("Bearer {header}.e30.AA")
    };
    let send = async |key: &str| {
        let token = token(key);
        let headers = [("authorization", token.as_str())];
        let sent = world.send("pubsub/push", &headers, "{}").await;
        sent.unwrap_err().kind
    };
    assert_eq!(send("k").await, Kind::Unavailable);
    let (url, asked) = key_server().await;
    let mut accounts = accounts(&world);
    accounts["googleKeysFile"] = Value::Null;
    accounts["googleKeysUrl"] = url.into();
    world.write("accounts.yaml", &accounts.to_string());
    eventually("the keys are fetched", async || {
        (send("k").await == Kind::Unauthenticated).then_some(())
    })
    .await;
    assert!(world.last().await.because.unwrap().contains("signature"));
    for key in ["k", "other", "another"] {
        assert_eq!(send(key).await, Kind::Unauthenticated);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "asked for each token");
}

/// Serves one key, and counts who asks.
async fn key_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/certs", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let mut head = [0; 4_096];
            let _: usize = stream.read(&mut head).await.unwrap();
            let modulus = URL_SAFE_NO_PAD.encode([0xc5; 256]);
            let keys = json!({"keys": [{"kty": "RSA", "use": "sig", "kid": "k", "e": "AQAB", "n": modulus}]});
            let keys = keys.to_string();
            let length = keys.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{keys}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}
