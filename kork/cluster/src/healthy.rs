//! `--healthy`: asks the service that runs with the same settings how it is, as the health check of a
//! container does, whose image has no client of HTTP.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// Time to connect, to ask, and between two pieces of the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of the answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Asks whether the service is ready; otherwise says why not. `address` is where it listens.
pub(crate) fn ask(address: SocketAddr) -> Result<(), String> {
    let address = reachable(address);
    let answer = get(address).map_err(|e| format!("{address} does not answer: {e}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("{address} is not ready: {body}")),
    }
}

/// Who listens everywhere is asked on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let own = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(own, address.port())
}

fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request =
        format!("GET /health/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use kork::service::{Chassis, management};

    use super::*;

    async fn asked(address: SocketAddr) -> Result<(), String> {
        tokio::task::spawn_blocking(move || ask(address))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_answer_is_that_of_the_running_service() {
        let chassis = Chassis::default();
        let part = chassis.health.part("store");
        let everywhere = (Ipv4Addr::UNSPECIFIED, 0).into();
        let address = management::start(everywhere, &chassis).unwrap();
        let missing = asked(address).await.unwrap_err();
        assert!(missing.contains("starting"), "{missing}");
        part.ready();
        assert_eq!(asked(address).await, Ok(()));
        assert!(chassis.shutdown.finish(Duration::from_secs(20)).await);
        let gone = asked(address).await.unwrap_err();
        assert!(gone.contains("does not answer"), "{gone}");
    }
}
