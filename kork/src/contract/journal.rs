//! The contract of [`Journal`](crate::ports::Journal).

use std::future::Future;

use bytes::Bytes;
use futures_util::future::join_all;

use super::{checks, stays_pending};
use crate::ports::{Journal, JournalError, Ports, Revision, limit};

/// Everything a journal guarantees, except what needs the end of a process.
pub async fn journal<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Ports>,
{
    checks!(make:
        an_append_is_read_back_in_order,
        a_read_starts_behind_the_revision_asked_for,
        an_append_with_another_expectation_is_a_conflict,
        of_two_appends_with_the_same_expectation_one_wins,
        a_group_of_appends_keeps_the_order_of_each_subject,
        a_conflict_fails_nobody_else,
        subjects_are_those_under_the_prefix_sorted,
        a_purge_removes_up_to_the_revision_and_no_more,
        a_purged_subject_is_as_if_never_written_and_revisions_go_on,
        what_is_too_large_is_refused_and_nothing_is_written,
        a_subscription_sees_old_and_new_records_of_its_prefix,
        a_subscription_goes_on_behind_what_was_acknowledged,
        a_dropped_next_loses_nothing,
        whoever_follows_sees_what_is_written_from_now_on,
        many_appends_at_once_are_where_they_say_and_followers_see_each_once,
    );
}

async fn append(journal: &dyn Journal, subject: &str, expected: Revision, text: &str) -> Revision {
    journal
        .append(subject, expected, Bytes::from(text.to_owned()))
        .await
        .unwrap_or_else(|error| panic!("append {text} to {subject}: {error}"))
}

async fn payloads(journal: &dyn Journal, subject: &str, after: Revision) -> Vec<String> {
    let records = journal.read(subject, after).await.expect("a read answers");
    assert!(
        records
            .windows(2)
            .all(|pair| pair[0].revision < pair[1].revision)
    );
    assert!(records.iter().all(|record| record.subject == subject));
    records
        .iter()
        .map(|record| String::from_utf8_lossy(&record.payload).into_owned())
        .collect()
}

/// A read sees every acknowledged append, oldest first, each subject for itself.
async fn an_append_is_read_back_in_order(ports: Ports) {
    let journal = &*ports.journal;
    assert_eq!(journal.last("a.1").await.expect("last"), Revision::NONE);
    let first = append(journal, "a.1", Revision::NONE, "one").await;
    append(journal, "a.2", Revision::NONE, "other").await;
    let second = append(journal, "a.1", first, "two").await;
    let empty = append(journal, "a.1", second, "").await;
    assert!(Revision::NONE < first && first < second && second < empty);
    assert_eq!(
        payloads(journal, "a.1", Revision::NONE).await,
        ["one", "two", ""]
    );
    assert_eq!(payloads(journal, "a.2", Revision::NONE).await, ["other"]);
    assert_eq!(journal.last("a.1").await.expect("last"), empty);
    assert!(payloads(journal, "a", Revision::NONE).await.is_empty());
}

/// `after` is exclusive.
async fn a_read_starts_behind_the_revision_asked_for(ports: Ports) {
    let journal = &*ports.journal;
    let mut last = Revision::NONE;
    let mut revisions = Vec::new();
    for number in 0..5 {
        last = append(journal, "s", last, &number.to_string()).await;
        revisions.push(last);
    }
    assert_eq!(payloads(journal, "s", revisions[1]).await, ["2", "3", "4"]);
    assert!(payloads(journal, "s", last).await.is_empty());
    assert!(payloads(journal, "s", Revision(u64::MAX)).await.is_empty());
}

/// The conflict names both revisions, and nothing is written.
async fn an_append_with_another_expectation_is_a_conflict(ports: Ports) {
    let journal = &*ports.journal;
    let first = append(journal, "s", Revision::NONE, "one").await;
    for wrong in [Revision::NONE, Revision(first.0 + 1)] {
        let error = journal.append("s", wrong, Bytes::from_static(b"x")).await;
        let Err(JournalError::Conflict {
            subject,
            expected,
            actual,
        }) = error
        else {
            panic!("no conflict with {wrong:?}: {error:?}");
        };
        assert_eq!((subject.as_str(), expected, actual), ("s", wrong, first));
    }
    let missing = journal.append("t", first, Bytes::new()).await;
    assert!(matches!(
        missing,
        Err(JournalError::Conflict {
            actual: Revision::NONE,
            ..
        })
    ));
    assert_eq!(payloads(journal, "s", Revision::NONE).await, ["one"]);
    assert!(journal.subjects("t").await.expect("subjects").is_empty());
}

/// Compare-and-append is the only arbiter.
async fn of_two_appends_with_the_same_expectation_one_wins(ports: Ports) {
    let mut last = Revision::NONE;
    for round in 0..20 {
        let racers = (0..8).map(|racer| {
            let payload = Bytes::from(format!("{round}-{racer}"));
            ports.journal.append("race", last, payload)
        });
        let outcomes = join_all(racers).await;
        let won: Vec<_> = outcomes.iter().flatten().collect();
        assert_eq!(won.len(), 1, "round {round}: {outcomes:?}");
        let conflicts = outcomes.iter().filter(|outcome| {
            matches!(outcome, Err(JournalError::Conflict { actual, .. }) if actual == won[0])
        });
        assert_eq!(conflicts.count(), 7, "round {round}: {outcomes:?}");
        last = *won[0];
    }
    assert_eq!(
        payloads(&*ports.journal, "race", Revision::NONE)
            .await
            .len(),
        20
    );
}

/// Appends of many subjects at the same moment do not mix.
async fn a_group_of_appends_keeps_the_order_of_each_subject(ports: Ports) {
    let journal = &*ports.journal;
    let writers = (0..50).map(|writer| async move {
        let subject = format!("group.{writer}");
        let mut last = Revision::NONE;
        for number in 0..10 {
            last = append(journal, &subject, last, &number.to_string()).await;
        }
    });
    join_all(writers).await;
    let expected: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    for writer in 0..50 {
        let found = payloads(journal, &format!("group.{writer}"), Revision::NONE).await;
        assert_eq!(found, expected, "writer {writer}");
    }
}

/// A refused append among others that wait at the same moment.
async fn a_conflict_fails_nobody_else(ports: Ports) {
    let journal = &*ports.journal;
    append(journal, "taken", Revision::NONE, "first").await;
    let appends = (0..40).map(|number| async move {
        let odd = number % 2 == 1;
        let subject = if odd {
            "taken".to_owned()
        } else {
            format!("free.{number}")
        };
        (
            odd,
            journal
                .append(&subject, Revision::NONE, Bytes::from_static(b"x"))
                .await,
        )
    });
    for (odd, outcome) in join_all(appends).await {
        assert_eq!(
            odd,
            matches!(outcome, Err(JournalError::Conflict { .. })),
            "{outcome:?}"
        );
        assert_eq!(odd, outcome.is_err());
    }
    assert_eq!(payloads(journal, "taken", Revision::NONE).await, ["first"]);
}

/// A prefix ends at a dot or is whole.
async fn subjects_are_those_under_the_prefix_sorted(ports: Ports) {
    let journal = &*ports.journal;
    for subject in ["b.2", "a.10", "a.9", "ab.1", "a.1.x"] {
        append(journal, subject, Revision::NONE, "x").await;
    }
    let subjects = async |prefix: &str| journal.subjects(prefix).await.expect("subjects");
    assert_eq!(subjects("a.").await, ["a.1.x", "a.10", "a.9"]);
    assert_eq!(subjects("a.1.x").await, ["a.1.x"]);
    assert_eq!(subjects("").await, ["a.1.x", "a.10", "a.9", "ab.1", "b.2"]);
    assert!(subjects("c.").await.is_empty());
}

/// Records behind the revision stay; purging again changes nothing.
async fn a_purge_removes_up_to_the_revision_and_no_more(ports: Ports) {
    let journal = &*ports.journal;
    let one = append(journal, "p", Revision::NONE, "one").await;
    let two = append(journal, "p", one, "two").await;
    append(journal, "p.q", Revision::NONE, "other").await;
    for _ in 0..2 {
        journal.purge("p", one).await.expect("purge");
        assert_eq!(payloads(journal, "p", Revision::NONE).await, ["two"]);
    }
    assert_eq!(journal.last("p").await.expect("last"), two);
    append(journal, "p", two, "three").await;
    journal
        .purge("nothing", two)
        .await
        .expect("purging nothing is fine");
    assert_eq!(payloads(journal, "p.q", Revision::NONE).await, ["other"]);
}

/// Revisions grow over the whole journal, whatever is removed.
async fn a_purged_subject_is_as_if_never_written_and_revisions_go_on(ports: Ports) {
    let journal = &*ports.journal;
    let one = append(journal, "p", Revision::NONE, "one").await;
    journal.purge("p", one).await.expect("purge");
    assert_eq!(journal.last("p").await.expect("last"), Revision::NONE);
    assert!(journal.subjects("p").await.expect("subjects").is_empty());
    let conflict = journal.append("p", one, Bytes::new()).await;
    assert!(
        matches!(conflict, Err(JournalError::Conflict { .. })),
        "{conflict:?}"
    );
    assert!(append(journal, "p", Revision::NONE, "anew").await > one);
}

/// The limits of every adapter are the same.
async fn what_is_too_large_is_refused_and_nothing_is_written(ports: Ports) {
    let journal = &*ports.journal;
    let exact = Bytes::from(vec![b'x'; limit::MESSAGE_BYTES_MAX]);
    journal
        .append("big", Revision::NONE, exact)
        .await
        .expect("the limit itself is allowed");
    let more = Bytes::from(vec![b'x'; limit::MESSAGE_BYTES_MAX + 1]);
    let name = "n".repeat(limit::NAME_BYTES_MAX + 1);
    for outcome in [
        journal.append("bigger", Revision::NONE, more).await,
        journal.append(&name, Revision::NONE, Bytes::new()).await,
    ] {
        assert!(
            matches!(outcome, Err(JournalError::TooLarge { .. })),
            "{outcome:?}"
        );
    }
    assert_eq!(journal.subjects("").await.expect("subjects"), ["big"]);
}

/// A new durable name starts with the oldest; records of one journal come in their order.
async fn a_subscription_sees_old_and_new_records_of_its_prefix(ports: Ports) {
    let journal = &*ports.journal;
    let one = append(journal, "e.1", Revision::NONE, "one").await;
    append(journal, "f.1", Revision::NONE, "unheard").await;
    append(journal, "e.2", Revision::NONE, "two").await;
    let mut follower = journal.subscribe("reader", "e.").await.expect("subscribe");
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(follower.next().await.expect("an old record"));
    }
    stays_pending("nothing more is there", follower.next()).await;
    let (next, _) = futures_util::join!(follower.next(), append(journal, "e.1", one, "three"));
    seen.push(next.expect("a new record"));
    let texts: Vec<_> = seen.iter().map(|record| record.payload.clone()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert!(
        seen.windows(2)
            .all(|pair| pair[0].revision < pair[1].revision)
    );
}

/// What was not acknowledged comes again; each name has a position of its own.
async fn a_subscription_goes_on_behind_what_was_acknowledged(ports: Ports) {
    let journal = &*ports.journal;
    for number in 0..4 {
        append(
            journal,
            &format!("e.{number}"),
            Revision::NONE,
            &number.to_string(),
        )
        .await;
    }
    let mut first = journal.subscribe("reader", "e.").await.expect("subscribe");
    let mut revisions = Vec::new();
    for _ in 0..3 {
        revisions.push(first.next().await.expect("a record").revision);
    }
    first.ack(revisions[1]).await.expect("ack");
    drop(first);
    let mut again = journal.subscribe("reader", "e.").await.expect("subscribe");
    assert_eq!(again.next().await.expect("a record").revision, revisions[2]);
    let mut other = journal.subscribe("other", "e.").await.expect("subscribe");
    assert_eq!(other.next().await.expect("a record").revision, revisions[0]);
}

/// `next` is cancel-safe.
async fn a_dropped_next_loses_nothing(ports: Ports) {
    let journal = &*ports.journal;
    let mut follower = journal.subscribe("reader", "").await.expect("subscribe");
    for number in 0..20 {
        let subject = format!("e.{number}");
        // The wait is dropped in the moment in which the record arrives.
        let early = {
            let written = append(journal, &subject, Revision::NONE, "x");
            tokio::select! {
                biased;
                _ = written => None,
                record = follower.next() => Some(record),
            }
        };
        let record = match early {
            Some(record) => record,
            None => follower.next().await,
        };
        if record.expect("a record").subject == subject {
            continue;
        }
        panic!("record {number} is missing");
    }
}

/// Without a name, and from now on.
async fn whoever_follows_sees_what_is_written_from_now_on(ports: Ports) {
    let journal = &*ports.journal;
    let one = append(journal, "e.1", Revision::NONE, "one").await;
    let mut follower = journal.follow("e.").await.expect("follow");
    append(journal, "f.1", Revision::NONE, "unheard").await;
    let two = append(journal, "e.1", one, "two").await;
    let seen = follower.next().await.expect("a record");
    assert_eq!((seen.revision, &seen.payload[..]), (two, &b"two"[..]));
    follower.ack(two).await.expect("ack");
    append(journal, "e.2", Revision::NONE, "three").await;
    assert_eq!(follower.next().await.expect("a record").payload, "three");
    stays_pending("nothing more is there", follower.next()).await;
}

/// A revision that was answered is the record's, and a follower misses none and sees none twice.
async fn many_appends_at_once_are_where_they_say_and_followers_see_each_once(ports: Ports) {
    const MANY: usize = 1_200;
    let journal = &*ports.journal;
    let mut follower = journal.follow("many.").await.expect("follow");
    let appends = (0..MANY).map(|number| async move {
        let subject = format!("many.{number}");
        let at = append(journal, &subject, Revision::NONE, &subject).await;
        (at, subject)
    });
    let mut told = join_all(appends).await;
    told.sort_unstable();
    for (at, subject) in told {
        let seen = follower.next().await.expect("a record");
        assert_eq!((seen.revision, &seen.subject), (at, &subject));
        assert_eq!(seen.payload, subject);
    }
    stays_pending("nothing more is there", follower.next()).await;
}
