//! The adapters on Redis and S3 while the servers are emptied, go, fall silent, or are not what is
//! needed.

use std::time::Duration;

use bytes::Bytes;
use integration_tests::{harness::eventually, servers::Proxy};
use kork::ports::{Cache, CacheError};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::contracts::Servers;

/// A server that is there again is used again within this time.
const SOON: Duration = Duration::from_secs(25);
/// Nobody waits longer for the cache.
const CACHE_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_may_be_emptied_go_and_fall_silent() {
    let Some(mut servers) = Servers::start().await else {
        return;
    };
    let proxy = Proxy::start(&servers.redis.address(), 1).await;
    let mut config = servers.config();
    config.redis = format!("redis://{}", proxy.address());
    let cache = kork_cluster::connect(&config).await.unwrap().cache;
    let value = Bytes::from_static(b"value");
    let put = async || cache.put("key", value.clone(), None).await;
    let again = async || {
        eventually("it can be used again", SOON, async || {
            put().await.map_err(|e| e.to_string())
        })
        .await;
        assert_eq!(cache.get("key").await.unwrap(), Some(value.clone()));
    };
    again().await;
    servers.redis.flush().await;
    assert_eq!(cache.get("key").await.unwrap(), None);
    again().await;

    servers.redis.kill();
    refused(&*cache).await;
    servers.redis.restart().await;
    again().await;

    proxy.forget();
    refused(&*cache).await;
    again().await;
    proxy.cut();
    again().await;
}

/// The cache says that it is not there, and soon.
async fn refused(cache: &dyn Cache) {
    let began = Instant::now();
    let refused = cache.get("key").await;
    assert!(
        matches!(refused, Err(CacheError::Unavailable { .. })),
        "{refused:?}"
    );
    assert!(began.elapsed() < CACHE_MAX, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_s3_connection_that_falls_silent_is_left() {
    let Some(servers) = Servers::start().await else {
        return;
    };
    let proxy = Proxy::start(&servers.s3.address(), 1).await;
    let mut config = servers.config();
    config.s3_endpoint = format!("http://{}", proxy.address());
    let objects = kork_cluster::connect(&config).await.unwrap().objects;
    let body = Bytes::from_static(b"body");
    let put = objects.put("key", body.clone(), kork::ports::Condition::Always);
    put.await.unwrap();
    proxy.forget();
    let began = Instant::now();
    let found = objects.get("key").await.unwrap().unwrap();
    assert_eq!(found.body, body);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_s3_that_ignores_conditions_is_refused() {
    let Some(servers) = Servers::start().await else {
        return;
    };
    let mut config = servers.config();
    config.s3_endpoint = careless().await;
    let refused = kork_cluster::connect(&config)
        .await
        .err()
        .unwrap()
        .to_string();
    for part in ["does not honour `If-None-Match`", "MinIO, SeaweedFS or AWS"] {
        assert!(refused.contains(part), "{refused}");
    }
}

/// An S3 that takes every write, whatever its condition.
async fn careless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client));
        }
    });
    format!("http://{address}")
}

/// Answers one request after the other until the client leaves.
async fn serve(client: TcpStream) {
    let mut client = BufReader::new(client);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if !matches!(client.read_line(&mut line).await, Ok(1..)) {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if first.is_empty() {
                first = line;
            } else if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body).await.unwrap();
        let answer = match () {
            () if first.contains("?versioning") => {
                "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
            }
            () if first.contains("versions") => "<ListVersionsResult></ListVersionsResult>",
            () => "",
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if client.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}
