use std::collections::BTreeMap;

use kork_model::{Timestamp, inbound::Verified};
use proptest::prelude::*;

use super::*;
use crate::{
    cursor::{Images, Refs},
    git::SourceType,
};

const LIMITS: Limits = Limits {
    newest_max: 3,
    empty_polls_max: 3,
};

fn images(track_digests: bool) -> Watched {
    Watched::Images(Images {
        account: "hub".to_owned(),
        registry: "docker.io".to_owned(),
        repository: "library/nginx".to_owned(),
        track_digests,
    })
}

fn refs() -> Watched {
    Watched::Git(Refs {
        name: "shop".to_owned(),
        source: SourceType::Gitlab,
        project: "acme/shop".to_owned(),
        slug: "cart".to_owned(),
        url: "https://git.example/acme/shop/cart".to_owned(),
        place: "git.example/acme/shop/cart".to_owned(),
        default_branch: Some("main".to_owned()),
    })
}

/// `a=1 b` is the name `a` with the identity `1` and the name `b` without one.
fn names(text: &str) -> BTreeMap<String, Option<String>> {
    text.split_whitespace()
        .map(|word| match word.split_once('=') {
            Some((name, identity)) => (name.to_owned(), Some(identity.to_owned())),
            None => (word.to_owned(), None),
        })
        .collect()
}

fn cursor(text: &str) -> Cursor {
    Cursor {
        known: names(text),
        ..Cursor::default()
    }
}

fn seen(what: Watched, text: &str) -> Seen {
    Seen {
        what,
        at: Timestamp(7),
        found: names(text),
        scope: Vec::new(),
        floor: None,
        ceiling: None,
        asked: None,
    }
}

/// What is told, as `name=identity`, and what is known afterwards.
#[track_caller]
fn check(what: Watched, before: Option<&str>, now: &str, told: &str, after: &str) -> Vec<Warning> {
    let before = before.map(cursor);
    let seen = seen(what, now);
    let diff = diff(before.as_ref(), &seen, &LIMITS);
    let events: Vec<_> = diff
        .events
        .iter()
        .map(|e| match (&e.digest, &e.commit) {
            (Some(digest), _) => format!("{}={digest}", e.tag.as_deref().unwrap()),
            (None, commit) => format!(
                "{}={}",
                e.branch.as_ref().or(e.tag.as_ref()).unwrap(),
                commit.as_deref().unwrap()
            ),
        })
        .collect();
    assert_eq!(events.join(" "), told);
    assert_eq!(diff.cursor.known, names(after));
    diff.warnings
}

#[test]
fn the_first_look_is_silent() {
    for what in [images(true), refs()] {
        assert_eq!(
            check(what, None, "1=a 2=b 3=c 4=d 5=e", "", "1=a 2=b 3=c 4=d 5=e"),
            []
        );
    }
    check(images(false), None, "", "", "");
}

#[test]
fn a_new_tag_is_told_even_in_what_was_empty() {
    check(images(false), Some(""), "1=a", "1=a", "1=a");
    check(images(false), Some("1"), "1 2=b", "2=b", "1 2=b");
    check(images(true), Some("1=a"), "1=a 2=b", "2=b", "1=a 2=b");
}

#[test]
fn a_changed_digest_is_told_where_digests_are_tracked() {
    check(images(true), Some("1=a"), "1=b", "1=b", "1=b");
    check(images(false), Some("1=a"), "1=b", "", "1=b");
    check(images(true), Some("1"), "1=b", "", "1=b");
    check(images(true), Some("1=a"), "1", "", "1=a");
    check(
        refs(),
        Some("refs/heads/main=a"),
        "refs/heads/main=b",
        "main=b",
        "refs/heads/main=b",
    );
}

#[test]
fn what_is_gone_is_news_when_it_comes_again() {
    check(images(false), Some("1=a 2=b"), "2=b", "", "2=b");
    check(images(false), Some("2=b"), "1=a 2=b", "1=a", "1=a 2=b");
}

#[test]
fn of_too_much_news_the_newest_by_version_are_told() {
    let warnings = check(
        images(true),
        Some("v1.8.0=z"),
        "v1.8.0=y v1.9.0 v1.10.0=a v1.11.0=b v1.12.0=c latest",
        "v1.10.0=a v1.11.0=b v1.12.0=c",
        "v1.8.0=y v1.9.0 v1.10.0=a v1.11.0=b v1.12.0=c latest",
    );
    assert_eq!(warnings, [Warning::TooManyNew { new: 6, newest: 3 }]);
    assert!(warnings[0].to_string().contains("natural order"));
}

#[test]
fn news_without_identity_stays_news() {
    check(images(false), Some("1=a"), "1 2 3=c", "3=c", "1=a 3=c");
    check(
        images(false),
        Some("1=a 3=c"),
        "1 2=b 3",
        "2=b",
        "1=a 2=b 3=c",
    );
}

#[test]
fn an_empty_answer_is_believed_after_some() {
    let full = cursor("1=a 2=b");
    let nothing = seen(images(false), "");
    let first = diff(Some(&full), &nothing, &LIMITS);
    assert_eq!(first.cursor.known, full.known);
    assert_eq!(first.warnings, [Warning::Empty { polls: 1, of: 3 }]);

    let back = diff(
        Some(&first.cursor),
        &seen(images(false), "1=a 2=b 3=c"),
        &LIMITS,
    );
    assert_eq!((back.events.len(), back.cursor.empty_polls), (1, 0));

    let second = diff(Some(&first.cursor), &nothing, &LIMITS);
    assert_eq!(second.cursor.empty_polls, 2);
    let third = diff(Some(&second.cursor), &nothing, &LIMITS);
    assert_eq!(third.warnings, [Warning::Emptied { forgotten: 2 }]);
    assert_eq!(third.cursor, Cursor::default());
    let fourth = diff(Some(&third.cursor), &nothing, &LIMITS);
    assert_eq!(fourth.warnings, []);
}

#[test]
fn what_comes_into_sight_is_not_new() {
    let mut before = cursor("1.5=a 1.6=b");
    before.floor = Some("1.5".to_owned());
    before.ceiling = Some("m".to_owned());
    let now = seen(images(true), "1.4=x 1.5=a 1.7=c latest=y n=z");
    let diff = diff(Some(&before), &now, &LIMITS);
    let ids: Vec<_> = diff
        .events
        .iter()
        .map(|e| e.tag.as_deref().unwrap())
        .collect();
    assert_eq!(ids, ["1.7"]);
    assert_eq!(diff.cursor.known, now.found);
    assert_eq!((diff.cursor.floor, diff.cursor.ceiling), (None, None));
}

#[test]
fn what_comes_into_the_pattern_is_not_new() {
    let mut before = cursor("v1=a");
    before.scope = vec!["v.*".to_owned()];
    let now = seen(images(true), "v1=a v2=b main=c");
    let was_watched = |name: &str| name.starts_with('v');
    for (scope, told) in [("v.*", vec!["main", "v2"]), (".*", vec!["v2"])] {
        let scope = [scope.to_owned()];
        let cursor = before.within(&scope, now.found.keys().map(String::as_str), was_watched);
        let diff = diff(Some(&cursor), &now, &LIMITS);
        let tags: Vec<_> = diff
            .events
            .iter()
            .map(|e| e.tag.as_deref().unwrap())
            .collect();
        assert_eq!(tags, told, "{scope:?}");
        assert_eq!(diff.cursor.known, now.found);
    }
}

#[test]
fn an_image_is_told_in_the_words_of_triggers() {
    let told = diff(
        Some(&cursor("")),
        &seen(images(false), "1.27=sha256:ab"),
        &LIMITS,
    );
    let event = &told.events[0];
    assert_eq!(event.id, "docker:docker.io/library/nginx:1.27@sha256:ab");
    assert_eq!(
        (event.verified, event.received),
        (Verified::Fetched, Timestamp(7))
    );
    assert_eq!(event.image.as_deref(), Some("docker.io/library/nginx"));
    assert_eq!(
        serde_json::to_value(&event.trigger).unwrap(),
        serde_json::json!({
            "account": "hub", "registry": "docker.io", "repository": "library/nginx", "tag": "1.27",
            "digest": "sha256:ab",
        })
    );
    assert_eq!(
        event.artifacts,
        [serde_json::json!({
            "type": "docker/image", "name": "docker.io/library/nginx", "version": "1.27",
            "reference": "docker.io/library/nginx@sha256:ab",
            "metadata": { "registry": "docker.io", "digest": "sha256:ab" },
        })]
    );
}

#[test]
fn a_commit_and_a_git_tag_are_told_apart() {
    let now = seen(refs(), "refs/heads/feature/é=c1 refs/tags/v1=c2");
    let told = diff(Some(&cursor("")), &now, &LIMITS);
    let [branch, tag] = &told.events[..] else {
        panic!("two events: {:?}", told.events);
    };
    assert_eq!(
        branch.id,
        "git:git.example/acme/shop/cart:refs/heads/feature/é:c1"
    );
    assert_eq!(branch.branch.as_deref(), Some("feature/é"));
    assert_eq!(
        (&branch.tag, branch.action.as_deref()),
        (&None, Some("push:push"))
    );
    assert_eq!(branch.repository.as_deref(), Some("acme/shop/cart"));
    assert_eq!(
        serde_json::to_value(&branch.trigger).unwrap(),
        serde_json::json!({
            "source": "gitlab", "project": "acme/shop", "slug": "cart", "hash": "c1", "action": "push:push",
            "branch": "feature/é", "defaultBranch": "main",
        })
    );
    assert_eq!((tag.tag.as_deref(), &tag.branch), (Some("v1"), &None));
    assert_eq!(
        tag.url.as_deref(),
        Some("https://git.example/acme/shop/cart/-/commit/c2")
    );
}

#[test]
fn a_cursor_is_read_back_as_it_was_stored() {
    let whole = Cursor {
        empty_polls: 2,
        floor: Some("1".to_owned()),
        ceiling: Some("z".to_owned()),
        asked: Some("2".to_owned()),
        ..cursor("1=a 2")
    };
    for cursor in [whole, Cursor::default()] {
        let stored = serde_json::to_string(&cursor).unwrap();
        assert_eq!(serde_json::from_str::<Cursor>(&stored).unwrap(), cursor);
    }
}

fn some_names() -> impl Strategy<Value = BTreeMap<String, Option<String>>> {
    proptest::collection::btree_map("[ab][0-9]", proptest::option::of("[x-z]"), 0..12)
}

proptest! {
    #[test]
    fn the_same_look_twice_tells_nothing_new(
        known in some_names(), found in some_names(), track in any::<bool>(), newest_max in 0_usize..6,
    ) {
        let limits = Limits { newest_max, ..LIMITS };
        let before = Cursor { known, ..Cursor::default() };
        let seen = Seen { found, ..seen(images(track), "") };
        let first = diff(Some(&before), &seen, &limits);
        prop_assert!(first.events.len() <= newest_max);
        for event in &first.events {
            let tag = event.tag.clone().unwrap();
            prop_assert_eq!(seen.found.get(&tag), Some(&event.digest));
            let old = before.known.get(&tag);
            prop_assert!(old.is_none() || track && old.unwrap().is_some() && *old.unwrap() != event.digest);
        }
        let second = diff(Some(&first.cursor), &seen, &limits);
        prop_assert_eq!(second.events, vec![]);
        // Only what is there is known, unless an empty answer is not believed yet.
        if !seen.found.is_empty() {
            prop_assert!(first.cursor.known.keys().all(|name| seen.found.contains_key(name)));
        }
    }
}
