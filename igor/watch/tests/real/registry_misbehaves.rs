//! Registries that behave as some do, though the specification says otherwise.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use igor_watch::{
    Cursor, Error, Warning, poll_registry,
    registry::{Client, Registry},
    resolve_digest,
};
use kork::service::config::Secret;
use kork_model::Timestamp;

use crate::{
    registry::{client, poll},
    registry_server::digest_of,
    server::{Reply, Request, Server},
    told,
};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const CART: &str = "shop/cart";
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn at(server: &Server) -> Registry {
    Registry {
        name: "own".to_owned(),
        address: format!("127.0.0.1:{}", server.port),
        ..Registry::default()
    }
}

/// A registry with these tags; `manifests` answers for one.
async fn with_tags(
    tags: &'static str,
    manifests: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Server, Client) {
    let server = Server::start(move |request| {
        if request.path.ends_with("/tags/list") {
            return Reply::new(200, format!(r#"{{"name":"shop/cart","tags":{tags}}}"#));
        }
        manifests(request)
    })
    .await;
    let client = client(&at(&server));
    (server, client)
}

fn good() -> Reply {
    Reply::new(200, "").with("docker-content-digest", DIGEST)
}

#[tokio::test]
async fn a_list_may_be_null_short_or_endless() {
    let (_server, watched) = with_tags("null", |_| good()).await;
    assert_eq!(watched.tags(CART).await.unwrap().tags, [""; 0]);

    // Fewer tags than asked for are not the end; the way to the next page may name another host.
    let server = Server::start(|request| match request.query.as_str() {
        "n=1000" => Reply::new(200, r#"{"tags":["1"]}"#).with(
            "link",
            r#"<http://other.example/v2/shop/cart/tags/list?last=1&n=1000>; rel="next""#,
        ),
        "last=1&n=1000" => Reply::new(200, r#"{"tags":[]}"#).with("link", "</x?last=2>; rel=next"),
        "last=2" => Reply::new(200, r#"{"tags":["3"]}"#),
        other => Reply::new(400, other),
    })
    .await;
    assert_eq!(
        client(&at(&server)).tags(CART).await.unwrap().tags,
        ["1", "3"]
    );
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.path == "/v2/shop/cart/tags/list")
    );

    let server = Server::start(|request| {
        Reply::new(200, r#"{"tags":["1"]}"#)
            .with("link", format!("</x?{}>; rel=next", request.query))
    })
    .await;
    let circle = client(&at(&server)).tags(CART).await.unwrap_err();
    assert!(circle.to_string().contains("names itself"), "{circle}");

    let page = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let next = page.fetch_add(1, Ordering::SeqCst) + 1;
        Reply::new(200, format!(r#"{{"tags":["t{next}"]}}"#))
            .with("link", format!("</x?last={next}>; rel=next"))
    })
    .await;
    let endless = client(&at(&server)).tags(CART).await.unwrap();
    assert_eq!((endless.tags.len(), endless.cut), (200, true));

    let many: Vec<_> = (0..=100_000).map(|n| format!("t{n}")).collect();
    let body = serde_json::json!({ "tags": many }).to_string();
    let page = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let next = page.fetch_add(1, Ordering::SeqCst);
        Reply::new(200, body.clone()).with("link", format!("</x?last={next}>; rel=next"))
    })
    .await;
    let wide = client(&at(&server)).tags(CART).await.unwrap();
    assert_eq!(
        (wide.tags.len(), wide.cut, server.requests().len()),
        (200_000, true, 2)
    );
}

#[tokio::test]
async fn answers_that_are_no_lists_are_told() {
    let huge = format!(r#"{{"tags":["{}"]}}"#, "a".repeat(5 << 20));
    for (status, body, expected) in [
        (200, "<html>log in</html>".to_owned(), "not understood"),
        (200, huge, "more than 4194304 bytes"),
        (
            403,
            r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#.to_owned(),
            "DENIED: not yours",
        ),
        (401, String::new(), "it does not say how to be let in"),
        (
            400,
            r#"{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}"#.to_owned(),
            "PAGINATION_NUMBER_INVALID",
        ),
        (
            502,
            "<html>\n<h1>Bad Gateway".to_owned(),
            "status 502: <html> <h1>Bad Gateway",
        ),
    ] {
        let server = Server::start(move |_| Reply::new(status, body.clone())).await;
        let error = client(&at(&server)).tags(CART).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{status}: {error}");
    }
}

#[tokio::test]
async fn a_digest_that_is_not_told_is_computed() {
    let manifest = r#"{"schemaVersion":2}"#;
    let (server, watched) = with_tags("[]", move |request| match request.path.as_str() {
        "/v2/shop/cart/manifests/no-head" if request.method == "HEAD" => Reply::new(405, ""),
        "/v2/shop/cart/manifests/nonsense" => {
            Reply::new(200, manifest).with("docker-content-digest", "sha256:1")
        }
        "/v2/shop/cart/manifests/ancient" => Reply::new(200, manifest).with(
            "content-type",
            "application/vnd.docker.distribution.manifest.v1+prettyjws; charset=utf-8",
        ),
        "/v2/shop/cart/manifests/huge" => Reply::new(200, vec![b' '; 5 << 20]),
        _ => Reply::new(200, manifest),
    })
    .await;
    for tag in ["silent", "no-head", "nonsense"] {
        assert_eq!(
            resolve_digest(&watched, CART, tag).await.unwrap(),
            digest_of(manifest),
            "{tag}"
        );
    }
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.header("accept").matches("vnd.").count() == 4)
    );
    for (tag, expected) in [
        ("ancient", "push it anew"),
        ("huge", "more than"),
        ("../x", "cannot be a tag"),
    ] {
        let error = resolve_digest(&watched, CART, tag).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{tag}: {error}");
    }
}

#[tokio::test]
async fn what_is_throttled_is_told_later() {
    let free = Arc::new(AtomicUsize::new(2));
    let left = free.clone();
    let (server, watched) = with_tags(r#"["1","2","3","4"]"#, move |_| {
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => good(),
            Err(_) => Reply::new(429, "").with("retry-after", "30"),
        }
    })
    .await;
    let mut cursor = Some(Cursor::default());
    let polled = poll(&watched, &mut cursor).await;
    assert_eq!(
        (polled.events.len(), polled.not_before),
        (2, Some(NOW.plus_ms(30_000)))
    );
    assert!(
        matches!(&polled.warnings[..], [Warning::NotTold { names: 2, .. }]),
        "{:?}",
        polled.warnings
    );
    free.store(100, Ordering::SeqCst);
    let rest = poll(&watched, &mut cursor).await;
    assert_eq!(told(&rest).len(), 2);
    assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);
    drop(server);

    // Once it is throttled, the rest is not asked at all.
    let forty = r#"["01","02","03","04","05","06","07","08","09","10","11","12","13","14","15","16","17","18","19",
        "20","21","22","23","24","25","26","27","28","29","30","31","32","33","34","35","36","37","38","39","40"]"#;
    let (server, watched) = with_tags(forty, |_| Reply::new(429, "")).await;
    let polled = poll(&watched, &mut Some(Cursor::default())).await;
    assert!(
        matches!(&polled.warnings[..], [Warning::NotTold { names: 40, .. }]),
        "{:?}",
        polled.warnings
    );
    assert!(server.requests().len() < 20);

    for status in [429, 503] {
        let server = Server::start(move |_| Reply::new(status, "").with("retry-after", "9")).await;
        let asked = poll_registry(&client(&at(&server)), CART, None, NOW).await;
        let error = asked.unwrap_err();
        assert_eq!(error.retry_after_ms(), Some(9_000));
        assert!(
            matches!(error, Error::Throttled { .. }) && error.is_passing(),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_broken_tag_does_not_hold_up_the_others() {
    let (_server, watched) = with_tags(r#"["broken","fine","gone"]"#, |request| {
        match request.path.rsplit('/').next() {
            Some("broken") => Reply::new(500, ""),
            Some("gone") => Reply::new(404, ""),
            _ => good(),
        }
    })
    .await;
    let mut cursor = Some(Cursor::default());
    let polled = poll(&watched, &mut cursor).await;
    assert_eq!(polled.events.len(), 1);
    assert_eq!(polled.events[0].tag.as_deref(), Some("fine"));
    assert!(
        matches!(&polled.warnings[..], [Warning::NotTold { names: 1, .. }]),
        "{:?}",
        polled.warnings
    );
    assert_eq!(polled.cursor.known.len(), 1);
}

#[tokio::test]
async fn many_tracked_tags_take_turns() {
    let (server, _) = with_tags(r#"["1","2","3","4","5"]"#, |_| good()).await;
    let tracked = Registry {
        track_digests: true,
        digests_per_poll_max: 2,
        ..at(&server)
    };
    let watched = client(&tracked);
    let mut cursor = None;
    for expected in [2, 4, 5] {
        let polled = poll(&watched, &mut cursor).await;
        assert_eq!(
            polled.warnings,
            [Warning::InTurns {
                names: 5,
                per_poll: 2
            }]
        );
        assert_eq!(polled.events.len(), 0);
        assert_eq!(polled.cursor.known.values().flatten().count(), expected);
    }
}

#[tokio::test]
async fn credentials_go_nowhere_else() {
    let elsewhere = Arc::new(Server::start(|_| good()).await);
    let port = elsewhere.port;
    let (server, _) = with_tags("[]", move |request| {
        if request.header("authorization").is_empty() {
            return Reply::new(401, "").with("www-authenticate", "Basic realm=tests");
        }
        let to = format!("http://127.0.0.1:{port}/elsewhere");
        Reply::new(307, "").with("location", to)
    })
    .await;
    let with_password = Registry {
        username: "ana".to_owned(),
        password: Secret::new("s3cret"),
        ..at(&server)
    };
    let digest = resolve_digest(&client(&with_password), CART, "1")
        .await
        .unwrap();
    assert_eq!(digest, DIGEST);
    assert!(
        server
            .requests()
            .iter()
            .any(|r| !r.header("authorization").is_empty())
    );
    let sent = elsewhere.requests();
    assert!(
        !sent.is_empty() && sent.iter().all(|r| r.header("authorization").is_empty()),
        "{sent:?}"
    );

    // A token server that the password must not be sent to.
    let (server, _) = with_tags("[]", |_| {
        let realm = r#"Bearer realm="http://token.example/token",service="x""#;
        Reply::new(401, "").with("www-authenticate", realm)
    })
    .await;
    let refused = resolve_digest(
        &client(&Registry {
            name: "b".to_owned(),
            ..at(&server)
        }),
        CART,
        "1",
    )
    .await;
    assert!(matches!(refused, Err(Error::Unsafe { .. })), "{refused:?}");
}
