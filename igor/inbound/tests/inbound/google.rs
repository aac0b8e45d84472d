//! Identity tokens of Google. The tokens of the file were signed with a key that was thrown away.

use std::{fs, path::Path};

use igor_inbound::{Authentication, Delivery, KeySet, Keys, Received, Refused, Source, receive};
use kork_model::{Timestamp, inbound::Verified};
use serde_json::Value;

use crate::harness::{Case, NOW};

fn tokens() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/google-tokens.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn sent(token: &str, received: Timestamp, keys: Option<&KeySet>) -> Result<Received, Refused> {
    let case = Case::named("Artifact Registry", "gar/g");
    let sent = case.sent().header("authorization", token);
    let source = Source {
        authentication: Authentication::Google {
            audience: "https://gennaker.example/webhooks/gar/g".to_owned(),
            email: "push@p.iam.gserviceaccount.com".to_owned(),
        },
        ..Source::default()
    };
    let delivery = Delivery {
        kind: "gar",
        source: "g",
        headers: &sent.headers,
        query: &sent.query,
        body: &sent.body,
        received,
    };
    let keys = Keys {
        google: keys,
        ..Keys::default()
    };
    receive(&delivery, Some(&source), &keys, "fresh")
}

fn keys() -> KeySet {
    KeySet::parse(tokens()["keySet"].to_string().as_bytes()).unwrap()
}

#[test]
fn right_tokens_are_known_until_they_expire() {
    let (tokens, keys) = (tokens(), keys());
    for name in ["good", "short issuer"] {
        let token = format!("Bearer {}", tokens[name].as_str().unwrap());
        let received = sent(&token, NOW, Some(&keys)).unwrap();
        assert_eq!(received.verified, Verified::Signed);
        let late = NOW.plus_ms(3_600_000 + 60_000);
        assert!(sent(&token, Timestamp(late.0 - 1), Some(&keys)).is_ok());
        assert!(sent(&token, late, Some(&keys)).is_err());
    }
}

#[test]
fn wrong_tokens_are_refused() {
    let (tokens, keys) = (tokens(), keys());
    for (name, token) in tokens["refused"].as_object().unwrap() {
        let token = format!("Bearer {}", token.as_str().unwrap());
        let refused = sent(&token, NOW, Some(&keys));
        assert!(
            matches!(refused, Err(Refused::BadSignature { .. })),
            "{name}: {refused:?}"
        );
    }
    for token in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer ...",
        "Basic x",
        "Bearer a.b.c",
    ] {
        assert!(sent(token, NOW, Some(&keys)).is_err(), "{token}");
    }
    let good = format!("Bearer {}", tokens["good"].as_str().unwrap());
    assert!(sent(&good, NOW, None).is_err());
}

#[test]
fn no_changed_character_of_a_token_goes_unseen() {
    let (tokens, keys) = (tokens(), keys());
    let good = tokens["good"].as_str().unwrap();
    // The last character of the signature has bits that belong to no byte: the decoder refuses them.
    for index in (0..good.len()).step_by(7).chain([good.len() - 1]) {
        let mut changed = good.as_bytes().to_vec();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = format!("Bearer {}", String::from_utf8(changed).unwrap());
        assert!(sent(&changed, NOW, Some(&keys)).is_err(), "{index}");
    }
}

#[test]
fn key_sets_say_whether_they_are_new_enough() {
    let (tokens, keys) = (tokens(), keys());
    let has = |token: &str| {
        let headers = [("authorization".to_owned(), format!("Bearer {token}"))].into();
        let query = std::collections::BTreeMap::new();
        keys.has_key_of(&Delivery {
            kind: "gar",
            source: "g",
            headers: &headers,
            query: &query,
            body: b"",
            received: NOW,
        })
    };
    assert!(has(tokens["good"].as_str().unwrap()));
    assert!(!has(tokens["refused"]["key"].as_str().unwrap()));
    assert!(!has("nonsense"));
    for wrong in [
        "",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"RSA","kid":"a","n":"AAAA","e":"AQAB"}]}"#,
    ] {
        assert!(KeySet::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
}
