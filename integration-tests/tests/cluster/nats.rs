//! The adapters on NATS while connections break, streams fill up or vanish, and servers go.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use integration_tests::{
    harness::eventually,
    servers::{Passes, Proxy},
};
use kork::ports::{Delivery, Enqueued, Journal, JournalError, Ports, Queue, QueueError, Revision};
use kork_cluster::ClusterConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, sleep, timeout},
};

use crate::contracts::Servers;

/// Whoever pulls has an answer by then.
const PULLED_MAX: Duration = Duration::from_mins(1);
/// A connection that broke is made again, and what waited for it goes on, within this time.
const SOON: Duration = Duration::from_secs(4);
/// The same for a connection that says nothing any more.
const LATER: Duration = Duration::from_secs(15);
/// More wake-ups than a subscription holds.
const WAKES: usize = 80_000;

/// The same suite directly, and through a proxy in front of NATS.
struct Ways {
    servers: Servers,
    config: ClusterConfig,
    proxy: Proxy,
    direct: Ports,
    proxied: Ports,
}

impl Ways {
    async fn start() -> Option<Self> {
        let servers = Servers::start().await?;
        let config = servers.config();
        let proxy = Proxy::start(&servers.nats.address(), 7).await;
        let mut behind = config.clone();
        behind.nats = format!("nats://{}", proxy.address());
        Some(Self {
            direct: kork_cluster::connect(&config).await.unwrap(),
            proxied: kork_cluster::connect(&behind).await.unwrap(),
            servers,
            config,
            proxy,
        })
    }

    /// An append through the proxy, of which nothing is heard until the connections are reset.
    async fn cut_append(&self, subject: &str, passes: Passes) -> Result<Revision, JournalError> {
        self.proxy.pass(passes);
        let append = self
            .proxied
            .journal
            .append(subject, Revision::NONE, text("own"));
        let cut = async {
            match passes {
                Passes::Requests => {
                    eventually("it is stored", SOON, async || self.has(subject).await).await;
                }
                // Somebody else is faster.
                _ if subject == "log.lost" => {
                    let other = self
                        .direct
                        .journal
                        .append(subject, Revision::NONE, text("other"));
                    other.await.unwrap();
                }
                _ => eventually("it is sent", SOON, async || self.is_held()).await,
            }
            self.proxy.cut();
            self.proxy.pass(Passes::All);
            Instant::now()
        };
        let (appended, at) = tokio::join!(append, cut);
        assert!(at.elapsed() < SOON, "it took {:?}", at.elapsed());
        appended
    }

    async fn has(&self, subject: &str) -> Result<(), String> {
        let last = self.direct.journal.last(subject).await;
        let last = last.map_err(|e| e.to_string())?;
        (last != Revision::NONE)
            .then_some(())
            .ok_or_else(|| "nothing".to_owned())
    }

    fn is_held(&self) -> Result<(), String> {
        let held = self.proxy.bytes_held();
        (held > 0)
            .then_some(())
            .ok_or_else(|| "nothing is held".to_owned())
    }

    /// Lets a stream hold at most so many messages.
    async fn limit(&self, kind: &str, messages: i64) {
        let client = async_nats::connect(self.servers.nats.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let name = format!("{}_{kind}", self.config.namespace);
        let mut config = context
            .get_stream(name)
            .await
            .unwrap()
            .cached_info()
            .config
            .clone();
        config.max_messages = messages;
        context.update_stream(config).await.unwrap();
    }
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn payloads(journal: &dyn Journal, subject: &str) -> Vec<Bytes> {
    let records = journal.read(subject, Revision::NONE).await.unwrap();
    records.into_iter().map(|record| record.payload).collect()
}

/// Pulls as a worker does: an error of a moment is no reason to stop.
async fn pull(queue: &dyn Queue, wait: Duration) -> Vec<Delivery> {
    let lease = Duration::from_secs(30);
    let again = async {
        loop {
            match queue.pull("work", 10, lease, wait).await {
                Err(QueueError::Unavailable { .. }) => {}
                pulled => return pulled.unwrap(),
            }
        }
    };
    timeout(PULLED_MAX, again).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_is_done_once_over_a_lost_connection() {
    let Some(ways) = Ways::start().await else {
        return;
    };
    // It was stored, and the answer is lost.
    let appended = ways.cut_append("log.stored", Passes::Requests).await;
    let last = ways.direct.journal.last("log.stored").await.unwrap();
    assert_eq!(appended.unwrap(), last);
    // It never arrived.
    let appended = ways.cut_append("log.sent", Passes::Nothing).await;
    let last = ways.direct.journal.last("log.sent").await.unwrap();
    assert_eq!(appended.unwrap(), last);
    // It never arrived, and somebody else wrote.
    let appended = ways.cut_append("log.lost", Passes::Nothing).await;
    assert!(
        matches!(appended, Err(JournalError::Conflict { .. })),
        "{appended:?}"
    );
    for (subject, expected) in [
        ("log.stored", "own"),
        ("log.sent", "own"),
        ("log.lost", "other"),
    ] {
        assert_eq!(
            payloads(&*ways.direct.journal, subject).await,
            [text(expected)],
            "{subject}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_pull_goes_on_after_a_lost_connection() {
    let Some(ways) = Ways::start().await else {
        return;
    };
    let (queue, wait) = (&*ways.proxied.queue, Duration::from_secs(30));
    for (id, within) in [("reset", SOON), ("forgotten", LATER)] {
        let began = Instant::now();
        let break_it = async {
            assert!(pull(&*ways.direct.queue, Duration::ZERO).await.is_empty());
            match id {
                "reset" => ways.proxy.cut(),
                _ => ways.proxy.forget(),
            }
            let added = ways.direct.queue.enqueue("work", id, text("x"), None).await;
            assert_eq!(added.unwrap(), Enqueued::New);
        };
        let (pulled, ()) = tokio::join!(pull(queue, wait), break_it);
        assert_eq!(pulled.len(), 1, "{id}");
        assert!(began.elapsed() < within, "{id}: {:?}", began.elapsed());
        queue.ack(&pulled[0].lease).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_too_slow_misses_nothing() {
    let Some(ways) = Ways::start().await else {
        return;
    };
    let mut records = ways.direct.journal.follow("log.").await.unwrap();
    let client = async_nats::connect(ways.servers.nats.url()).await.unwrap();
    let wake = format!("{}.told.journal.log.a", ways.config.namespace);
    for _ in 0..WAKES {
        client.publish(wake.clone(), Bytes::new()).await.unwrap();
    }
    client.flush().await.unwrap();
    let mut last = Revision::NONE;
    for _ in 0..3 {
        last = ways
            .direct
            .journal
            .append("log.a", last, text("x"))
            .await
            .unwrap();
    }
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        let next = timeout(LATER, records.next()).await.unwrap();
        heard.push(next.unwrap().revision);
    }
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_says_so_and_goes_on_with_room() {
    let Some(ways) = Ways::start().await else {
        return;
    };
    let Ports { queue, journal, .. } = &ways.direct;
    let first = journal
        .append("log.a", Revision::NONE, text("x"))
        .await
        .unwrap();
    queue.enqueue("work", "1", text("x"), None).await.unwrap();
    ways.limit("queue", 1).await;
    ways.limit("journal", 1).await;
    let refused = queue.enqueue("work", "2", text("x"), None).await;
    assert!(
        matches!(refused, Err(QueueError::Full { .. })),
        "{refused:?}"
    );
    let refused = journal.append("log.a", first, text("y")).await;
    let refused = refused.unwrap_err().to_string();
    for part in ["full", "raise its limits", "nats stream edit"] {
        assert!(refused.contains(part), "{refused}");
    }
    // Worked off: there is room.
    let pulled = pull(&**queue, SOON).await;
    queue.ack(&pulled[0].lease).await.unwrap();
    let added = queue.enqueue("work", "2", text("x"), None).await;
    assert_eq!(added.unwrap(), Enqueued::New);
    // Raised: there is room.
    ways.limit("journal", -1).await;
    journal.append("log.a", first, text("y")).await.unwrap();
    assert_eq!(payloads(&**journal, "log.a").await, [text("x"), text("y")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_upgraded_loses_nothing() {
    let Some(mut ways) = Ways::start().await else {
        return;
    };
    let journal = ways.direct.journal.clone();
    let (again, (mut last, mut stored)) = (AtomicBool::new(false), (Revision::NONE, 0));
    let append = async |last| {
        let appended = journal.append("log.a", last, text("x")).await;
        appended.map_err(|e| e.to_string())
    };
    let write = async {
        let mut after = 0;
        while after < 10 {
            after += usize::from(again.load(Ordering::Relaxed));
            last = eventually("an append", LATER, async || append(last).await).await;
            stored += 1;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let upgrade = async {
        ways.servers.nats.upgrade().await;
        again.store(true, Ordering::Relaxed);
    };
    tokio::join!(write, upgrade);
    let found = payloads(&*ways.direct.journal, "log.a").await;
    assert_eq!(found.len(), stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_is_told_and_made_again_at_a_start() {
    let Some(ways) = Ways::start().await else {
        return;
    };
    let client = async_nats::connect(ways.servers.nats.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    for kind in ["queue", "journal"] {
        let name = format!("{}_{kind}", ways.config.namespace);
        context.delete_stream(name).await.unwrap();
    }
    let appended = ways
        .direct
        .journal
        .append("log.a", Revision::NONE, text("x"))
        .await;
    let reason = appended.unwrap_err().to_string();
    assert!(reason.contains("the stream was deleted"), "{reason}");
    let added = ways
        .direct
        .queue
        .enqueue("work", "1", text("x"), None)
        .await;
    let reason = added.unwrap_err().to_string();
    assert!(reason.contains("stream"), "{reason}");
    // The others find what a new one makes.
    kork_cluster::connect(&ways.config).await.unwrap();
    let journal = &ways.direct.journal;
    journal
        .append("log.a", Revision::NONE, text("x"))
        .await
        .unwrap();
    ways.direct
        .queue
        .enqueue("work", "1", text("x"), None)
        .await
        .unwrap();
    assert_eq!(pull(&*ways.direct.queue, SOON).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_too_old_or_takes_too_little_is_named() {
    let Some(servers) = Servers::start().await else {
        return;
    };
    let mut config = servers.config();
    for (version, max_payload, expected) in [
        (
            "2.9.10",
            8_388_608,
            "it has version 2.9.10, at least 2.12.0 is needed",
        ),
        ("2.12.0", 1_048_576, "set `max_payload: 8388608`"),
    ] {
        config.nats = greeter(version, max_payload).await;
        let refused = kork_cluster::connect(&config)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

/// Something that greets as a NATS server of this version, and answers pings.
async fn greeter(version: &str, max_payload: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let info = format!(
        "INFO {{\"server_id\":\"X\",\"server_name\":\"x\",\"version\":\"{version}\",\"proto\":1,\
         \"host\":\"127.0.0.1\",\"port\":{port},\"headers\":true,\"max_payload\":{max_payload},\
         \"jetstream\":true}}\r\n"
    );
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            client.write_all(info.as_bytes()).await.unwrap();
            let mut buffer = [0; 4096];
            while let Ok(1..) = client.read(&mut buffer).await {
                if client.write_all(b"PONG\r\n").await.is_err() {
                    break;
                }
            }
        }
    });
    format!("nats://127.0.0.1:{port}")
}
