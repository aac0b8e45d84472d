//! Who may listen, who may call, and how a page of another origin is treated.

use std::time::Duration;

use gate::{Config, Error, Limits};
use kork::service::Chassis;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::services::{TestGate, config, in_memory};

#[tokio::test]
async fn gate_listens_on_loopback_only() {
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let config = Config {
            host: host.to_owned(),
            ..config()
        };
        match gate::bind(config, in_memory(), Chassis::default()) {
            Err(error @ Error::OpenToOthers { .. }) => {
                assert!(error.to_string().starts_with("GATE-0012"), "{error}");
            }
            Err(other) => panic!("{host}: {other}"),
            Ok(_) => panic!("{host} was bound"),
        }
    }
    for host in ["localhost", "127.0.0.1"] {
        let config = Config {
            host: host.to_owned(),
            ..config()
        };
        let server = gate::bind(config, in_memory(), Chassis::default()).unwrap();
        assert!(server.addr().ip().is_loopback() && server.addr().port() != 0);
    }
}

#[tokio::test]
async fn in_a_container_gate_listens_everywhere_but_keeps_to_its_names() {
    let config = Config {
        host: "0.0.0.0".to_owned(),
        published_on_loopback: true,
        ..config()
    };
    let gate = TestGate::start_with(config, in_memory());
    assert!(gate.base.starts_with("http://0.0.0.0:"), "{}", gate.base);
    for (host, status) in [("localhost:8084", 200), ("gate:8084", 403)] {
        let request = gate.request("GET", "/version").header("host", host);
        assert_eq!(request.send().await.unwrap().status(), status, "{host}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn a_taken_port_and_bad_values_are_told() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let taken = gate::bind(Config { port, ..config() }, in_memory(), Chassis::default());
    assert!(matches!(taken, Err(Error::Bind { port: p, .. }) if p == port));
    let bad = Config {
        workers: 0,
        ..config()
    };
    let bad = gate::bind(bad, in_memory(), Chassis::default());
    assert!(matches!(bad, Err(Error::Config { problems }) if problems.len() == 1));
}

#[tokio::test]
async fn a_rebound_name_is_refused() {
    let gate = TestGate::start().await;
    for (host, status) in [
        ("evil.example", 403),
        ("localhost.evil.example:8084", 403),
        ("localhost:1234", 200),
        ("[::1]:8084", 200),
    ] {
        for method in ["GET", "OPTIONS"] {
            let request = gate.request(method, "/version").header("host", host);
            let answer = request.send().await.unwrap();
            let expected = if method == "GET" || status == 403 {
                status
            } else {
                405
            };
            assert_eq!(answer.status(), expected, "{method} {host}");
            if status == 403 {
                assert_eq!(answer.json::<Value>().await.unwrap()["code"], "GATE-0010");
            }
        }
    }
    gate.stop().await;
}

#[tokio::test]
async fn deck_may_call_and_other_pages_may_not() {
    let gate = TestGate::start().await;
    let deck = "http://localhost:9000";
    let preflight = |origin: &str| {
        gate.request("OPTIONS", "/pipelines/01X/cancel")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .send()
    };
    let answer = preflight(deck).await.unwrap();
    assert_eq!(answer.status(), 200);
    let headers = answer.headers();
    assert_eq!(headers["access-control-allow-origin"], deck);
    assert_eq!(headers["access-control-allow-credentials"], "true");
    assert_eq!(headers["access-control-max-age"], "3600");
    let methods = headers["access-control-allow-methods"].to_str().unwrap();
    assert!(methods.contains("PATCH") && methods.contains("DELETE"));
    assert!(
        headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("X-RateLimit-App")
    );
    let answer = preflight("http://evil.example").await.unwrap();
    assert_eq!(answer.status(), 403);
    assert!(!answer.headers().contains_key("access-control-allow-origin"));

    for (name, value, status) in [
        ("origin", deck, 200),
        ("origin", gate.base.as_str(), 200),
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("x-anything", "curl", 200),
    ] {
        let request = gate
            .request("POST", "/tasks")
            .header(name, value)
            .json(&json!({"job": []}));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{name}: {value}");
        let allowed = answer.headers().get("access-control-allow-origin");
        assert_eq!(allowed.is_some(), value == deck, "{name}: {value}");
        if status == 403 {
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "GATE-0011");
        }
    }
    let read = gate
        .request("GET", "/version")
        .header("origin", "http://evil.example");
    let read = read.send().await.unwrap();
    assert_eq!(read.status(), 200);
    assert!(!read.headers().contains_key("access-control-allow-origin"));
    let failed = gate
        .request("GET", "/nosuch")
        .header("origin", deck)
        .send()
        .await
        .unwrap();
    assert_eq!(
        failed.headers()["access-control-allow-origin"],
        deck,
        "errors are readable too"
    );
    gate.stop().await;
}

#[tokio::test]
async fn a_request_keeps_its_harmless_id() {
    let gate = TestGate::start().await;
    let with = |id: &str| {
        gate.request("GET", "/version")
            .header("x-spinnaker-request-id", id)
    };
    let kept = with("my-id-1").send().await.unwrap();
    assert_eq!(kept.headers()["x-spinnaker-request-id"], "my-id-1");
    let long = "x".repeat(1000);
    for id in ["a b", "<script>", long.as_str()] {
        let answer = with(id).send().await.unwrap();
        let new = answer.headers()["x-spinnaker-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(new.len(), 36, "{id} became {new}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn pages_are_self_contained_and_errors_have_one_each() {
    let gate = TestGate::start().await;
    let root = gate.send("GET", "/").await;
    assert_eq!(root.status(), 302);
    assert_eq!(root.headers()["location"], "/docs");
    let docs = gate.send("GET", "/docs").await;
    assert_eq!(docs.headers()["content-type"], "text/html;charset=UTF-8");
    let docs = docs.text().await.unwrap();
    assert!(docs.contains("/pipelines/{id}/stages/{stage}") && docs.contains("type=\"search\""));
    let document: Value = gate.get_json("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    for (accept, media) in [
        ("text/html", "text/html"),
        ("*/*", "text/markdown"),
        ("application/json", "application/json"),
    ] {
        for path in ["/errors", "/errors/gate-0005"] {
            let answer = gate
                .request("GET", path)
                .header("accept", accept)
                .send()
                .await
                .unwrap();
            let sent = answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            assert!(sent.starts_with(media), "{path} {accept}: {sent}");
            assert!(
                answer.text().await.unwrap().contains("not JSON"),
                "{path} {accept}"
            );
        }
    }
    assert_eq!(gate.send("GET", "/errors/GATE-9999").await.status(), 404);
    gate.stop().await;
}

#[tokio::test]
async fn health_follows_the_parts_of_the_process() {
    let gate = TestGate::start().await;
    let health = gate.send("GET", "/health").await;
    assert_eq!(health.status(), 200);
    let media = "application/vnd.spring-boot.actuator.v3+json";
    assert_eq!(health.headers()["content-type"], media);
    assert_eq!(health.text().await.unwrap(), r#"{"status":"UP"}"#);
    let part = gate.chassis.health.part("orca.recovery");
    assert_eq!(gate.send("GET", "/health").await.status(), 503);
    part.ready();
    assert_eq!(gate.send("GET", "/health").await.status(), 200);
    gate.stop().await;
}

#[tokio::test]
async fn a_slow_head_is_dropped_and_others_are_served_meanwhile() {
    let gate = TestGate::start_limited(Limits {
        connections_max: 64,
        ..Limits::default()
    });
    let address = gate.base.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        .await
        .unwrap();
    assert_eq!(gate.send("GET", "/version").await.status(), 200);
    let mut answer = Vec::new();
    let wait = gate::limit::HEAD_WAIT + Duration::from_secs(5);
    let read = tokio::time::timeout(wait, slow.read_to_end(&mut answer)).await;
    read.expect("the server gives up").unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    gate.stop().await;
}
