//! The Unix socket by which clouddriver replaces the table.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    CONTROL_BYTES_MAX, IDLE_EXIT, ProxyError, SOCKET, TABLE, io,
    protocol::{Answer, Command},
    routes::Routes,
};
use crate::domain::routing::Table;

/// Serves the control socket until told to stop, or until nobody needs the proxy.
pub(super) async fn serve(dir: Utf8PathBuf, routes: Arc<Routes>) -> Result<(), ProxyError> {
    let path = dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io("remove", path)(error)),
    }
    let socket = UnixListener::bind(&path).map_err(io("listen on", path.clone()))?;
    let stop = CancellationToken::new();
    let connected = Arc::new(AtomicUsize::new(0));
    let mut needed_at = Instant::now();
    loop {
        if connected.load(Ordering::SeqCst) > 0 || !routes.is_empty() {
            needed_at = Instant::now();
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                if needed_at.elapsed() >= IDLE_EXIT {
                    return Ok(());
                }
            }
            accepted = socket.accept() => {
                let (stream, _) = accepted.map_err(io("accept on", path.clone()))?;
                connected.fetch_add(1, Ordering::SeqCst);
                let (connected, stop) = (Arc::clone(&connected), stop.clone());
                let (dir, routes) = (dir.clone(), Arc::clone(&routes));
                tokio::spawn(async move {
                    if let Err(error) = talk(&dir, &routes, stream, &stop).await {
                        tracing::debug!(%error, "a control connection ended early");
                    }
                    connected.fetch_sub(1, Ordering::SeqCst);
                });
            }
        }
    }
}

async fn talk(
    dir: &Utf8Path,
    routes: &Arc<Routes>,
    stream: UnixStream,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        let limit = CONTROL_BYTES_MAX as u64;
        let read = (&mut from).take(limit).read_until(b'\n', &mut line).await?;
        if read == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(command) => obey(dir, routes, command, stop).await,
            Err(error) => problem(format!("the command cannot be read: {error}")),
        };
        let mut bytes = serde_json::to_vec(&answer).map_err(std::io::Error::other)?;
        bytes.push(b'\n');
        to.write_all(&bytes).await?;
    }
}

fn problem(text: String) -> Answer {
    Answer {
        problems: vec![text],
        ..Answer::default()
    }
}

async fn obey(
    dir: &Utf8Path,
    routes: &Arc<Routes>,
    command: Command,
    stop: &CancellationToken,
) -> Answer {
    match command {
        Command::Apply { table } => {
            let mut answer = routes.apply(&table).await;
            if let Err(error) = keep(dir, table, routes) {
                answer
                    .problems
                    .push(format!("the table cannot be stored in {dir}: {error}"));
            }
            answer
        }
        Command::Idle {
            targets,
            timeout_ms,
        } => {
            let in_flight = routes
                .idle(&targets, Duration::from_millis(timeout_ms))
                .await;
            Answer {
                in_flight,
                ..Answer::default()
            }
        }
        Command::Cut { targets } => Answer {
            cut: routes.cut(&targets),
            ..Answer::default()
        },
        Command::Metrics => Answer {
            metrics: routes.metrics(),
            ports: routes.ports(),
            ..Answer::default()
        },
        Command::Stop => {
            stop.cancel();
            Answer::default()
        }
    }
}

/// Stores the table with the ports that were taken, so that the next proxy takes the same.
fn keep(dir: &Utf8Path, mut table: Table, routes: &Routes) -> std::io::Result<()> {
    let ports = routes.ports();
    for (name, listener) in &mut table.listeners {
        if let Some(port) = ports.get(name) {
            listener.address.set_port(*port);
        }
    }
    let bytes = serde_json::to_vec(&table).map_err(std::io::Error::other)?;
    let draft = dir.join("table.draft");
    std::fs::write(&draft, bytes)?;
    std::fs::rename(draft, dir.join(TABLE))
}
