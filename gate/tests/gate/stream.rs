//! The event stream: frames, filters, resuming, limits, slow clients, the end.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use gate::Limits;
use kork::ports::{Cursor, Start, Topic, TopicError, TopicStream};
use kork_model::{SuiteEvent, Timestamp};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::services::{TestGate, config, in_memory};

/// How long a condition may take to become true.
const PATIENCE: Duration = Duration::from_secs(10);

async fn publish(
    topic: &dyn Topic,
    id: &str,
    application: &str,
    kind: &str,
    data: Value,
) -> Cursor {
    let event = SuiteEvent {
        id: id.to_owned(),
        kind: kind.to_owned(),
        time: Timestamp(1),
        application: Some(application.to_owned()),
        subject: Some(format!("exec-{id}")),
        data,
    };
    let payload = Bytes::from(serde_json::to_vec(&event).unwrap());
    let subject = format!("events.execution.{application}");
    topic.publish(&subject, id, payload).await.unwrap()
}

/// What a client sees of the cursor of a message with one event.
fn id_of(cursor: Cursor) -> u64 {
    cursor.0 * 1_024 + 1_023
}

/// Frames of a stream as text, one by one.
struct Frames {
    answer: Response,
    read: String,
}

impl Frames {
    async fn open(gate: &TestGate, query: &str, last: Option<u64>) -> Self {
        let mut request = gate.request("GET", &format!("/events{query}"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.headers()["content-type"],
            "text/event-stream;charset=UTF-8"
        );
        Self {
            answer,
            read: String::new(),
        }
    }

    /// The next frame, none when the stream has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((frame, rest)) = self.read.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(frame);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("no frame came, only {:?}", self.read));
            self.read
                .push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    /// The next frame with an event: (id, type, data).
    async fn event(&mut self) -> (u64, String, Value) {
        loop {
            let frame = self.next().await.expect("the stream goes on");
            let line = |name: &str| {
                frame
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::to_owned)
            };
            if let (Some(id), Some(kind), Some(data)) =
                (line("id: "), line("event: "), line("data: "))
            {
                return (
                    id.parse().unwrap(),
                    kind,
                    serde_json::from_str(&data).unwrap(),
                );
            }
        }
    }
}

#[tokio::test]
async fn events_come_as_they_happen_and_only_the_wanted_ones() {
    let gate = TestGate::start().await;
    let mut all = Frames::open(&gate, "", None).await;
    let mut some = Frames::open(&gate, "?application=SHOP&types=orca:stage:*", None).await;
    let mut one = Frames::open(&gate, "?execution=exec-3", None).await;
    let topic = &*gate.ports.topic;
    publish(topic, "1", "web", "orca:stage:starting", json!({})).await;
    publish(topic, "2", "shop", "orca:pipeline:starting", json!({})).await;
    let third = publish(
        topic,
        "3",
        "shop",
        "orca:stage:complete",
        json!({"text": "a\nb"}),
    )
    .await;
    for id in ["1", "2", "3"] {
        assert_eq!(all.event().await.2["id"], id);
    }
    for stream in [&mut some, &mut one] {
        let (id, kind, data) = stream.event().await;
        assert_eq!((id, kind.as_str()), (id_of(third), "orca:stage:complete"));
        assert_eq!(data["data"]["text"], "a\nb");
        assert_eq!(data["type"], "orca:stage:complete");
    }
    gate.stop().await;
}

#[tokio::test]
async fn a_client_comes_back_into_the_middle_of_a_decision() {
    let gate = TestGate::start().await;
    let event = |n: usize| SuiteEvent {
        id: format!("E:1:{n}"),
        kind: format!("k{n}"),
        time: Timestamp(1),
        application: None,
        subject: None,
        data: json!({}),
    };
    let mut all = Frames::open(&gate, "", None).await;
    let events: Vec<SuiteEvent> = (0..3).map(event).collect();
    for told in kork_model::event::messages(&events).unwrap() {
        let payload = Bytes::from(told.payload);
        let published = gate
            .ports
            .topic
            .publish("events.execution.a", &told.id, payload);
        published.await.unwrap();
    }
    publish(&*gate.ports.topic, "2", "shop", "k3", json!({})).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let (id, kind, _) = all.event().await;
        assert_eq!(kind, format!("k{n}"));
        ids.push(id);
    }
    assert!(ids.is_sorted());
    for (n, id) in ids.into_iter().take(3).enumerate() {
        let mut again = Frames::open(&gate, "", Some(id)).await;
        for next in n + 1..4 {
            assert_eq!(again.event().await.1, format!("k{next}"));
        }
    }
    gate.stop().await;
}

#[tokio::test]
async fn a_client_comes_back_where_it_left() {
    let gate = TestGate::start().await;
    let topic = &*gate.ports.topic;
    let first = id_of(publish(topic, "1", "shop", "a", json!({})).await);
    publish(topic, "2", "shop", "b", json!({})).await;
    publish(topic, "3", "shop", "c", json!({})).await;
    let mut again = Frames::open(&gate, "", Some(first)).await;
    assert_eq!(again.event().await.1, "b");
    assert_eq!(again.event().await.1, "c");
    let mut again = Frames::open(&gate, &format!("?after={first}&types=c"), None).await;
    assert_eq!(again.event().await.1, "c");
    let bad = gate
        .request("GET", "/events")
        .header("Last-Event-ID", "x")
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), 400);
    gate.stop().await;
}

/// A topic that has forgotten what is behind a cursor.
struct Forgetful {
    inner: Arc<dyn Topic>,
    oldest: Cursor,
}

#[async_trait]
impl Topic for Forgetful {
    async fn publish(&self, subject: &str, id: &str, payload: Bytes) -> Result<Cursor, TopicError> {
        self.inner.publish(subject, id, payload).await
    }

    async fn subscribe(
        &self,
        prefix: &str,
        start: Start,
    ) -> Result<Box<dyn TopicStream>, TopicError> {
        match start {
            Start::After(asked) if asked.0 + 1 < self.oldest.0 => Err(TopicError::Expired {
                asked,
                oldest: self.oldest,
            }),
            Start::Oldest => {
                self.inner
                    .subscribe(prefix, Start::After(Cursor(self.oldest.0 - 1)))
                    .await
            }
            start => self.inner.subscribe(prefix, start).await,
        }
    }

    async fn newest(&self) -> Result<Cursor, TopicError> {
        self.inner.newest().await
    }
}

#[tokio::test]
async fn who_was_away_too_long_is_told_to_load_again() {
    let mut ports = in_memory();
    let mut cursors = Vec::new();
    for id in ["1", "2", "3", "4"] {
        cursors.push(publish(&*ports.topic, id, "shop", id, json!({})).await);
    }
    ports.topic = Arc::new(Forgetful {
        inner: ports.topic,
        oldest: cursors[2],
    });
    let gate = TestGate::start_with(config(), ports);
    let mut stream = Frames::open(&gate, "?types=4", Some(id_of(cursors[0]))).await;
    let (id, kind, data) = stream.event().await;
    assert_eq!(
        (id, kind.as_str()),
        (id_of(Cursor(cursors[2].0 - 1)), "reset")
    );
    assert_eq!(data["oldest"], id + 1);
    assert_eq!(stream.event().await.1, "4");
    let mut stream = Frames::open(&gate, "", Some(id)).await;
    assert_eq!(
        stream.event().await.1,
        "3",
        "the id of the reset can be resumed from"
    );
    gate.stop().await;
}

#[tokio::test]
async fn an_idle_stream_shows_signs_of_life() {
    let limits = Limits {
        event_heartbeat_ms: 30,
        ..Limits::default()
    };
    let gate = TestGate::start_limited(limits);
    let mut stream = Frames::open(&gate, "", None).await;
    let first = stream.next().await.unwrap();
    assert!(first.starts_with("retry: "), "{first}");
    for _ in 0..3 {
        assert_eq!(stream.next().await.unwrap(), ": still here");
    }
    gate.stop().await;
}

#[tokio::test]
async fn who_wants_few_events_keeps_a_young_cursor() {
    let limits = Limits {
        event_heartbeat_ms: 30,
        ..Limits::default()
    };
    let gate = TestGate::start_limited(limits);
    let mut stream = Frames::open(&gate, "?types=rare", None).await;
    stream.next().await.expect("the first frame");
    let topic = &*gate.ports.topic;
    publish(topic, "1", "shop", "often", json!({})).await;
    let last = publish(topic, "2", "shop", "often", json!({})).await;
    let moved = format!("id: {}\n: still here", id_of(last));
    loop {
        // The signs of life before it are the comment alone, or the cursor of the first event.
        let frame = stream.next().await.expect("the stream goes on");
        assert!(frame.ends_with(": still here"), "{frame}");
        if frame == moved {
            break;
        }
    }
    assert_eq!(stream.next().await.unwrap(), ": still here", "said once");
    let rare = publish(topic, "3", "shop", "rare", json!({})).await;
    assert_eq!(stream.event().await.0, id_of(rare));
    gate.stop().await;
}

/// Opens streams until one is let in.
async fn eventually_open(gate: &TestGate) -> Response {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = gate.send("GET", "/events").await;
        if answer.status() == 200 {
            return answer;
        }
        let last = format!("{} {:?}", answer.status(), answer.text().await);
        assert!(
            tokio::time::Instant::now() < deadline,
            "no slot became free: {last}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn clients_are_counted_and_leaving_frees_the_place() {
    let gate = TestGate::start_limited(Limits {
        event_clients_max: 1,
        ..Limits::default()
    });
    let first = Frames::open(&gate, "", None).await;
    let refused = gate.send("GET", "/events").await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "GATE-0014");
    drop(first);
    drop(eventually_open(&gate).await);
    gate.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_alone() {
    let limits = Limits {
        event_clients_max: 2,
        event_stall_ms: 200,
        ..Limits::default()
    };
    let gate = TestGate::start_limited(limits);
    let mut good = Frames::open(&gate, "", None).await;
    let address = gate.base.strip_prefix("http://").unwrap();
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck
        .write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut start = [0_u8; 12];
    stuck.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    assert_eq!(
        gate.send("GET", "/events").await.status(),
        429,
        "both places are taken"
    );
    let big = "x".repeat(200 * 1024);
    for number in 0..100 {
        let (id, data) = (number.to_string(), json!({"big": big}));
        publish(&*gate.ports.topic, &id, "shop", "big", data).await;
        assert_eq!(
            good.event().await.2["id"],
            id,
            "the other client gets everything"
        );
    }
    drop(eventually_open(&gate).await);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stuck.read_to_end(&mut rest)).await;
    // Whether the end is seen as such or as a reset depends on what was in flight.
    drop(ended.expect("the connection is closed"));
    assert!(rest.len() < 100 * 200 * 1024, "not everything was sent");
    gate.stop().await;
}

#[tokio::test]
async fn streams_end_when_gate_stops() {
    let gate = TestGate::start().await;
    let mut stream = Frames::open(&gate, "", None).await;
    let idle = gate.send("GET", "/version").await;
    assert_eq!(idle.status(), 200);
    gate.chassis.shutdown.request();
    while let Some(frame) = stream.next().await {
        assert!(!frame.starts_with("id:"), "{frame}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn many_readers_see_the_same_order() {
    let gate = TestGate::start().await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(Frames::open(&gate, "", None).await);
    }
    for number in 0..20 {
        publish(
            &*gate.ports.topic,
            &number.to_string(),
            "shop",
            "n",
            json!({"n": number}),
        )
        .await;
    }
    let read = futures_util::stream::iter(readers).then(|mut reader| async move {
        let mut numbers = Vec::new();
        for _ in 0..20 {
            numbers.push(reader.event().await.2["data"]["n"].as_u64().unwrap());
        }
        numbers
    });
    let expected: Vec<u64> = (0..20).collect();
    assert!(
        read.all(|numbers| std::future::ready(numbers == expected))
            .await
    );
    gate.stop().await;
}
