//! Which tags are asked for their digest in a poll. Pure.

use std::collections::BTreeSet;

use crate::{Cursor, diff::new_names, order};

/// What a poll asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// New tags first.
    pub(super) ask: Vec<String>,
    /// The last one of those that take turns.
    pub(super) last: Option<String>,
    /// Not all tracked ones could be asked.
    pub(super) in_turns: bool,
}

/// How much a poll asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    pub(super) track_digests: bool,
    pub(super) newest_max: usize,
    pub(super) digests_max: usize,
}

/// The new tags that will be told, and where digests are tracked the others, in turns when they are many.
///
/// At the first look nothing is told, so only tracked digests are asked for.
pub(super) fn plan(cursor: Option<&Cursor>, names: &BTreeSet<&str>, effort: Effort) -> Plan {
    let new = cursor.map_or_else(Vec::new, |cursor| {
        let new = new_names(cursor, names.iter().copied());
        order::newest(new, effort.newest_max)
    });
    let mut plan = Plan {
        ask: new.iter().map(|&name| name.to_owned()).collect(),
        last: None,
        in_turns: false,
    };
    if !effort.track_digests {
        return plan;
    }
    let new: BTreeSet<_> = new.into_iter().collect();
    let room = effort.digests_max.saturating_sub(new.len()).max(1);
    let last = cursor.and_then(|cursor| cursor.asked.as_deref());
    let after = names
        .iter()
        .filter(|&&name| last.is_none_or(|last| name > last));
    let before = names
        .iter()
        .filter(|&&name| last.is_some_and(|last| name <= last));
    let mut old = after.chain(before).filter(|&name| !new.contains(name));
    plan.ask
        .extend(old.by_ref().take(room).map(|&name| name.to_owned()));
    plan.in_turns = old.next().is_some();
    if plan.in_turns {
        plan.last = plan.ask.last().cloned();
    }
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(known: &str, asked: Option<&str>) -> Cursor {
        Cursor {
            known: known
                .split_whitespace()
                .map(|n| (n.to_owned(), None))
                .collect(),
            asked: asked.map(str::to_owned),
            ..Cursor::default()
        }
    }

    #[track_caller]
    fn check(
        cursor: Option<&Cursor>,
        names: &str,
        track: bool,
        expect: &str,
        in_turns: bool,
    ) -> Plan {
        let effort = Effort {
            track_digests: track,
            newest_max: 2,
            digests_max: 4,
        };
        let plan = plan(cursor, &names.split_whitespace().collect(), effort);
        assert_eq!(plan.ask.join(" "), expect);
        assert_eq!(plan.in_turns, in_turns);
        plan
    }

    #[test]
    fn only_what_will_be_told_is_asked_for() {
        check(None, "1 2 3", false, "", false);
        check(Some(&cursor("1 2", None)), "1 2", false, "", false);
        check(
            Some(&cursor("1 2", None)),
            "1 2 9 10 11",
            false,
            "10 11",
            false,
        );
    }

    #[test]
    fn tracked_tags_take_turns() {
        check(None, "1 2 3", true, "1 2 3", false);
        let first = check(None, "1 2 3 4 5 6", true, "1 2 3 4", true);
        assert_eq!(first.last.as_deref(), Some("4"));
        check(
            Some(&cursor("1 2 3 4 5 6", Some("4"))),
            "1 2 3 4 5 6",
            true,
            "5 6 1 2",
            true,
        );
        check(
            Some(&cursor("1 2 3", Some("4"))),
            "1 2 3",
            true,
            "1 2 3",
            false,
        );
        // News goes before, but never keeps the others waiting for good.
        check(
            Some(&cursor("1 2 3", Some("2"))),
            "1 2 3 8 9",
            true,
            "8 9 3 1",
            true,
        );
    }

    #[test]
    fn much_news_leaves_room_for_one_other() {
        let effort = Effort {
            track_digests: true,
            newest_max: 3,
            digests_max: 2,
        };
        let names = BTreeSet::from(["1", "2", "7", "8", "9"]);
        let plan = plan(Some(&cursor("1 2", Some("1"))), &names, effort);
        assert_eq!(plan.ask, ["7", "8", "9", "2"]);
    }

    proptest! {
        #[test]
        fn every_tag_has_its_turn(names in proptest::collection::btree_set("[a-c]{1,2}", 1..12), digests_max in 1_usize..5) {
            let effort = Effort { track_digests: true, newest_max: 3, digests_max };
            let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            let mut cursor = cursor(&names.iter().cloned().collect::<Vec<_>>().join(" "), None);
            let mut asked = BTreeSet::new();
            for _ in 0..12 {
                let plan = plan(Some(&cursor), &all, effort);
                prop_assert!(plan.ask.len() <= digests_max.max(1));
                asked.extend(plan.ask);
                cursor.asked = plan.last;
            }
            prop_assert_eq!(asked, names);
        }
    }
}
