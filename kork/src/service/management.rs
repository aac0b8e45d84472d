//! The port of the operators: health and metrics, apart from the traffic.
//!
//! - `GET /health/live`: 200 while the process answers.
//! - `GET /health/ready`: 200, or 503 with the parts that are missing.
//! - `GET /health`: as ready, always 200. `GET /metrics`: Prometheus.

use std::{io, net::SocketAddr};

use actix_web::{App, HttpResponse, HttpServer, web};

use super::Chassis;

/// Connections at the same moment.
const CONNECTIONS_MAX: usize = 256;
/// Seconds that answers may take to finish when the process stops.
const STOP_GRACE_S: u64 = 2;

/// Serves on `address` (port 0: a free one) until a stop is requested. Answers with the address.
/// Call it inside a tokio runtime.
pub fn start(address: SocketAddr, chassis: &Chassis) -> io::Result<SocketAddr> {
    let of_server = chassis.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(of_server.clone()))
            .route("/health/live", web::get().to(live))
            .route("/health/ready", web::get().to(ready))
            .route("/health", web::get().to(health))
            .route("/metrics", web::get().to(metrics))
    })
    .workers(1)
    .max_connections(CONNECTIONS_MAX)
    .shutdown_timeout(STOP_GRACE_S)
    .disable_signals()
    .bind(address)?;
    let bound = server
        .addrs()
        .first()
        .copied()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let running = server.run();
    let handle = running.handle();
    chassis.shutdown.spawn(async move {
        if let Err(error) = running.await {
            tracing::error!(%error, "the management server ended");
        }
    });
    let shutdown = chassis.shutdown.clone();
    chassis.shutdown.spawn(async move {
        shutdown.requested().await;
        handle.stop(true).await;
    });
    Ok(bound)
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "UP" }))
}

async fn ready(chassis: web::Data<Chassis>) -> HttpResponse {
    let report = chassis.health.report();
    let mut answer = if report.status == "UP" {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    answer.json(report)
}

async fn health(chassis: web::Data<Chassis>) -> HttpResponse {
    HttpResponse::Ok().json(chassis.health.report())
}

async fn metrics(chassis: web::Data<Chassis>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(chassis.metrics.encode())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_and_metrics_are_served_until_the_stop() {
        let chassis = Chassis::default();
        let part = chassis.health.part("store");
        chassis.metrics.counter("seen", "Seen").inc(&[]);
        let address = start(([127, 0, 0, 1], 0).into(), &chassis).unwrap();
        assert!(
            get(address, "/health/live")
                .await
                .starts_with("HTTP/1.1 200")
        );
        let missing = get(address, "/health/ready").await;
        assert!(
            missing.starts_with("HTTP/1.1 503") && missing.contains("starting"),
            "{missing}"
        );
        assert!(get(address, "/health").await.starts_with("HTTP/1.1 200"));
        part.ready();
        assert!(
            get(address, "/health/ready")
                .await
                .starts_with("HTTP/1.1 200")
        );
        assert!(get(address, "/metrics").await.contains("seen_total{} 1"));
        assert!(chassis.shutdown.finish(Duration::from_secs(20)).await);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
