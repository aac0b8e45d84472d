//! What this program is when it is started again by itself.

use std::{convert::Infallible, io::Write as _, net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use camino::Utf8PathBuf;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::harness::{Suite, config};

/// Plays the role in `TEST_ROLE`; without one it only says what there is.
#[test]
fn role_process() {
    let role = std::env::var("TEST_ROLE").unwrap_or_default();
    if let Ok(dir) = std::env::var("TEST_PROXY_DIR") {
        clouddriver::proxy_main(["--dir".to_owned(), dir]).unwrap();
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match role.as_str() {
        "" => assert_eq!(
            std::env::var("GENNAKER_RUN").ok(),
            None,
            "an instance without a role"
        ),
        "server" => runtime.block_on(server()),
        "crash" => {
            eprintln!("cannot open the database");
            std::process::exit(3);
        }
        "suite" => runtime.block_on(suite()),
        other => panic!("there is no role {other}"),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// `/` answers the version, `/slow/MS` after a while, `/health` as `READY` says.
async fn server() {
    if variable("STUBBORN") == "1" {
        let script = "(trap '' TERM; while :; do sleep 0.2; done) &";
        let mut child = std::process::Command::new("sh");
        assert!(child.args(["-c", script]).status().unwrap().success());
        let mut term =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        tokio::spawn(async move { while term.recv().await.is_some() {} });
    }
    let port: u16 = variable("PORT").parse().unwrap();
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
    println!("version {} listens", variable("VERSION"));
    std::io::stdout().flush().unwrap();
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        tokio::spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .with_upgrades()
                .await;
            drop(served);
        });
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == "/echo" {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let stream = TokioIo::new(upgraded.await.unwrap());
            let (mut from, mut to) = tokio::io::split(stream);
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = hyper::StatusCode::SWITCHING_PROTOCOLS;
        response
            .headers_mut()
            .insert("connection", "upgrade".parse().unwrap());
        response
            .headers_mut()
            .insert("upgrade", "echo".parse().unwrap());
        return Ok(response);
    }
    if let Some(ms) = path.strip_prefix("/slow/") {
        tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await;
    }
    let mut response = Response::new(Full::new(Bytes::from(variable("VERSION"))));
    if path == "/health" && variable("READY") == "never" {
        *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
        *response.body_mut() = Full::new(Bytes::from("warming up for ever"));
    }
    Ok(response)
}

/// A suite that deploys once, writes the report to a file, and waits to be killed.
async fn suite() {
    let dir = Utf8PathBuf::from(variable("TEST_DIR"));
    let order: serde_json::Value = serde_json::from_str(&variable("TEST_ORDER")).unwrap();
    let suite = Suite::open(&dir, config(&dir)).await;
    let result = suite.order("createServerGroup", &order).await;
    std::fs::write(
        dir.join("report.draft"),
        serde_json::to_vec(&result).unwrap(),
    )
    .unwrap();
    std::fs::rename(dir.join("report.draft"), dir.join("report.json")).unwrap();
    std::future::pending::<()>().await;
}
