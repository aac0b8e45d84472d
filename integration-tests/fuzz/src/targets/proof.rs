//! Signatures as senders make them, and the parsers of what proves a sender.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use igor_inbound::{Delivery, KeySet, build::Location};
use serde_json::json;

use super::{NOW, inbound, seeds};
use crate::{
    Input, Outcome, Shape, Target,
    outcome::{bounded, must},
};

/// What the source and the suite share.
pub(super) const SECRET: &str = "dzK8wq-the-secret-of-the-source";
/// Stands for [`SECRET`] in an input, so that no change can make it by chance.
pub(super) const PLACE: &str = "{secret}";

pub const TARGETS: &[Target] = &[
    Target {
        name: "inbound-signed",
        seeds: signed,
        words: inbound::WORDS,
        heads: inbound::HEADS,
        run: inbound::run,
    },
    Target {
        name: "google-keys",
        seeds: key_sets,
        words: "keys\nkty\nRSA\nkid\nn\ne\nalg\nRS256\nAQAB\nkey-1",
        heads: "authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImtleS0xIn0.e30.AAAA",
        run: google_keys,
    },
    Target::of_body(
        "build-location",
        || seeds::literals("igor/inbound/src/build.rs"),
        "/job/\njob\n/view/\n?\n#\n%2F\nhttp://h/\n/1/",
        build_location,
    ),
];

/// The same secret as a key of Standard Webhooks.
pub(super) fn signing_key() -> String {
    format!("whsec_{}", STANDARD.encode(SECRET))
}

/// The headers with which a sender signs a body.
pub(super) fn signature(how: &str, body: &[u8]) -> Vec<(String, String)> {
    let sha1 = || hex(&code::<Hmac<sha1::Sha1>>(body));
    let sha256 = || hex(&code::<Hmac<sha2::Sha256>>(body));
    let sha512 = || hex(&code::<Hmac<sha2::Sha512>>(body));
    let one = |name: &str, value: String| vec![(name.to_owned(), value)];
    match how {
        "github" => one("x-hub-signature-256", format!("sha256={}", sha256())),
        "github-sha1" => one("x-hub-signature", format!("sha1={}", sha1())),
        "bitbucket" => one("x-hub-signature", format!("sha256={}", sha256())),
        "gitea" => one("x-gitea-signature", sha256()),
        "forgejo" => one("x-forgejo-signature", sha256()),
        "jfrog" => one("x-jfrog-event-auth", sha256()),
        "nexus" => one("x-nexus-webhook-signature", sha1()),
        "iq" => {
            let mut headers = one("x-nexus-webhook-signature", sha256());
            headers.push((
                "x-nexus-webhook-signature-algorithm".to_owned(),
                "HmacSHA256".to_owned(),
            ));
            headers
        }
        "flux" => one("x-signature", format!("sha512={}", sha512())),
        _ => {
            let seconds = (NOW.0 / 1_000).to_string();
            let content = [format!("msg-1.{seconds}.").as_bytes(), body].concat();
            let code = STANDARD.encode(code::<Hmac<sha2::Sha256>>(&content));
            let mut headers = one("webhook-signature", format!("v1,{code}"));
            headers.push(("webhook-id".to_owned(), "msg-1".to_owned()));
            headers.push(("webhook-timestamp".to_owned(), seconds));
            headers
        }
    }
}

fn code<M: Mac + KeyInit>(bytes: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(SECRET.as_bytes()) else {
        return Vec::new();
    };
    mac.update(bytes);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// A delivery of each way to sign.
fn signed() -> Vec<Input> {
    let ways = [
        ("github", "github"),
        ("github", "github-sha1"),
        ("bitbucket", "bitbucket"),
        ("bitbucketServer", "bitbucket"),
        ("gitea", "gitea"),
        ("forgejo", "forgejo"),
        ("jfrog", "jfrog"),
        ("nexus", "nexus"),
        ("sonatypeIq", "iq"),
        ("flux", "flux"),
        ("gitlab", "standard"),
        ("standardWebhooks", "standard"),
        ("generic", "github"),
        ("cloudevents", "standard"),
    ];
    let first = |(sender, how): (&str, &str)| {
        let input = inbound::deliveries(sender).into_iter().next();
        input.map(|input| input.with(":secret", "").with(":sign", how))
    };
    ways.into_iter().filter_map(first).collect()
}

fn key_sets() -> Vec<Input> {
    let tokens = seeds::json("igor/inbound/tests/google-tokens.json");
    let keys = Input::body(tokens["keySet"].to_string());
    let good = tokens["good"].as_str().unwrap_or_default();
    vec![
        keys.clone().with("authorization", format!("Bearer {good}")),
        keys.with("authorization", "Bearer a.b.c"),
        Input::body(json!({"keys": []}).to_string()),
    ]
}

/// Google's keys, and a token that one of them may have signed.
#[expect(clippy::unnecessary_wraps, reason = "as every target")]
fn google_keys(input: &Input) -> Outcome {
    let headers = input.head.iter().cloned().collect();
    let query = std::collections::BTreeMap::new();
    let delivery = Delivery {
        kind: "gar",
        source: "g",
        headers: &headers,
        query: &query,
        body: b"{}",
        received: NOW,
    };
    Ok(match KeySet::parse(&input.body) {
        Ok(keys) => Shape::new()
            .word("keys")
            .set("has its key", keys.has_key_of(&delivery)),
        Err(error) => Shape::new().said(error),
    })
}

/// The job and number in the URL of a build.
fn build_location(input: &Input) -> Outcome {
    let text = input.text();
    let Some(found) = Location::parse(&text) else {
        return Ok(Shape::new().word("none"));
    };
    must(!found.job.is_empty(), || "a job without a name".to_owned())?;
    bounded("a job", found.job.len(), text.len())?;
    Ok(Shape::new()
        .count("levels", found.job.split('/').count())
        .set("number", found.number.is_some()))
}
