//! Bytes that nobody meant: readers never panic, and a signature is never right for another body.

use igor_inbound::cdevent;
use proptest::{prelude::*, sample::Index};

use crate::{
    harness::{Case, Sent},
    proof::signed,
};

/// One way to spoil a body.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index),
    Insert(Index, Vec<u8>),
    /// Wraps everything into this many arrays.
    Nest(u8),
    /// Another body after a cut of this one.
    Graft(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let words = prop::sample::select(vec![
        "null",
        "[]",
        "{}",
        "\"\"",
        "-1",
        "1e999",
        "18446744073709551616",
        "\"\\ud800\"",
        "\u{0}",
        "\\",
        "\"",
        "true",
        "[[[[[[",
        "{\"a\":",
        "\u{feff}",
    ]);
    let bytes = prop_oneof![
        words.prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..8),
    ];
    prop_oneof![
        (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, 1 << bit)),
        any::<Index>().prop_map(Change::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Remove(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
        (any::<Index>(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        any::<u8>().prop_map(Change::Nest),
        (any::<Index>(), any::<Index>()).prop_map(|(at, other)| Change::Graft(at, other)),
    ]
}

fn changed(mut body: Vec<u8>, changes: &[Change], others: &[Case]) -> Vec<u8> {
    for change in changes {
        let ends = body.len() + 1;
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(ends), to.index(ends));
            from.min(to)..from.max(to)
        };
        match change {
            Change::Flip(at, bit) if !body.is_empty() => {
                let at = at.index(body.len());
                body[at] ^= bit;
            }
            Change::Flip(..) => {}
            Change::Cut(at) => body.truncate(at.index(ends)),
            Change::Remove(from, to) => {
                body.drain(range(from, to));
            }
            Change::Repeat(from, to) => {
                let range = range(from, to);
                let (at, part) = (range.end, body[range].to_vec());
                body.splice(at..at, part);
            }
            Change::Insert(at, bytes) => {
                let at = at.index(ends);
                body.splice(at..at, bytes.iter().copied());
            }
            Change::Nest(levels) => {
                let levels = usize::from(*levels);
                body = [
                    "[".repeat(levels).into_bytes(),
                    body,
                    "]".repeat(levels).into_bytes(),
                ]
                .concat();
            }
            Change::Graft(at, other) => {
                body.truncate(at.index(ends));
                body.extend(other.get(others).bytes());
            }
        }
    }
    body
}

/// Receives it, and tells what came of it on; nothing may panic on the way.
fn swallow(sent: &Sent) {
    if let Ok(received) = sent.receive() {
        assert!(
            !received.events.is_empty() || received.ignored.is_some(),
            "{sent:?}"
        );
        for event in &received.events {
            assert!(!event.id.is_empty());
            assert!(event.id.len() <= igor_inbound::limits::ID_BYTES_MAX);
            let told = cdevent(event);
            assert!(told["type"].is_string());
        }
    }
}

const PATHS: [&str; 33] = [
    "webhook/x",
    "git/github",
    "git/gitlab",
    "git/stash",
    "git/bitbucket",
    "git/gitea",
    "build/x",
    "docker/x",
    "pubsub/x",
    "cdevents/x",
    "github/x",
    "gitlab/x",
    "gitea/x",
    "gogs/x",
    "forgejo/x",
    "bitbucket/x",
    "bitbucketServer/x",
    "dockerhub/x",
    "harbor/x",
    "distribution/x",
    "quay/x",
    "ecr/x",
    "gar/x",
    "acr/x",
    "jfrog/x",
    "nexus/x",
    "sonatypeIq/x",
    "flux/x",
    "argocd/x",
    "standardWebhooks/x",
    "cloudevents/x",
    "generic/x",
    "jenkins/x",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(4_000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoiled_bodies_do_no_harm(
        which in any::<Index>(),
        changes in prop::collection::vec(change(), 1..6),
        elsewhere in prop::option::of(prop::sample::select(PATHS.to_vec())),
    ) {
        let cases = seeds();
        let case = which.get(cases);
        let mut sent = case.sent();
        sent.body = changed(sent.body, &changes, cases);
        if let Some(path) = elsewhere {
            path.clone_into(&mut sent.path);
        }
        swallow(&sent);
    }

    #[test]
    fn spoiled_headers_do_no_harm(
        which in any::<Index>(),
        name in "(x-github-event|x-event-key|x-gitea-event|x-gogs-event|ce-type|ce-id|ce-data|content-type|content-encoding|idempotency-key|x-nexus-webhook-id)",
        value in prop_oneof![
            "\\PC{0,40}",
            "(push|create|gzip|application/x-www-form-urlencoded|application/cloudevents-batch\\+json|application/cloudevents\\+json|repo:push|pr:merged|dev\\.cdevents\\.a\\.b)",
        ],
    ) {
        swallow(&which.get(seeds()).sent().header(&name, value));
    }

    #[test]
    fn anything_at_all_does_no_harm(
        path in prop::sample::select(PATHS.to_vec()),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            value(4).prop_map(|value| serde_json::to_vec(&value).unwrap()),
        ],
        encoding in prop::option::of("(gzip|identity)"),
    ) {
        let mut sent = seeds()[0].sent();
        sent.headers.clear();
        path.clone_into(&mut sent.path);
        sent.body = body;
        if let Some(encoding) = encoding {
            sent = sent.header("content-encoding", encoding);
        }
        swallow(&sent);
    }

    #[test]
    fn a_signature_is_never_right_for_another_body(
        which in any::<Index>(),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let sent = which.get(proofs());
        let body = changed(sent.body.clone(), &changes, seeds());
        prop_assume!(body != sent.body);
        let sent = Sent { body, ..sent.clone() };
        prop_assert!(
            matches!(sent.receive(), Err(igor_inbound::Refused::BadSignature { .. })),
            "{:?}", sent
        );
    }

    #[test]
    fn a_spoiled_signature_is_never_right(
        which in any::<Index>(),
        at in any::<Index>(),
        with in any::<char>(),
    ) {
        let mut sent = which.get(proofs()).clone();
        let (_, value) = sent
            .headers
            .iter_mut()
            .find(|(name, _)| name.ends_with("signature") || name.ends_with("-256") || name.ends_with("auth"))
            .unwrap();
        let mut letters: Vec<char> = value.chars().collect();
        let at = at.index(letters.len());
        letters[at] = with;
        let spoiled: String = letters.into_iter().collect();
        // Hex digits may be of either case.
        prop_assume!(!spoiled.trim().eq_ignore_ascii_case(value));
        *value = spoiled;
        prop_assert!(sent.receive().is_err(), "{:?}", sent);
    }
}

fn seeds() -> &'static [Case] {
    static SEEDS: std::sync::LazyLock<Vec<Case>> = std::sync::LazyLock::new(Case::all);
    &SEEDS
}

fn proofs() -> &'static [Sent] {
    static PROOFS: std::sync::LazyLock<Vec<Sent>> = std::sync::LazyLock::new(signed);
    &PROOFS
}

/// Texts that readers tell apart.
const TEXTS: [&str; 17] = [
    "",
    "push",
    "refs/heads/x",
    "refs/tags/",
    "a/b:c",
    "job/a/1",
    "PUSH_ARTIFACT",
    "branch",
    "INSERT",
    "created",
    "run.finalized",
    "eyJ9",
    "https://h/a",
    "pkg:oci/a@b?repository_url=c",
    "dev.cdevents.artifact.published.0.2.0",
    "docker",
    "pushed",
];

/// Members that readers look for, by their blanks.
const NAMES: &str = "ref after repository full_name name owner commits added pull_request project \
    path_with_namespace object_kind object_attributes push changes new type target hash events action \
    request host tag digest build url phase number context subject id source content customData \
    specversion data message messageDescription pubsubSystem detail component metadata updated_tags \
    event_data resources resource_url domain event_type refChanges";

/// JSON whose members have the names that readers look for.
fn value(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        prop::sample::select(TEXTS.to_vec()).prop_map(Into::into),
    ];
    let names: Vec<&str> = NAMES.split_ascii_whitespace().collect();
    let names = prop::sample::select(names);
    leaf.prop_recursive(depth, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}
