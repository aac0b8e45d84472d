//! The contract of [`Topic`](crate::ports::Topic).

use std::future::Future;

use bytes::Bytes;
use futures_util::future::join_all;

use super::{checks, stays_pending};
use crate::ports::{Cursor, NewMessage, Ports, Start, Topic, TopicError, TopicStream, limit};

/// Everything a topic guarantees.
pub async fn topic<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Ports>,
{
    checks!(make:
        every_subscriber_sees_every_message_in_the_same_order,
        a_subscription_starts_where_it_was_asked_to,
        a_subscription_hears_only_its_prefix,
        an_id_is_published_once,
        many_are_published_in_their_order_and_once,
        what_is_refused_lets_nothing_through,
        a_dropped_next_loses_nothing,
        what_is_too_large_is_refused,
        whoever_fell_too_far_behind_is_told,
    );
}

async fn publish(topic: &dyn Topic, subject: &str, id: &str) -> Cursor {
    topic
        .publish(subject, id, Bytes::from(id.to_owned()))
        .await
        .expect("publish")
}

async fn subscribe(topic: &dyn Topic, prefix: &str, start: Start) -> Box<dyn TopicStream> {
    topic.subscribe(prefix, start).await.expect("subscribe")
}

async fn ids(stream: &mut dyn TopicStream, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(stream.next().await.expect("a message").id);
    }
    found
}

/// Fan-out, one order.
async fn every_subscriber_sees_every_message_in_the_same_order(ports: Ports) {
    let topic = &*ports.topic;
    assert_eq!(topic.newest().await.expect("newest"), Cursor(0));
    let mut one = subscribe(topic, "", Start::Now).await;
    let mut two = subscribe(topic, "", Start::Now).await;
    let names: Vec<String> = (0..50).map(|number| format!("m{number}")).collect();
    join_all(names.iter().map(|id| publish(topic, "s", id))).await;
    let (first, second) = (ids(&mut *one, 50).await, ids(&mut *two, 50).await);
    assert_eq!(first, second);
    assert_eq!(
        first
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        50
    );
}

/// Now, oldest, behind a cursor; a cursor of nowhere is refused.
async fn a_subscription_starts_where_it_was_asked_to(ports: Ports) {
    let topic = &*ports.topic;
    let first = publish(topic, "s", "m1").await;
    let second = publish(topic, "s", "m2").await;
    assert!(Cursor(0) < first && first < second);
    assert_eq!(topic.newest().await.expect("newest"), second);
    let mut now = subscribe(topic, "", Start::Now).await;
    let mut oldest = subscribe(topic, "", Start::Oldest).await;
    let mut after = subscribe(topic, "", Start::After(first)).await;
    let mut end = subscribe(topic, "", Start::After(second)).await;
    publish(topic, "s", "m3").await;
    assert_eq!(ids(&mut *now, 1).await, ["m3"]);
    assert_eq!(ids(&mut *oldest, 3).await, ["m1", "m2", "m3"]);
    assert_eq!(ids(&mut *after, 2).await, ["m2", "m3"]);
    assert_eq!(ids(&mut *end, 1).await, ["m3"]);
    let future = topic.subscribe("", Start::After(Cursor(u64::MAX))).await;
    assert!(matches!(future.err(), Some(TopicError::Expired { .. })));
}

/// A prefix ends at a dot or is whole.
async fn a_subscription_hears_only_its_prefix(ports: Ports) {
    let topic = &*ports.topic;
    let mut stream = subscribe(topic, "events.execution.", Start::Now).await;
    for (subject, id) in [
        ("events.front50.x", "1"),
        ("events.execution.a", "2"),
        ("events.execution.b", "3"),
    ] {
        publish(topic, subject, id).await;
    }
    let message = stream.next().await.expect("a message");
    assert_eq!(
        (message.subject.as_str(), message.id.as_str()),
        ("events.execution.a", "2")
    );
    assert_eq!(message.payload, "2");
    assert_eq!(ids(&mut *stream, 1).await, ["3"]);
    stays_pending("other subjects are not heard", stream.next()).await;
}

/// Publishing again answers with the first cursor and tells nobody.
async fn an_id_is_published_once(ports: Ports) {
    let topic = &*ports.topic;
    let mut stream = subscribe(topic, "", Start::Now).await;
    let cursors = join_all((0..5).map(|_| publish(topic, "s", "m"))).await;
    assert!(
        cursors.iter().all(|cursor| *cursor == cursors[0]),
        "{cursors:?}"
    );
    assert_eq!(publish(topic, "s", "m").await, cursors[0]);
    publish(topic, "s", "n").await;
    assert_eq!(ids(&mut *stream, 2).await, ["m", "n"]);
}

/// However many they are, whether some are there already, or twice among them.
async fn many_are_published_in_their_order_and_once(ports: Ports) {
    let topic = &*ports.topic;
    for count in [0, 1, 3, 40, 1_200] {
        let id = |number: usize| format!("m{count}.{number}");
        let message = |number| NewMessage {
            subject: format!("s.{}", number % 3),
            id: id(number),
            payload: Bytes::from(id(number)),
        };
        let messages: Vec<NewMessage> = (0..count).map(message).collect();
        let mut stream = subscribe(topic, "s.", Start::Now).await;
        topic.publish_all(&messages).await.expect("publish");
        let first = ids(&mut *stream, count).await;
        assert_eq!(first, (0..count).map(id).collect::<Vec<_>>());
        let again: Vec<NewMessage> = (0..count)
            .flat_map(|n| [message(n), message(n + 1)])
            .collect();
        topic.publish_all(&again).await.expect("publish");
        if count > 0 {
            assert_eq!(ids(&mut *stream, 1).await, [id(count)]);
        }
        stays_pending("nothing is published twice", stream.next()).await;
    }
}

/// One that is refused does not let those behind it through.
async fn what_is_refused_lets_nothing_through(ports: Ports) {
    let topic = &*ports.topic;
    let mut stream = subscribe(topic, "", Start::Now).await;
    let message = |number: usize| NewMessage {
        subject: "s".to_owned(),
        id: format!("m{number}"),
        payload: Bytes::from(vec![
            0;
            if number == 30 {
                limit::MESSAGE_BYTES_MAX + 1
            } else {
                1
            }
        ]),
    };
    let messages: Vec<NewMessage> = (0..60).map(message).collect();
    let outcome = topic.publish_all(&messages).await;
    assert!(
        matches!(outcome, Err(TopicError::TooLarge { .. })),
        "{outcome:?}"
    );
    topic.publish_all(&messages[..30]).await.expect("publish");
    publish(topic, "s", "end").await;
    let mut found = ids(&mut *stream, 31).await;
    assert_eq!(found.pop().as_deref(), Some("end"));
    assert_eq!(found, (0..30).map(|n| format!("m{n}")).collect::<Vec<_>>());
}

/// `next` is cancel-safe.
async fn a_dropped_next_loses_nothing(ports: Ports) {
    let topic = &*ports.topic;
    let mut stream = subscribe(topic, "", Start::Now).await;
    for number in 0..20 {
        let id = format!("m{number}");
        let early = tokio::select! {
            biased;
            _ = publish(topic, "s", &id) => None,
            message = stream.next() => Some(message),
        };
        let message = match early {
            Some(message) => message,
            None => stream.next().await,
        };
        assert_eq!(message.expect("a message").id, id);
    }
}

/// The limits of every adapter are the same.
async fn what_is_too_large_is_refused(ports: Ports) {
    let more = Bytes::from(vec![0; limit::MESSAGE_BYTES_MAX + 1]);
    let outcome = ports.topic.publish("s", "m", more).await;
    assert!(
        matches!(outcome, Err(TopicError::TooLarge { .. })),
        "{outcome:?}"
    );
}

/// Loss is bounded and never silent.
async fn whoever_fell_too_far_behind_is_told(ports: Ports) {
    let topic = &*ports.topic;
    let first = publish(topic, "s", "first").await;
    let mut slow = subscribe(topic, "", Start::After(first)).await;
    let mut cursors = Vec::new();
    let all: Vec<usize> = (0..limit::TOPIC_MESSAGES_MAX + 10).collect();
    for some in all.chunks(2_000) {
        let sent = some.iter().map(|number| async move {
            topic
                .publish("s", &format!("m{number}"), Bytes::from_static(b"x"))
                .await
        });
        cursors.extend(
            join_all(sent)
                .await
                .into_iter()
                .map(|sent| sent.expect("publish")),
        );
    }
    let newest = cursors.iter().max().copied().expect("some were published");
    let Err(TopicError::Expired { asked, oldest }) = slow.next().await else {
        panic!("a subscriber that fell behind was not told");
    };
    assert_eq!(asked, first);
    assert!(first < oldest && oldest < newest);
    assert_eq!(slow.next().await.expect("it goes on").cursor, oldest);
    let late = topic.subscribe("", Start::After(first)).await;
    assert!(matches!(late.err(), Some(TopicError::Expired { .. })));
    let mut kept = subscribe(topic, "", Start::Oldest).await;
    assert_eq!(kept.next().await.expect("the oldest").cursor, oldest);
}
