//! Who may send, what is kept of it, and what becomes of secrets and accounts that change.

use std::{fmt::Write, sync::atomic::Ordering};

use hmac::{Hmac, KeyInit, Mac};
use kork::rpc;
use kork_model::{
    Kind,
    api::igor::{GetDelivery, ListSources, ReplayDelivery},
    inbound::Verified,
};
use serde_json::{Value, json};
use sha2::Sha256;

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
    json!({"sources": [
        {"name": "main", "sender": "github", "secretFiles": [world.path("secret")]},
        {"name": "open", "sender": "github"},
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
