//! `gennaker relay`: passes connections of one address on to whoever has a name at the moment, such as
//! the instances of a service in a network of containers.
//!
//! It is the one place whose ports are published on the host: what is behind it may be scaled, restarted
//! and replaced. The name is looked up for every connection, and its addresses are tried in turn, so that
//! an instance that stands by (it does not listen) is passed over.

use std::{io, net::SocketAddr, ops::RangeInclusive, str::FromStr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, lookup_host},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

use crate::{args::RelayArgs, client::Failure, exit::Exit, output::Out, signals::StopSignals};

/// Connections at the same time; further ones wait.
const CONNECTIONS_MAX: usize = 4096;
/// Time to reach one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after the system refused a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Ports to listen on, and where their connections go: `8084=gate:8084`, `8090-8099=clouddriver` (the
/// same ports there).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    ports: RangeInclusive<u16>,
    host: String,
    /// The first port there.
    to: u16,
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not written PORT[-PORT]=HOST[:PORT]");
        let (ports, target) = text.split_once('=').ok_or_else(wrong)?;
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().map_err(|_| wrong());
        let (first, last) = (port(first)?, port(last)?);
        let (host, to) = match target.rsplit_once(':') {
            Some((host, to)) => (host, port(to)?),
            None => (target, first),
        };
        if last < first || host.is_empty() || to.checked_add(last - first).is_none() {
            return Err(wrong());
        }
        Ok(Self {
            ports: first..=last,
            host: host.to_owned(),
            to,
        })
    }
}

/// Passes connections on until a signal.
pub(crate) async fn run(args: &RelayArgs, out: &Out) -> Result<Exit, Failure> {
    let mut signals = StopSignals::listen()?;
    let mut relays = JoinSet::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for route in &args.routes {
        for (port, to) in route.ports.clone().zip(route.to..) {
            let listener = TcpListener::bind((args.host, port)).await;
            let listener = listener.map_err(|e| Failure::InUse {
                detail: format!("port {port} of {} cannot be listened on: {e}", args.host),
                next: "free the port, or relay another one".to_owned(),
            })?;
            let target = (route.host.clone(), to);
            relays.spawn(accept(listener, target, Arc::clone(&permits)));
        }
        let (first, last) = (route.ports.start(), route.ports.end());
        out.line(&format!(
            "{first}-{last} of {} go to {}:{}",
            args.host, route.host, route.to
        ));
    }
    signals.next().await;
    Ok(Exit::Success)
}

async fn accept(listener: TcpListener, target: (String, u16), permits: Arc<Semaphore>) {
    // Dropped with this task, which takes open connections along when the relay stops.
    let mut open = JoinSet::new();
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let target = target.clone();
                open.spawn(async move {
                    // Whoever hung up first, the other one is told by the end of the connection.
                    pass_on(client, &target).await.ok();
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn pass_on(mut client: TcpStream, target: &(String, u16)) -> io::Result<()> {
    let mut server = connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The first of the name's addresses that listens.
async fn connect((host, port): &(String, u16)) -> io::Result<TcpStream> {
    let found: Vec<SocketAddr> = lookup_host((host.as_str(), *port)).await?.collect();
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for address in found {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => refused = error,
            Err(_) => refused = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn routes_are_read() {
        let route = |first, last, host: &str, to| Route {
            ports: first..=last,
            host: host.to_owned(),
            to,
        };
        for (text, expected) in [
            ("8084=gate:7000", route(8084, 8084, "gate", 7000)),
            ("8090-8099=cd", route(8090, 8099, "cd", 8090)),
            ("1-2=h:5", route(1, 2, "h", 5)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "1", "=h", "2-1=h", "1=", "1=:2", "x=h", "1-9=h:65530"] {
            assert!(text.parse::<Route>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn connections_go_to_whoever_listens_now() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = free.local_addr().unwrap().port();
        drop(free);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = ("localhost".to_owned(), to);
        let mut relay = JoinSet::new();
        relay.spawn(accept(listener, target, Arc::new(Semaphore::new(8))));

        let mut early = TcpStream::connect(address).await.unwrap();
        assert_eq!(early.read(&mut [0; 8]).await.unwrap_or(0), 0);
        // The name may have an address of another kind first, where nobody listens.
        let server = TcpListener::bind(("127.0.0.1", to)).await.unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut taken, _) = server.accept().await.unwrap();
        let mut asked = String::new();
        taken.read_to_string(&mut asked).await.unwrap();
        taken.write_all(b"answer").await.unwrap();
        drop(taken);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((asked.as_str(), answer.as_str()), ("question", "answer"));
    }
}
