//! What NATS and HTTP do in this very run when nothing but the shape of our work is there: no engine, no
//! JSON, no API. The limits that the suite is held against.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use async_nats::{
    Client, HeaderMap,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{
        self,
        consumer::{AckPolicy, PullConsumer, pull},
        publish::PublishAck,
        response::Response,
        stream::{Config, RetentionPolicy},
    },
};
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use crate::{STEPS, percentile};

/// How long a shape with many in flight runs.
const RUN: Duration = Duration::from_secs(4);
/// Round trips of a shape that goes one after the other.
const TRIPS: usize = 500;
/// Messages from which on an appender makes a batch, and of the largest.
const BATCH: std::ops::RangeInclusive<usize> = 6..=500;
/// Appends of an execution of [`STEPS`] steps: begin, each step, end.
const APPENDS: usize = STEPS + 2;

type Waiting<T> = Arc<Mutex<HashMap<u64, oneshot::Sender<T>>>>;

/// A body as large as a small record.
fn body(number: u64) -> Bytes {
    let mut bytes = vec![b'x'; 300];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

fn number(body: &[u8]) -> u64 {
    body.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

fn expecting(last: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string());
    headers
}

/// A connection of its own.
struct Bare {
    client: Client,
    context: jetstream::Context,
}

impl Bare {
    async fn connect(url: &str) -> Self {
        let client = async_nats::connect(url).await.expect("NATS is there");
        Self {
            context: jetstream::new(client.clone()),
            client,
        }
    }

    async fn stream(&self, name: &str, retention: RetentionPolicy) {
        let made = self.context.create_stream(Config {
            name: name.to_owned(),
            subjects: vec![format!("{name}.>")],
            retention,
            allow_atomic_publish: true,
            ..Config::default()
        });
        made.await.expect("the stream is made");
    }

    async fn forget(&self, names: &[&str]) {
        for name in names {
            let gone = self.context.delete_stream(name).await;
            gone.expect("the stream is removed");
        }
    }

    async fn append(&self, subject: &str, last: u64, body: Bytes) -> u64 {
        let sent = self
            .context
            .publish_with_headers(subject.to_owned(), expecting(last), body)
            .await;
        let stored = async { sent?.await }.await;
        stored.expect("the append is right").sequence
    }

    async fn publish(&self, subject: &str, body: Bytes) {
        let sent = self.context.publish(subject.to_owned(), body).await;
        let stored = async { sent?.await }.await;
        stored.expect("the message is stored");
    }

    /// Messages of a stream as they come.
    async fn consume(&self, stream: &str) -> pull::Stream {
        let stream = self.context.get_stream(stream).await;
        let consumer: PullConsumer = stream
            .expect("the stream is there")
            .create_consumer(pull::Config {
                durable_name: Some("w".to_owned()),
                ack_policy: AckPolicy::Explicit,
                max_ack_pending: -1,
                ..pull::Config::default()
            })
            .await
            .expect("the consumer is made");
        let messages = consumer.stream().max_messages_per_batch(1_000).messages();
        messages.await.expect("messages can be pulled")
    }
}

/// Runs `one` again and again, so many at the same moment; steps per second.
async fn rate<F, Fut>(in_flight: usize, one: F) -> f64
where
    F: Fn(u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    let (one, next) = (Arc::new(one), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let workers = (0..in_flight).map(|_| {
        let (one, next) = (Arc::clone(&one), Arc::clone(&next));
        tokio::spawn(async move {
            let mut done = 0;
            while began.elapsed() < RUN {
                one(next.fetch_add(1, Ordering::Relaxed)).await;
                done += STEPS;
            }
            done
        })
    });
    let done = join_all(workers).await.into_iter();
    let done: usize = done.map(|d| d.expect("no worker fails")).sum();
    done as f64 / began.elapsed().as_secs_f64()
}

/// An append that waits for its batch.
struct Append {
    subject: String,
    last: u64,
    stored: oneshot::Sender<u64>,
}

/// Steps per second of appends alone, gathered into atomic batches.
pub(crate) async fn appended(url: &str, in_flight: usize) -> f64 {
    let bare = Bare::connect(url).await;
    bare.stream("EX", RetentionPolicy::Limits).await;
    let (sender, receiver) = mpsc::unbounded_channel();
    let appender = tokio::spawn(gather(Bare::connect(url).await, receiver));
    let steps = rate(in_flight, move |id| {
        let sender = sender.clone();
        async move {
            let mut last = 0;
            for _ in 0..APPENDS {
                let (stored, answer) = oneshot::channel();
                let subject = format!("EX.{id}");
                let append = Append {
                    subject,
                    last,
                    stored,
                };
                assert!(sender.send(append).is_ok(), "the appender runs");
                last = answer.await.expect("the appender answers");
            }
        }
    })
    .await;
    appender.abort();
    bare.forget(&["EX"]).await;
    steps
}

async fn gather(bare: Bare, mut receiver: mpsc::UnboundedReceiver<Append>) {
    let mut appends = Vec::new();
    for batch in 0_u64.. {
        if receiver.recv_many(&mut appends, *BATCH.end()).await == 0 {
            return;
        }
        if !BATCH.contains(&appends.len()) {
            let bare = &bare;
            let each = appends.drain(..).map(|append| async move {
                let at = bare.append(&append.subject, append.last, body(0)).await;
                append.stored.send(at).expect("somebody waits");
            });
            join_all(each).await;
            continue;
        }
        let last = together(&bare, batch, &appends).await;
        let first = last + 1 - appends.len() as u64;
        for (at, append) in (first..).zip(appends.drain(..)) {
            append.stored.send(at).expect("somebody waits");
        }
    }
}

async fn together(bare: &Bare, batch: u64, appends: &[Append]) -> u64 {
    let mut answer = None;
    for (n, append) in (1..).zip(appends) {
        let mut headers = expecting(append.last);
        headers.insert("Nats-Batch-Id", format!("b{batch}"));
        headers.insert("Nats-Batch-Sequence", n.to_string());
        let subject = append.subject.clone();
        if n < appends.len() {
            let sent = bare.client.publish_with_headers(subject, headers, body(0));
            sent.await.expect("the connection is there");
        } else {
            headers.insert("Nats-Batch-Commit", "1");
            let asked = bare.client.request_with_headers(subject, headers, body(0));
            answer = Some(asked.await.expect("NATS answers"));
        }
    }
    let payload = answer.expect("a batch has a last message").payload;
    match serde_json::from_slice(&payload).expect("an answer is JSON") {
        Response::<PublishAck>::Ok(ack) => ack.sequence,
        Response::Err { error } => panic!("a right batch is refused: {error}"),
    }
}

/// A worker on `CMD` that answers on `RES`, and whoever waits for the answers.
async fn worker(url: &str, waiting: Waiting<jetstream::Message>) -> [AbortHandle; 2] {
    let (takes, hears) = (Bare::connect(url).await, Bare::connect(url).await);
    let mut orders = takes.consume("CMD").await;
    let works = tokio::spawn(async move {
        let takes = Arc::new(takes);
        while let Some(Ok(order)) = orders.next().await {
            let takes = Arc::clone(&takes);
            tokio::spawn(async move {
                takes.publish("RES.a", order.payload.clone()).await;
                order.ack().await.expect("the order is done");
            });
        }
    });
    let mut answers = hears.consume("RES").await;
    let listens = tokio::spawn(async move {
        while let Some(Ok(answer)) = answers.next().await {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let waits = waiting.remove(&number(&answer.payload));
            waits.map(|sender| sender.send(answer).ok());
        }
    });
    [works.abort_handle(), listens.abort_handle()]
}

/// Steps per second when each goes to a worker over one queue and back over another: four durable writes.
pub(crate) async fn dispatched(url: &str, in_flight: usize) -> f64 {
    let bare = Arc::new(Bare::connect(url).await);
    bare.stream("EX", RetentionPolicy::Limits).await;
    bare.stream("CMD", RetentionPolicy::WorkQueue).await;
    bare.stream("RES", RetentionPolicy::WorkQueue).await;
    let waiting = Waiting::default();
    let tasks = worker(url, Arc::clone(&waiting)).await;
    let shared = Arc::clone(&bare);
    let steps = rate(in_flight, move |id| {
        let (bare, waiting) = (Arc::clone(&shared), Arc::clone(&waiting));
        async move {
            let subject = format!("EX.{id}");
            let mut last = bare.append(&subject, 0, body(0)).await;
            for step in 0..STEPS as u64 {
                let key = id * 8 + step;
                let (sender, answer) = oneshot::channel();
                let insert = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
                insert().insert(key, sender);
                last = bare.append(&subject, last, body(0)).await;
                bare.publish("CMD.a", body(key)).await;
                let answer = answer.await.expect("the worker answers");
                last = bare.append(&subject, last, body(0)).await;
                answer.ack().await.expect("the answer is taken");
            }
            bare.append(&subject, last, body(0)).await;
        }
    })
    .await;
    tasks.iter().for_each(AbortHandle::abort);
    bare.forget(&["EX", "CMD", "RES"]).await;
    steps
}

/// Milliseconds of one hop: a command on a queue, a worker that stores an event, and its asker who sees it.
pub(crate) async fn hop(url: &str) -> f64 {
    let bare = Bare::connect(url).await;
    bare.stream("CMD", RetentionPolicy::WorkQueue).await;
    bare.stream("RES", RetentionPolicy::Limits).await;
    let waiting: Waiting<jetstream::Message> = Waiting::default();
    let tasks = worker(url, Arc::clone(&waiting)).await;
    let mut times = Vec::with_capacity(TRIPS);
    for key in 0..TRIPS as u64 {
        let (sender, answer) = oneshot::channel();
        let insert = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
        insert().insert(key, sender);
        let began = Instant::now();
        bare.publish("CMD.a", body(key)).await;
        answer.await.expect("the worker answers");
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    tasks.iter().for_each(AbortHandle::abort);
    bare.forget(&["CMD", "RES"]).await;
    percentile(&mut times, 50)
}

/// Milliseconds of a bare handler that stores a body and answers.
pub(crate) async fn handler(url: &str) -> f64 {
    let bare = Bare::connect(url).await;
    bare.stream("HOOK", RetentionPolicy::Limits).await;
    let context = bare.context.clone();
    let server = HttpServer::new(move || {
        let context = web::Data::new(context.clone());
        App::new()
            .app_data(context)
            .route("/", web::post().to(hook))
    });
    let server = server.workers(1).disable_signals();
    let server = server.bind("127.0.0.1:0").expect("a port is free");
    let address = format!("http://{}/", server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    let mut times = posts(&address).await;
    handle.stop(false).await;
    bare.forget(&["HOOK"]).await;
    percentile(&mut times, 50)
}

async fn hook(context: web::Data<jetstream::Context>, body: Bytes) -> HttpResponse {
    let sent = context.publish("HOOK.a", body).await;
    match async { sent?.await }.await {
        Ok(_) => HttpResponse::Ok().json(serde_json::json!({"eventProcessed": true})),
        Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
    }
}

/// An HTTP client that keeps its connections.
pub(crate) fn client() -> reqwest::Client {
    let client = kork_http::client().no_proxy().build();
    client.expect("a client can be made")
}

/// The body of a successful answer.
pub(crate) async fn fetched(client: &reqwest::Client, url: &str) -> Result<Bytes, String> {
    let answer = client.get(url).send().await.map_err(|e| e.to_string())?;
    let answer = answer.error_for_status().map_err(|e| e.to_string())?;
    answer.bytes().await.map_err(|e| e.to_string())
}

/// Milliseconds of each of a row of posts of a small JSON, one after the other.
pub(crate) async fn posts(address: &str) -> Vec<f64> {
    let client = client();
    let mut times = Vec::with_capacity(TRIPS);
    for n in 0..TRIPS {
        let body = serde_json::json!({"build": {"number": n, "result": "SUCCESS"}});
        let post = client
            .post(address)
            .header("content-type", "application/json")
            .body(body.to_string());
        let began = Instant::now();
        let answer = post.send().await.expect("an answer comes");
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.bytes().await.expect("the answer has a body");
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    times
}
