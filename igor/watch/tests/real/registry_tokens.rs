//! Registries that want tokens of a token server.

use std::sync::atomic::Ordering;

use igor_watch::{Cursor, Error, poll_registry, registry::Registry};
use kork::service::config::Secret;
use kork_model::Timestamp;

use crate::{
    registry::{client, config, poll},
    registry_server::{Doors, RegistryServer, some_programs},
    token_server::TokenServer,
    told,
};

const CART: &str = "shop/cart";
const NOW: Timestamp = Timestamp(1_790_000_000_000);

async fn start(program: &std::path::PathBuf, tokens: &TokenServer) -> RegistryServer {
    let doors = Doors::Tokens {
        realm: tokens.realm(),
        certificate: tokens.certificate(),
    };
    let mut server = RegistryServer::start(program, &doors).await;
    server.authorization = Some(tokens.authorization(CART));
    server
}

#[tokio::test]
async fn a_token_serves_many_requests() {
    for program in some_programs() {
        let Some(tokens) = TokenServer::start(Some("ana:s3cret")).await else {
            return;
        };
        let server = start(&program, &tokens).await;
        let tags: Vec<_> = (10..40).map(|n| format!("1.{n}")).collect();
        let digest = server.push_all(CART, &tags).await;
        let tracked = Registry {
            username: "ana".to_owned(),
            password: Secret::new("s3cret"),
            track_digests: true,
            ..config(&server)
        };
        let watched = client(&tracked);
        let mut cursor = Some(Cursor::default());
        let expected: Vec<_> = tags.iter().map(|tag| format!("{tag}@{digest}")).collect();
        assert_eq!(told(&poll(&watched, &mut cursor).await), expected);
        for _ in 0..2 {
            assert_eq!(told(&poll(&watched, &mut cursor).await), [""; 0]);
        }
        let asked = tokens.server.requests();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(
            asked[0]
                .query
                .contains("scope=repository%3Ashop%2Fcart%3Apull"),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn a_token_that_ended_is_fetched_anew_once() {
    for program in some_programs() {
        let Some(tokens) = TokenServer::start(None).await else {
            return;
        };
        let server = start(&program, &tokens).await;
        server.push(CART, "1.0", "one").await;
        let watched = client(&config(&server));
        tokens.stale.store(1, Ordering::SeqCst);
        let polled = poll(&watched, &mut None).await;
        assert_eq!(polled.cursor.known.len(), 1);
        assert_eq!(tokens.server.requests().len(), 2);

        // Whoever gives only such tokens is not asked for ever.
        tokens.stale.store(usize::MAX, Ordering::SeqCst);
        let other = client(&config(&server));
        let refused = poll_registry(&other, CART, None, NOW).await.unwrap_err();
        assert!(matches!(refused, Error::Denied { .. }), "{refused}");
        assert_eq!(tokens.server.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_token_server_may_refuse() {
    for program in some_programs() {
        let Some(tokens) = TokenServer::start(Some("ana:s3cret")).await else {
            return;
        };
        let server = start(&program, &tokens).await;
        let wrong = Registry {
            username: "ana".to_owned(),
            password: Secret::new("wr0ng"),
            ..config(&server)
        };
        let refused = poll_registry(&client(&wrong), CART, None, NOW)
            .await
            .unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, Error::Denied { .. }), "{refused}");
        assert!(
            text.contains("incorrect username or password") && text.contains("/token"),
            "{text}"
        );
        assert!(!text.contains("wr0ng"), "{text}");
    }
}
