//! Which tags of a registry are watched, and what is remembered of the others.

use std::sync::{Arc, Mutex};

use igor_watch::{
    Cursor, Warning,
    registry::{Client, Registry},
    resolve_digest,
};
use kork::service::config::Secret;

use crate::{
    registry::{client, poll},
    server::{Reply, Server},
    told,
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const CART: &str = "shop/cart";

/// A registry whose tags can be set; a tag that ends with `gone` is listed, but not there.
struct Shelf {
    server: Server,
    tags: Arc<Mutex<Vec<String>>>,
}

impl Shelf {
    async fn new(tags: impl IntoIterator<Item = String>) -> Self {
        let tags = Arc::new(Mutex::new(tags.into_iter().collect::<Vec<_>>()));
        let listed = tags.clone();
        let server = Server::start(move |request| {
            if request.path.ends_with("/tags/list") {
                let tags = listed.lock().expect("no test panicked in it").clone();
                return Reply::new(200, serde_json::json!({ "tags": tags }).to_string());
            }
            if request.path.ends_with("gone") {
                return Reply::new(404, "");
            }
            Reply::new(200, "").with("docker-content-digest", DIGEST)
        });
        Self {
            server: server.await,
            tags,
        }
    }

    fn set(&self, tags: impl IntoIterator<Item = String>) {
        *self.tags.lock().expect("no test panicked in it") = tags.into_iter().collect();
    }

    fn config(&self) -> Registry {
        Registry {
            name: "own".to_owned(),
            address: format!("127.0.0.1:{}", self.server.port),
            ..Registry::default()
        }
    }

    fn with_pattern(&self, pattern: &str) -> Client {
        client(&Registry {
            tag_pattern: Some(pattern.to_owned()),
            ..self.config()
        })
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_wider_pattern_does_not_make_news_of_what_was_there() {
    let shelf = Shelf::new(words("v1 main")).await;
    let mut cursor = None;
    poll(&shelf.with_pattern("v.*"), &mut cursor).await;
    shelf.set(words("v1 v2 main dev"));
    let polled = poll(&shelf.with_pattern(".*"), &mut cursor).await;
    assert_eq!(told(&polled), [format!("v2@{DIGEST}")]);
    shelf.set(words("v1 v2 main dev test"));
    let polled = poll(&shelf.with_pattern(".*"), &mut cursor).await;
    assert_eq!(told(&polled), [format!("test@{DIGEST}")]);
}

#[tokio::test]
async fn signatures_are_no_images() {
    let shelf = Shelf::new([]).await;
    let mut cursor = Some(Cursor::default());
    shelf.set([format!("{}.sig", DIGEST.replace(':', "-")), "v1".to_owned()]);
    let polled = poll(&client(&shelf.config()), &mut cursor).await;
    assert_eq!(told(&polled), [format!("v1@{DIGEST}")]);
}

#[tokio::test]
async fn a_tag_that_is_listed_but_not_there_is_forgotten() {
    let shelf = Shelf::new(words("v1 gone")).await;
    let tracked = client(&Registry {
        track_digests: true,
        ..shelf.config()
    });
    let mut cursor = None;
    let polled = poll(&tracked, &mut cursor).await;
    assert_eq!(told(&polled), [""; 0]);
    assert_eq!(polled.cursor.known.into_keys().collect::<Vec<_>>(), ["v1"]);
    assert_eq!(told(&poll(&tracked, &mut cursor).await), [""; 0]);
}

#[tokio::test]
async fn what_comes_into_sight_when_others_go_is_not_new() {
    let versions = |range: std::ops::RangeInclusive<u32>| range.map(|n| format!("1.{n}"));
    let shelf = Shelf::new(versions(0..=10_000)).await;
    let watched = client(&shelf.config());
    let mut cursor = None;
    let polled = poll(&watched, &mut cursor).await;
    assert_eq!(
        polled.warnings,
        [Warning::TooManyNames { looked_at: 10_000 }]
    );
    assert_eq!(polled.cursor.floor.as_deref(), Some("1.1"));
    // Two of the new ones go, and an old one is among the newest 10 000 then.
    shelf.set(versions(0..=9_998).chain(["1.20000".to_owned()]));
    assert_eq!(
        told(&poll(&watched, &mut cursor).await),
        [format!("1.20000@{DIGEST}")]
    );
}

#[tokio::test]
async fn what_is_beyond_the_end_of_a_cut_list_is_not_new() {
    let page = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |request| {
        if request.method == "HEAD" {
            return Reply::new(200, "").with("docker-content-digest", DIGEST);
        }
        // The pages of the second look begin later, as if older tags were deleted.
        let next = page.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let tag = if next <= 200 { next } else { next - 199 };
        Reply::new(200, format!(r#"{{"tags":["t{tag:04}"]}}"#))
            .with("link", format!("</x?last={next}>; rel=next"))
    })
    .await;
    let watched = client(&Registry {
        name: "own".to_owned(),
        address: format!("127.0.0.1:{}", server.port),
        ..Registry::default()
    });
    let mut cursor = None;
    let first = poll(&watched, &mut cursor).await;
    assert_eq!(first.cursor.ceiling.as_deref(), Some("t0200"));
    let second = poll(&watched, &mut cursor).await;
    assert!(second.cursor.known.contains_key("t0201"));
    assert_eq!(second.events, []);
}

#[tokio::test]
async fn what_a_registry_asks_for_is_remembered() {
    let server = Server::start(|request| {
        if request.header("authorization").is_empty() {
            return Reply::new(401, "").with("www-authenticate", "Basic realm=tests");
        }
        Reply::new(200, "").with("docker-content-digest", DIGEST)
    })
    .await;
    let watched = client(&Registry {
        name: "own".to_owned(),
        address: format!("127.0.0.1:{}", server.port),
        username: "AWS".to_owned(),
        password: Secret::new("s3cret"),
        ..Registry::default()
    });
    for _ in 0..3 {
        assert_eq!(
            resolve_digest(&watched, CART, "1")
                .await
                .expect("it is told"),
            DIGEST
        );
    }
    assert_eq!(server.requests().len(), 4);
}
