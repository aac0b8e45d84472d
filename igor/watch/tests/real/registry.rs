//! Repositories of real registries are watched.

use igor_watch::{
    Cursor, Error, Polled, Warning, poll_registry,
    registry::{Client, Registry},
    resolve_digest,
};
use kork_model::{
    Timestamp,
    inbound::{EventKind, Verified},
};

use crate::{
    registry_server::{Doors, RegistryServer, some_programs},
    told,
};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const CART: &str = "shop/cart";

pub(crate) fn config(server: &RegistryServer) -> Registry {
    Registry {
        name: "own".to_owned(),
        address: server.address(),
        repositories: vec![CART.to_owned()],
        ..Registry::default()
    }
}

pub(crate) fn client(config: &Registry) -> Client {
    let http = igor_watch::client().expect("a client");
    Client::new(http, config).expect("a fine configuration")
}

/// Polls, and keeps the cursor as whoever stores it would.
pub(crate) async fn poll(client: &Client, cursor: &mut Option<Cursor>) -> Polled {
    let polled = poll_registry(client, CART, cursor.as_ref(), NOW)
        .await
        .expect("it can be asked");
    let stored = serde_json::to_vec(&polled.cursor).expect("it can be stored");
    *cursor = serde_json::from_slice(&stored).expect("it can be read");
    polled
}

#[tokio::test]
async fn pushes_are_told_once() {
    for program in some_programs() {
        let server = RegistryServer::start(&program, &Doors::Open).await;
        let watched = client(&config(&server));
        let missing = poll_registry(&watched, CART, None, NOW).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
        assert!(missing.to_string().contains("NAME_UNKNOWN"), "{missing}");

        let old = server.push(CART, "1.0", "one").await;
        let mut cursor = None;
        assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);
        let new = server.push(CART, "1.1", "two").await;
        let polled = poll(&watched, &mut cursor).await;
        assert_eq!(told(&polled), [format!("1.1@{new}")]);
        let event = &polled.events[0];
        let image = format!("127.0.0.1:{}/shop/cart", server.port);
        assert_eq!(event.id, format!("docker:{image}:1.1@{new}"));
        assert_eq!(
            (event.kind, event.verified),
            (EventKind::Image, Verified::Fetched)
        );
        assert_eq!((event.source.as_str(), event.received), ("own", NOW));
        assert_eq!(event.trigger["account"], "own");
        assert_eq!(event.artifacts[0]["reference"], format!("{image}@{new}"));
        assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);

        // Without tracking, a moved tag is none of our business.
        server.push(CART, "1.0", "one, again").await;
        assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);

        // A tag that is gone is forgotten, and news when it comes again.
        server.delete(CART, &new).await;
        assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);
        server.push(CART, "1.1", "two").await;
        assert_eq!(
            told(&poll(&watched, &mut cursor).await),
            [format!("1.1@{new}")]
        );

        assert_eq!(resolve_digest(&watched, CART, "1.1").await.unwrap(), new);
        assert_eq!(resolve_digest(&watched, &image, "1.1").await.unwrap(), new);
        assert_ne!(resolve_digest(&watched, &image, "1.0").await.unwrap(), old);
        let missing = resolve_digest(&watched, &image, "9").await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
        assert!(watched.holds(&image) && !watched.holds("docker.io/shop/cart"));
    }
}

#[tokio::test]
async fn a_moved_tag_is_told_where_digests_are_tracked() {
    for program in some_programs() {
        let server = RegistryServer::start(&program, &Doors::Open).await;
        let tracked = Registry {
            track_digests: true,
            tag_pattern: Some("latest|v.*".to_owned()),
            ..config(&server)
        };
        let watched = client(&tracked);
        server.push(CART, "latest", "one").await;
        server.push(CART, "nightly", "one").await;
        let mut cursor = None;
        poll(&watched, &mut cursor).await;
        let moved = server.push(CART, "latest", "two").await;
        server.push(CART, "nightly", "two").await;
        assert_eq!(
            told(&poll(&watched, &mut cursor).await),
            [format!("latest@{moved}")]
        );
        assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);
        // Of an image for several platforms it is the digest of their list.
        let index = server.push_index(CART, "latest").await;
        assert_eq!(
            told(&poll(&watched, &mut cursor).await),
            [format!("latest@{index}")]
        );
        let index = server.push_index(CART, "v2").await;
        assert_eq!(
            told(&poll(&watched, &mut cursor).await),
            [format!("v2@{index}")]
        );
    }
}

#[tokio::test]
async fn a_long_list_is_read_to_its_end() {
    for program in some_programs() {
        let server = RegistryServer::start(&program, &Doors::Open).await;
        let tags: Vec<_> = (0..57).map(|n| format!("v1.{n}")).collect();
        let digest = server.push_all(CART, &tags).await;
        let paged = Registry {
            page_size: 10,
            newest_max: 5,
            ..config(&server)
        };
        let watched = client(&paged);
        let mut listed = watched.tags(CART).await.unwrap();
        listed.tags.sort_unstable();
        let mut expected = tags.clone();
        expected.sort_unstable();
        assert_eq!((listed.tags, listed.cut), (expected, false));

        let mut cursor = Some(Cursor::default());
        let mut polled = poll(&watched, &mut cursor).await;
        assert_eq!(
            polled.warnings,
            [Warning::TooManyNew { new: 57, newest: 5 }]
        );
        polled.warnings.clear();
        let expected: Vec<_> = (52..57).map(|n| format!("v1.{n}@{digest}")).collect();
        assert_eq!(told(&polled), expected);
        assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);
        server.push(CART, "v1.57", "more").await;
        assert_eq!(poll(&watched, &mut cursor).await.events.len(), 1);
    }
}

#[tokio::test]
async fn a_password_is_asked_for_and_may_change() {
    for program in some_programs() {
        let mut server = RegistryServer::start(&program, &Doors::Users).await;
        server.authorization = Some("Basic YW5hOnMzY3JldA==".to_owned());
        let digest = server.push(CART, "1.0", "one").await;
        let open = config(&server);
        let refused = poll_registry(&client(&open), CART, None, NOW)
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::Denied { .. }), "{refused}");
        assert!(refused.to_string().contains("none is set"), "{refused}");

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "old\n").unwrap();
        let with_file = Registry {
            username: "ana".to_owned(),
            password_file: Some(file.clone()),
            ..open
        };
        let watched = client(&with_file);
        let refused = poll_registry(&watched, CART, None, NOW).await.unwrap_err();
        assert!(matches!(refused, Error::Denied { .. }), "{refused}");
        std::fs::write(&file, "s3cret\n").unwrap();
        let polled = poll(&watched, &mut Some(Cursor::default())).await;
        assert_eq!(told(&polled), [format!("1.0@{digest}")]);
    }
}
