//! Who may send: every way to prove it, and every way to fail.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::Hmac;
use igor_inbound::{
    Authentication, Refused, Sender,
    source::{Algorithm, Encoding},
};
use kork_model::inbound::Verified;

use crate::harness::{Case, NOW, SECRET, Sent, hex, hmac, sha1, sha256, standard};

const SECONDS: u64 = NOW.0 / 1000;

/// Every sender that signs its bodies, signed with [`SECRET`].
pub(crate) fn signed() -> Vec<Sent> {
    let case = |name: &str, path: &str| Case::named(name, path).sent();
    let hub = |sent: Sent| {
        let code = sha256(SECRET, &sent.body);
        sent.header("x-hub-signature-256", format!("sha256={code}"))
    };
    let with = |sent: Sent, name: &str, value: String| sent.header(name, value).secret(SECRET);
    let code = |sent: &Sent| sha256(SECRET, &sent.body);
    let mut all = vec![
        hub(case("push", "git/github")).secret(SECRET),
        hub(case("webhook", "webhook/deploys")).secret(SECRET),
        hub(case("push to the path of its own", "gitea/acme")).secret(SECRET),
    ];
    let gitea = case("push to the path of GitHub", "git/github");
    let value = code(&gitea);
    all.push(with(gitea, "x-gitea-signature", value));
    let forgejo = case("push of Forgejo", "github/acme");
    let value = code(&forgejo);
    all.push(with(forgejo, "x-forgejo-signature", value));
    let gogs = case("push of Gogs", "gogs/acme");
    let value = code(&gogs);
    all.push(with(gogs, "x-gogs-signature", value));
    for (name, path) in [
        ("push of one branch", "bitbucket/acme"),
        ("changed references", "git/bitbucket"),
    ] {
        let sent = case(name, path);
        let value = format!("sha256={}", code(&sent));
        all.push(with(sent, "x-hub-signature", value));
    }
    let jfrog = case("Artifactory image", "jfrog/j");
    let value = code(&jfrog);
    all.push(with(jfrog, "x-jfrog-event-auth", value));
    let nexus = case("Nexus component", "nexus/n");
    let value = sha1(SECRET, &nexus.body);
    all.push(with(nexus, "x-nexus-webhook-signature", value));
    let iq = case("Sonatype IQ", "sonatypeIq/i")
        .header("x-nexus-webhook-signature-algorithm", "HmacSHA256");
    let value = code(&iq);
    all.push(with(iq, "x-nexus-webhook-signature", value));
    let flux = case("Flux", "flux/f");
    let value = hex(&hmac::<Hmac<sha2::Sha512>>(SECRET.as_bytes(), &flux.body));
    all.push(with(flux, "x-signature", format!("sha512={value}")));
    for (name, path) in [
        ("push", "git/gitlab"),
        ("Standard Webhooks", "standardWebhooks/s"),
        ("anybody", "generic/x"),
    ] {
        let sent = case(name, path)
            .header("webhook-id", "msg-1")
            .header("webhook-timestamp", SECONDS.to_string());
        let value = standard(SECRET.as_bytes(), "msg-1", SECONDS, &sent.body);
        let secret = format!("whsec_{}", STANDARD.encode(SECRET));
        all.push(sent.header("webhook-signature", value).secret(&secret));
    }
    all
}

fn refused(sent: &Sent) -> String {
    match sent.receive() {
        Err(Refused::BadSignature { log }) => {
            assert!(!log.contains(SECRET), "{log}");
            log
        }
        other => panic!("{}: {other:?}", sent.path),
    }
}

#[test]
fn right_signatures_are_known() {
    for sent in signed() {
        let received = sent
            .receive()
            .unwrap_or_else(|refused| panic!("{}: {refused:?}", sent.path));
        assert_eq!(received.verified, Verified::Signed, "{}", sent.path);
        assert!(
            received
                .events
                .iter()
                .all(|event| event.verified == Verified::Signed)
        );
        assert!(!received.events.is_empty(), "{}", sent.path);
    }
}

#[test]
fn one_byte_changed_or_one_space_added_is_refused() {
    for sent in signed() {
        for index in [0, sent.body.len() / 2, sent.body.len() - 1] {
            let mut changed = sent.clone();
            changed.body[index] ^= 1;
            refused(&changed);
        }
        let mut longer = sent.clone();
        longer.body.push(b' ');
        refused(&longer);
        let mut empty = sent.clone();
        empty.body.clear();
        refused(&empty);
    }
}

#[test]
fn without_its_signature_or_with_that_of_another_secret_a_delivery_is_refused() {
    for sent in signed() {
        let mut unsigned = sent.clone();
        unsigned
            .headers
            .retain(|name, _| !name.contains("signature") && !name.contains("auth"));
        refused(&unsigned);
        let mut other = sent.clone();
        other.secrets.clear();
        refused(&other.secret("whsec_b3RoZXI="));
    }
}

#[test]
fn the_answer_never_says_what_was_wrong_and_the_log_does() {
    let sent = signed().remove(0);
    let mut logs = std::collections::BTreeSet::new();
    let mut answers = std::collections::BTreeSet::new();
    for value in ["", "sha256=", "sha256=zz", "sha1=00", "sha256=00", SECRET] {
        let sent = sent.clone().header("x-hub-signature-256", value);
        answers.insert(sent.receive().unwrap_err().to_string());
        logs.insert(refused(&sent));
    }
    assert_eq!(answers.len(), 1);
    assert!(logs.len() >= 3, "{logs:?}");
}

#[test]
fn of_two_secrets_either_is_good_while_one_replaces_the_other() {
    for sent in signed() {
        for secrets in [["whsec_bmV3", SECRET], [SECRET, "new"]] {
            let mut rotated = sent.clone();
            let own = rotated.secrets.remove(0);
            for secret in secrets {
                if secret == SECRET {
                    rotated.secrets.push(own.clone());
                } else {
                    rotated = rotated.secret(secret);
                }
            }
            assert!(rotated.receive().is_ok(), "{}", sent.path);
        }
    }
}

#[test]
fn sha1_alone_is_refused_unless_the_source_allows_it() {
    let sent = Case::named("push", "git/github").sent().secret(SECRET);
    let code = sha1(SECRET, &sent.body);
    let mut sent = sent.header("x-hub-signature", format!("sha1={code}"));
    assert!(refused(&sent).contains("SHA-1"));
    sent.source.allow_sha1 = true;
    assert_eq!(sent.receive().unwrap().verified, Verified::Signed);
    // A wrong SHA-256 is not made good by a right SHA-1.
    refused(&sent.header("x-hub-signature-256", "sha256=00"));
}

#[test]
fn a_checksum_that_the_sender_does_not_use_is_refused() {
    let flux = Case::named("Flux", "flux/f").sent().secret(SECRET);
    let code = sha1(SECRET, &flux.body);
    refused(&flux.header("x-signature", format!("sha1={code}")));
    let cloud = Case::named("push of one branch", "bitbucket/acme")
        .sent()
        .secret(SECRET);
    let code = sha1(SECRET, &cloud.body);
    refused(&cloud.header("x-hub-signature", format!("sha1={code}")));
    let iq = Case::named("Sonatype IQ", "sonatypeIq/i")
        .sent()
        .secret(SECRET);
    let code = sha256(SECRET, &iq.body);
    refused(&iq.clone().header("x-nexus-webhook-signature", code.clone()));
    refused(
        &iq.header("x-nexus-webhook-signature", code)
            .header("x-nexus-webhook-signature-algorithm", "HmacMD5"),
    );
}

#[test]
fn gitea_signs_the_text_in_a_form_and_not_the_form() {
    let mut sent = Case::named("push to the path of its own", "gitea/acme")
        .sent()
        .secret(SECRET);
    let json = String::from_utf8(sent.body.clone()).unwrap();
    sent.body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &json)
        .finish()
        .into_bytes();
    let sent = sent.header("content-type", "application/x-www-form-urlencoded");
    let right = sent
        .clone()
        .header("x-gitea-signature", sha256(SECRET, json.as_bytes()));
    assert_eq!(right.receive().unwrap().verified, Verified::Signed);
    // A second payload is not read, and one before the signed one is not signed.
    let mut twice = right.clone();
    twice.body.extend_from_slice(b"&payload=%7B%7D");
    assert_eq!(
        twice.receive().unwrap().events,
        right.receive().unwrap().events
    );
    let mut before = right;
    before.body.splice(0..0, *b"payload=%7B%7D&");
    refused(&before);
    refused(
        &sent
            .clone()
            .header("x-gitea-signature", sha256(SECRET, &sent.body)),
    );
}

#[test]
fn github_signs_the_form() {
    let mut sent = Case::named("push", "git/github").sent().secret(SECRET);
    let json = String::from_utf8(sent.body.clone()).unwrap();
    sent.body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &json)
        .finish()
        .into_bytes();
    let code = sha256(SECRET, &sent.body);
    let sent = sent
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-hub-signature-256", format!("sha256={code}"));
    assert_eq!(sent.receive().unwrap().verified, Verified::Signed);
}

#[test]
fn standard_webhooks_are_tolerant_for_five_minutes_either_way() {
    let sent = |offset: i64| {
        let seconds = SECONDS.checked_add_signed(offset).unwrap();
        let sent = Case::named("Standard Webhooks", "standardWebhooks/s").sent();
        let value = standard(SECRET.as_bytes(), "msg-1", seconds, &sent.body);
        sent.header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", format!("v2,x v1,eA== {value}"))
            .secret(SECRET)
    };
    for offset in [-300, 0, 300] {
        assert!(sent(offset).receive().is_ok(), "{offset}");
    }
    for offset in [-301, 301] {
        assert!(refused(&sent(offset)).contains("5 minutes"));
    }
    for timestamp in [
        "-1",
        "",
        "1e9",
        "99999999999999999999",
        "18446744073709551615",
    ] {
        refused(&sent(0).header("webhook-timestamp", timestamp));
    }
    // Another id or another time is another text.
    refused(&sent(0).header("webhook-id", "msg-2"));
    refused(&sent(0).header("webhook-timestamp", (SECONDS + 1).to_string()));
}

#[test]
fn gitlab_is_known_by_its_token_too() {
    let sent = Case::named("push", "git/gitlab").sent().secret(SECRET);
    let right = sent.clone().header("x-gitlab-token", SECRET);
    let received = right.receive().unwrap();
    assert_eq!(received.verified, Verified::Signed);
    assert!(!received.events[0].attributes.contains_key("x-gitlab-token"));
    refused(&sent.clone().header("x-gitlab-token", "other"));
    refused(&sent.header("webhook-signature", "v1,x"));
}

#[test]
fn a_signing_token_of_gitlab_decides_alone() {
    let secret = format!("whsec_{}", STANDARD.encode(SECRET));
    let sent = Case::named("push", "git/gitlab")
        .sent()
        .secret(&secret)
        .secret("token")
        .header("x-gitlab-token", "token")
        .header("webhook-id", "msg-1")
        .header("webhook-timestamp", SECONDS.to_string());
    let right = standard(SECRET.as_bytes(), "msg-1", SECONDS, &sent.body);
    let signed = |value: &str| sent.clone().header("webhook-signature", value);
    assert!(signed(&right).receive().is_ok());
    refused(&signed("v1,eA=="));
    let mut other = signed(&right);
    other.body.push(b' ');
    refused(&other);
}

/// The id is part of what was signed; a header that is not could make one delivery two, or two one.
#[test]
fn a_signed_id_outranks_a_key_that_is_not_signed() {
    let sent = Case::named("Standard Webhooks", "standardWebhooks/s")
        .sent()
        .header("webhook-id", "msg-1")
        .header("webhook-timestamp", SECONDS.to_string())
        .header("idempotency-key", "somebody's");
    let id = |sent: &Sent| sent.receive().unwrap().delivery_id.unwrap();
    assert_eq!(id(&sent), "somebody's");
    let value = standard(SECRET.as_bytes(), "msg-1", SECONDS, &sent.body);
    let signed = sent.header("webhook-signature", value).secret(SECRET);
    assert_eq!(id(&signed), "msg-1");
    let own = Case::named("push", "git/github").sent();
    let code = sha256(SECRET, &own.body);
    let own = own
        .secret(SECRET)
        .header("x-hub-signature-256", format!("sha256={code}"))
        .header("webhook-id", "w")
        .header("idempotency-key", "k");
    assert_eq!(id(&own), "k");
}

#[test]
fn a_secret_proves_the_sender_that_it_was_given_to() {
    let token = |path: &str, name: &str, sender| {
        let mut sent = Case::named(name, path).sent().secret(SECRET);
        sent.query.insert("token".to_owned(), SECRET.to_owned());
        sent.source.sender = sender;
        sent
    };
    let build = |sender| token("build/jenkins", "build", sender);
    let docker = |sender| token("docker/hub", "docker", sender);
    assert!(build(Some(Sender::Build)).receive().is_ok());
    assert!(docker(Some(Sender::Docker)).receive().is_ok());
    for sender in [None, Some(Sender::Generic), Some(Sender::Harbor)] {
        assert!(refused(&build(sender)).contains("does not send as build"));
        assert!(refused(&docker(sender)).contains("does not send as docker"));
    }
    let harbor = |sender| token("harbor/h", "Harbor", sender);
    assert!(harbor(None).receive().is_ok());
    assert!(harbor(Some(Sender::Harbor)).receive().is_ok());
    assert!(refused(&harbor(Some(Sender::Quay))).contains("does not send as harbor"));
    let git = token("git/github", "push", Some(Sender::Harbor));
    assert!(refused(&git).contains("does not send as git"));
}

#[test]
fn a_secret_is_passed_along_as_each_sender_can() {
    let pass = "user:pass word";
    let harbor = Case::named("Harbor", "harbor/h").sent().secret(pass);
    let basic = format!("Basic {}", STANDARD.encode(pass));
    for value in [pass.to_owned(), format!("Bearer {pass}"), basic] {
        assert!(
            harbor
                .clone()
                .header("authorization", value)
                .receive()
                .is_ok()
        );
    }
    for value in [
        "Bearer",
        "Basic !",
        "Bearer user:pass",
        "user:pass word2",
        "Digest x",
    ] {
        refused(&harbor.clone().header("authorization", value));
    }
    refused(&harbor);
    let mut hub = Case::named("Docker Hub", "dockerhub/hub")
        .sent()
        .secret(SECRET);
    hub.query.insert("token".to_owned(), SECRET.to_owned());
    assert_eq!(hub.receive().unwrap().verified, Verified::Signed);
    hub.query.insert("token".to_owned(), "other".to_owned());
    refused(&hub);
}

#[test]
fn a_source_may_ask_for_a_proof_of_its_own() {
    let sent = |authentication| {
        let mut sent = Case::named("Argo CD", "argocd/a").sent().secret(SECRET);
        sent.source.authentication = authentication;
        sent
    };
    let header = sent(Authentication::Header {
        name: "X-Team".to_owned(),
    });
    let received = header.clone().header("x-team", SECRET).receive().unwrap();
    assert_eq!(received.verified, Verified::Signed);
    // A header with a harmless name is no attribute when it holds the secret.
    assert!(!received.events[0].attributes.contains_key("x-team"));
    refused(&header.header("authorization", SECRET));
    let configured = sent(Authentication::Hmac {
        header: "X-Sum".to_owned(),
        algorithm: Algorithm::Sha384,
        prefix: "v1=".to_owned(),
        encoding: Encoding::Base64,
    });
    let code = STANDARD.encode(hmac::<Hmac<sha2::Sha384>>(
        SECRET.as_bytes(),
        &configured.body,
    ));
    let right = configured.clone().header("x-sum", format!("v1={code}"));
    assert!(right.receive().is_ok());
    refused(&configured.header("x-sum", code));
    let basic = sent(Authentication::Basic {});
    refused(
        &basic
            .clone()
            .header("authorization", format!("Bearer {SECRET}")),
    );
    let value = format!("basic {}", STANDARD.encode(SECRET));
    assert!(basic.header("authorization", value).receive().is_ok());
    // Asked for and impossible: no secret.
    let mut none = sent(Authentication::Bearer {}).header("authorization", "Bearer ");
    none.secrets.clear();
    refused(&none);
}

#[test]
fn empty_secrets_prove_nothing() {
    let sent = Case::named("push", "git/github").sent().secret("");
    let code = sha256("", &sent.body);
    refused(&sent.header("x-hub-signature-256", format!("sha256={code}")));
    let mut hub = Case::named("Docker Hub", "dockerhub/hub").sent().secret("");
    hub.query.insert("token".to_owned(), String::new());
    refused(&hub);
}

#[test]
fn the_ping_of_bitbucket_server_is_unsigned_and_harmless() {
    let sent = Case::named("ping", "stash/acme").sent().secret(SECRET);
    let received = sent.receive().unwrap();
    assert_eq!(received.verified, Verified::No);
    assert!(received.events.is_empty());
}

#[test]
fn a_build_of_jenkins_is_a_hint_whoever_sends_it() {
    let sent = Case::named("finalized", "jenkins/ci").sent().secret("u:p");
    refused(&sent);
    let value = format!("Basic {}", STANDARD.encode("u:p"));
    let received = sent.header("authorization", value).receive().unwrap();
    assert_eq!(received.verified, Verified::Signed);
    assert_eq!(received.events[0].verified, Verified::No);
}

/// Without proof anybody could have a real build start pipelines with parameters of their own.
#[test]
fn parameters_beside_a_build_are_taken_from_known_senders_alone() {
    let sent = Case::named("our own step", "jenkins/ci").sent();
    let event = sent.receive().unwrap().events.remove(0);
    assert!(event.parameters.is_empty() && event.artifacts.is_empty());
    // What starts a pipeline looks into the body too.
    assert!(!event.payload.contains_key("parameters") && !event.payload.contains_key("artifacts"));
    assert!(event.payload.contains_key("url"));
    let sent = sent.secret("u:p").header("authorization", "Bearer u:p");
    let event = sent.receive().unwrap().events.remove(0);
    assert_eq!(event.parameters["env"], "prod");
    assert_eq!(event.artifacts.len(), 1);
    assert_eq!(event.payload["parameters"]["env"], "prod");
    assert_eq!(event.verified, Verified::No);
}

#[test]
fn the_configuration_is_read_strictly() {
    let read = |text: &str| serde_json::from_str::<igor_inbound::Source>(text);
    let source = read(
        r#"{"name":"x","sender":"bitbucketServer","allowSha1":true,
            "authentication":{"type":"hmac","header":"X-A","algorithm":"sha512","encoding":"base64"}}"#,
    )
    .unwrap();
    let again = serde_json::to_string(&source).unwrap();
    assert_eq!(read(&again).unwrap(), source);
    assert!(read(r#"{"allowSha2":true}"#).is_err());
    assert!(read(r#"{"authentication":{"type":"bearer","x":1}}"#).is_err());
    assert!(read(r#"{"authentication":{"type":"sender"}}"#).is_ok());
    assert!(read(r#"{"sender":"nobody"}"#).is_err());
}
