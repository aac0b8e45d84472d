//! Binding, running and stopping the gateway.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpServer, dev, web};
use bytes::Bytes;
use kork::{
    ports::Ports,
    service::{Chassis, Histogram, Part},
};
use tokio::sync::Semaphore;

use crate::{
    config::{Config, Identity},
    error::Error,
    http::{
        asked::Asked, connection::Connection, guard::is_loopback_name, observed::observed,
        route::Router,
    },
    limit, openapi, routes,
};

/// What every request sees.
pub(crate) struct Gate {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) chassis: Chassis,
    pub(crate) router: Router,
    pub(crate) measures: Histogram,
    /// What is asked now.
    pub(crate) asked: Asked,
    /// One permit per client of the event stream.
    pub(crate) event_slots: Arc<Semaphore>,
    /// One permit per delivery whose body is larger than those of other requests.
    pub(crate) large_deliveries: Semaphore,
    /// The `OpenAPI` document, and the page that shows it.
    pub(crate) document: Bytes,
    pub(crate) page: Bytes,
}

/// A gateway that listens and waits for [`Self::run`].
pub struct Server {
    address: SocketAddr,
    inner: dev::Server,
    chassis: Chassis,
    part: Part,
}

/// Binds the address and answers with the server; nothing is served before [`Server::run`].
///
/// `config.port` 0 takes a free port; [`Server::addr`] says which. Refuses an address that others
/// can reach as long as nobody is asked who they are, unless the configuration vouches for it.
pub fn bind(config: Config, ports: Ports, chassis: Chassis) -> Result<Server, Error> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(Error::Config { problems });
    }
    let listener = listen(&config)?;
    let (host, port, workers) = (config.host.clone(), config.port, config.workers);
    let failed = |source| Error::Bind {
        host: host.clone(),
        port,
        source,
    };
    let limits = config.limits.clone();
    let address = listener.local_addr().map_err(failed)?;
    let part = chassis.health.part("gate.http");
    let document = openapi::document();
    let gate = web::Data::new(Gate {
        router: Router::new(routes::table()),
        measures: chassis.metrics.histogram(
            "gennaker_http_request_duration_seconds",
            "answers to HTTP requests, by method, route and status",
        ),
        asked: Asked::default(),
        large_deliveries: Semaphore::new(limit::LARGE_DELIVERIES_MAX),
        event_slots: Arc::new(Semaphore::new(limits.event_clients_max)),
        page: Bytes::from(openapi::page(&document)),
        document: Bytes::from(document.to_string()),
        config,
        ports,
        chassis: chassis.clone(),
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(gate.clone())
            .default_service(web::to(observed))
    })
    .workers(workers)
    .max_connections(limits.connections_max)
    .keep_alive(limit::KEEP_ALIVE)
    .client_request_timeout(limit::HEAD_WAIT)
    .client_disconnect_timeout(Duration::from_secs(1))
    // A client that hangs up while it follows the event stream is noticed at once.
    .h1_allow_half_closed(false)
    .on_connect(Connection::remember)
    .shutdown_timeout(limits.shutdown_grace_s)
    .disable_signals()
    .listen(listener)
    .map_err(failed)?
    .run();
    Ok(Server {
        address,
        inner: server,
        chassis,
        part,
    })
}

/// Binds and serves until a stop is requested.
pub async fn run(config: Config, ports: Ports, chassis: Chassis) -> Result<(), Error> {
    bind(config, ports, chassis)?.run().await
}

impl Server {
    /// The address that was bound.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until a stop is requested: then no connection is taken any more, running requests may
    /// end within the configured grace, event streams end at once.
    pub async fn run(mut self) -> Result<(), Error> {
        tracing::info!(address = %self.address, "gate listens");
        self.part.ready();
        tokio::select! {
            ended = &mut self.inner => return ended.map_err(Error::Ended),
            () = self.chassis.shutdown.requested() => {}
        }
        self.part.missing("stopping");
        let handle = self.inner.handle();
        let (ended, ()) = tokio::join!(self.inner, handle.stop(true));
        ended.map_err(Error::Ended)
    }
}

fn listen(config: &Config) -> Result<TcpListener, Error> {
    let failed = |source| Error::Bind {
        host: config.host.clone(),
        port: config.port,
        source,
    };
    let addresses: Vec<SocketAddr> = (config.host.as_str(), config.port)
        .to_socket_addrs()
        .map_err(failed)?
        .collect();
    let others = addresses.iter().any(|address| !is_own(address.ip()));
    match config.identity {
        Identity::None if others || !may_be_own(&config.host) => {
            if !config.published_on_loopback {
                return Err(Error::OpenToOthers {
                    host: config.host.clone(),
                });
            }
            tracing::warn!(
                host = config.host,
                "nobody logs in: the port must be published on loopback of the host only"
            );
        }
        Identity::None => {}
    }
    let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn is_own(address: IpAddr) -> bool {
    address.is_loopback()
}

/// A name that resolves to loopback today may resolve to something else tomorrow.
fn may_be_own(host: &str) -> bool {
    is_loopback_name(host)
}
