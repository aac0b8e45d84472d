//! The contract of [`Queue`](crate::ports::Queue).

use std::{future::Future, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;

use super::checks;
use crate::ports::{Delivery, Enqueued, Ports, Queue, QueueError, limit};

const LEASE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(80);
const WAIT: Duration = Duration::from_secs(20);

/// Everything a work queue guarantees, except what needs the end of a process.
pub async fn queue<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Ports>,
{
    checks!(make:
        a_message_is_delivered_once_and_gone_after_its_ack,
        an_empty_queue_answers_after_the_wait,
        a_waiting_worker_wakes_when_a_message_comes,
        every_message_goes_to_one_worker,
        a_message_is_not_delivered_before_its_time,
        an_earlier_message_wakes_a_worker_that_waits_for_a_later_one,
        a_message_whose_lease_runs_out_is_delivered_again,
        a_lease_that_ran_out_acknowledges_nothing,
        an_extended_lease_holds_longer,
        a_nak_delivers_again_after_the_delay,
        the_same_id_is_not_added_while_it_waits_or_is_held,
        a_rejected_message_lies_with_the_dead_letters,
        queues_do_not_mix,
        what_is_too_large_is_refused,
        a_dropped_pull_loses_nothing,
    );
}

async fn put(queue: &dyn Queue, name: &str, id: &str) -> Enqueued {
    let payload = Bytes::from(format!("payload of {id}"));
    queue
        .enqueue(name, id, payload, None)
        .await
        .expect("enqueue")
}

async fn one(queue: &dyn Queue, name: &str, lease: Duration) -> Delivery {
    let mut taken = queue.pull(name, 1, lease, WAIT).await.expect("pull");
    assert_eq!(taken.len(), 1, "one message of {name} within {WAIT:?}");
    taken.remove(0)
}

async fn assert_empty(queue: &dyn Queue, name: &str) {
    let taken = queue
        .pull(name, 10, LEASE, Duration::ZERO)
        .await
        .expect("pull");
    assert!(taken.is_empty(), "{taken:?}");
}

/// The plain life of a message.
async fn a_message_is_delivered_once_and_gone_after_its_ack(ports: Ports) {
    let queue = &*ports.queue;
    assert_eq!(put(queue, "q", "m1").await, Enqueued::New);
    assert_eq!(queue.depth("q").await.expect("depth"), 1);
    let delivery = one(queue, "q", LEASE).await;
    assert_eq!((delivery.id.as_str(), delivery.attempt), ("m1", 1));
    assert_eq!(delivery.payload, "payload of m1");
    assert_empty(queue, "q").await;
    assert_eq!(
        queue.depth("q").await.expect("depth"),
        1,
        "a held message counts"
    );
    queue.ack(&delivery.lease).await.expect("ack");
    assert_eq!(queue.depth("q").await.expect("depth"), 0);
    assert_empty(queue, "q").await;
}

/// `wait` bounds a pull.
async fn an_empty_queue_answers_after_the_wait(ports: Ports) {
    let start = ports.clock.now();
    assert!(
        ports
            .queue
            .pull("q", 1, LEASE, SHORT)
            .await
            .expect("pull")
            .is_empty()
    );
    assert!(ports.clock.now() >= start.plus_ms(SHORT.as_millis() as u64 - 1));
}

/// No poll interval stands between a message and its worker.
async fn a_waiting_worker_wakes_when_a_message_comes(ports: Ports) {
    let queue = &*ports.queue;
    for number in 0..20 {
        let id = format!("m{number}");
        let (delivery, _) = futures_util::join!(one(queue, "q", LEASE), put(queue, "q", &id));
        assert_eq!(delivery.id, id);
        queue.ack(&delivery.lease).await.expect("ack");
    }
}

/// By one worker at a time.
async fn every_message_goes_to_one_worker(ports: Ports) {
    let queue = &*ports.queue;
    let workers = (0..5).map(|_| async {
        let mut done = Vec::new();
        loop {
            let taken = queue.pull("q", 3, LEASE, SHORT * 10).await.expect("pull");
            if taken.is_empty() {
                return done;
            }
            for delivery in taken {
                queue.ack(&delivery.lease).await.expect("ack");
                done.push(delivery.id);
            }
        }
    });
    let producer = join_all((0..100).map(|number| async move {
        put(queue, "q", &format!("{number:03}")).await;
    }));
    let (done, _) = futures_util::join!(join_all(workers), producer);
    let mut done: Vec<String> = done.into_iter().flatten().collect();
    done.sort();
    let expected: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    assert_eq!(done, expected);
}

/// Deliver-at is a lower bound, and the order is that of the times.
async fn a_message_is_not_delivered_before_its_time(ports: Ports) {
    let (queue, start) = (&*ports.queue, ports.clock.now());
    for (id, delay_ms) in [("late", 160), ("soon", 80)] {
        let due = Some(start.plus_ms(delay_ms));
        queue
            .enqueue("q", id, Bytes::new(), due)
            .await
            .expect("enqueue");
    }
    assert_empty(queue, "q").await;
    for (id, delay_ms) in [("soon", 80), ("late", 160)] {
        let delivery = one(queue, "q", LEASE).await;
        assert_eq!(delivery.id, id);
        assert!(
            ports.clock.now() >= start.plus_ms(delay_ms),
            "{id} came early"
        );
    }
}

/// A worker that sleeps until a later message hears of an earlier one.
async fn an_earlier_message_wakes_a_worker_that_waits_for_a_later_one(ports: Ports) {
    let queue = &*ports.queue;
    let far = ports.clock.now().plus_ms(3_600_000);
    queue
        .enqueue("q", "far", Bytes::new(), Some(far))
        .await
        .expect("enqueue");
    let (delivery, _) = futures_util::join!(one(queue, "q", LEASE), put(queue, "q", "near"));
    assert_eq!(delivery.id, "near");
}

/// At least once.
async fn a_message_whose_lease_runs_out_is_delivered_again(ports: Ports) {
    let queue = &*ports.queue;
    put(queue, "q", "m").await;
    let start = ports.clock.now();
    let first = one(queue, "q", SHORT).await;
    let second = one(queue, "q", LEASE).await;
    assert!(
        ports.clock.now() >= start.plus_ms(SHORT.as_millis() as u64),
        "the lease was cut short"
    );
    assert_eq!((second.id.as_str(), second.attempt), ("m", 2));
    assert_eq!(second.payload, first.payload);
    assert_ne!(second.lease, first.lease);
}

/// The worker that was too slow is told, and disturbs nobody.
async fn a_lease_that_ran_out_acknowledges_nothing(ports: Ports) {
    let queue = &*ports.queue;
    put(queue, "q", "m").await;
    let lost = one(queue, "q", SHORT).await.lease;
    let held = one(queue, "q", LEASE).await.lease;
    for outcome in [
        queue.ack(&lost).await,
        queue.nak(&lost, Duration::ZERO).await,
        queue.extend(&lost, LEASE).await,
        queue.reject(&lost, "late").await,
    ] {
        assert!(
            matches!(outcome, Err(QueueError::LeaseLost { .. })),
            "{outcome:?}"
        );
    }
    assert_empty(queue, "q").await;
    queue.ack(&held).await.expect("the lease that holds");
    let twice = queue.ack(&held).await;
    assert!(
        matches!(twice, Err(QueueError::LeaseLost { .. })),
        "{twice:?}"
    );
    assert_eq!(queue.depth("q").await.expect("depth"), 0);
}

/// A sign of life keeps the message.
async fn an_extended_lease_holds_longer(ports: Ports) {
    let queue = &*ports.queue;
    put(queue, "q", "m").await;
    let start = ports.clock.now();
    let delivery = one(queue, "q", SHORT * 5).await;
    queue.extend(&delivery.lease, LEASE).await.expect("extend");
    ports
        .clock
        .sleep_until(start.plus_ms(SHORT.as_millis() as u64 * 6))
        .await;
    assert_empty(queue, "q").await;
    queue
        .ack(&delivery.lease)
        .await
        .expect("the lease still holds");
}

/// Not before the delay, and then as the next attempt.
async fn a_nak_delivers_again_after_the_delay(ports: Ports) {
    let queue = &*ports.queue;
    put(queue, "q", "m").await;
    let first = one(queue, "q", LEASE).await;
    let start = ports.clock.now();
    queue.nak(&first.lease, SHORT).await.expect("nak");
    assert_empty(queue, "q").await;
    let second = one(queue, "q", LEASE).await;
    assert!(ports.clock.now() >= start.plus_ms(SHORT.as_millis() as u64));
    assert_eq!(second.attempt, 2);
    queue.nak(&second.lease, Duration::ZERO).await.expect("nak");
    assert_eq!(one(queue, "q", LEASE).await.attempt, 3);
}

/// Ids are deduplicated exactly as long as the message is in the queue.
async fn the_same_id_is_not_added_while_it_waits_or_is_held(ports: Ports) {
    let queue = &*ports.queue;
    let racers = join_all((0..8).map(|_| put(queue, "q", "m"))).await;
    assert_eq!(
        racers
            .iter()
            .filter(|outcome| **outcome == Enqueued::New)
            .count(),
        1
    );
    let delivery = one(queue, "q", LEASE).await;
    assert_eq!(
        put(queue, "q", "m").await,
        Enqueued::Duplicate,
        "while held"
    );
    assert_eq!(
        put(queue, "other", "m").await,
        Enqueued::New,
        "another queue"
    );
    queue.ack(&delivery.lease).await.expect("ack");
    assert_eq!(put(queue, "q", "m").await, Enqueued::New, "after the ack");
    assert_eq!(one(queue, "q", LEASE).await.attempt, 1);
}

/// With the reason, oldest first; the queue itself is rid of it.
async fn a_rejected_message_lies_with_the_dead_letters(ports: Ports) {
    let queue = &*ports.queue;
    for id in ["m1", "m2"] {
        put(queue, "q", id).await;
        let delivery = one(queue, "q", LEASE).await;
        queue
            .reject(&delivery.lease, &format!("{id} is unreadable"))
            .await
            .expect("reject");
    }
    assert_empty(queue, "q").await;
    assert_eq!(queue.depth("q").await.expect("depth"), 0);
    let dead = queue.dead("q").await.expect("dead");
    let expected = ["m1", "m2"].map(|id| {
        (
            id.to_owned(),
            format!("{id} is unreadable"),
            Bytes::from(format!("payload of {id}")),
        )
    });
    assert_eq!(dead, expected);
    assert!(queue.dead("other").await.expect("dead").is_empty());
    assert_eq!(
        put(queue, "q", "m1").await,
        Enqueued::New,
        "a dead letter blocks no id"
    );
}

/// A name is a queue.
async fn queues_do_not_mix(ports: Ports) {
    let queue = &*ports.queue;
    put(queue, "task.orca", "m").await;
    assert_empty(queue, "task").await;
    assert_empty(queue, "task.orca.x").await;
    assert_eq!(one(queue, "task.orca", LEASE).await.id, "m");
}

/// The limits of every adapter are the same.
async fn what_is_too_large_is_refused(ports: Ports) {
    let queue = &*ports.queue;
    let exact = Bytes::from(vec![0; limit::MESSAGE_BYTES_MAX]);
    queue
        .enqueue("q", "exact", exact.clone(), None)
        .await
        .expect("the limit itself is allowed");
    assert_eq!(one(queue, "q", LEASE).await.payload, exact);
    let more = Bytes::from(vec![0; limit::MESSAGE_BYTES_MAX + 1]);
    let name = "n".repeat(limit::NAME_BYTES_MAX + 1);
    for outcome in [
        queue.enqueue("q", "more", more, None).await,
        queue.enqueue(&name, "id", Bytes::new(), None).await,
        queue.enqueue("q", &name, Bytes::new(), None).await,
    ] {
        assert!(
            matches!(outcome, Err(QueueError::TooLarge { .. })),
            "{outcome:?}"
        );
    }
}

/// What a dropped pull had taken comes back when its lease runs out.
async fn a_dropped_pull_loses_nothing(ports: Ports) {
    let queue = &*ports.queue;
    for number in 0..10 {
        let id = format!("m{number}");
        let pull = queue.pull("q", 1, SHORT, WAIT);
        tokio::select! {
            biased;
            _ = put(queue, "q", &id) => {}
            _ = pull => {}
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 10 {
        let delivery = one(queue, "q", LEASE).await;
        queue.ack(&delivery.lease).await.expect("ack");
        seen.insert(delivery.id);
    }
    assert_eq!(queue.depth("q").await.expect("depth"), 0);
}
