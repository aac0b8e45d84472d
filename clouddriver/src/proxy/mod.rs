//! The proxy process: listens on the ports of load balancers and outlives the suite.
//!
//! - [`routes`]: the table in use, the choice of an instance, and what is in flight.
//! - [`serve`]: one request from a client to an instance and back. [`body`]: its body.
//! - [`control`]: the Unix socket by which clouddriver replaces the table.
//! - [`protocol`]: what is said on that socket.

mod body;
mod control;
pub mod protocol;
mod routes;
mod serve;

use std::{fs::File, io::Write as _, sync::Arc, time::Duration};

use camino::Utf8PathBuf;

use self::routes::Routes;

/// The control socket in the proxy's directory.
pub const SOCKET: &str = "control.sock";
/// The table of the last `apply`, read at start.
pub const TABLE: &str = "table.json";
/// Locked while a proxy works in the directory.
const LOCK: &str = "proxy.lock";
/// Process id of the running proxy.
pub const PID: &str = "proxy.pid";
/// With no instance to send requests to and nobody connected the proxy ends after this time. A suite
/// that comes back starts it again on the same ports.
pub const IDLE_EXIT: Duration = Duration::from_secs(3);
/// Connections from clients at the same time.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Headers of one request.
pub const HEADERS_MAX: usize = 128;
/// Bytes of the head of one request.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Time for a client to send the head of a request.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time to connect to an instance on this machine.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of one line on the control socket.
pub const CONTROL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why the proxy does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("the proxy needs --dir DIRECTORY")]
    Usage,
    /// Another proxy works in the directory; this one is not needed.
    #[error("another proxy works in {dir}")]
    AlreadyRunning { dir: Utf8PathBuf },
    #[error("the proxy cannot {doing} {path}")]
    Io {
        doing: &'static str,
        path: Utf8PathBuf,
        #[source]
        source: std::io::Error,
    },
}

fn io(doing: &'static str, path: Utf8PathBuf) -> impl FnOnce(std::io::Error) -> ProxyError {
    move |source| ProxyError::Io {
        doing,
        path,
        source,
    }
}

/// Runs the proxy until it is told to stop or nobody needs it. `args`: `--dir DIRECTORY`.
pub fn proxy_main(args: impl IntoIterator<Item = String>) -> Result<(), ProxyError> {
    let mut args = args.into_iter().skip_while(|arg| arg != "--dir").skip(1);
    let dir = Utf8PathBuf::from(args.next().ok_or(ProxyError::Usage)?);
    std::fs::create_dir_all(&dir).map_err(io("make", dir.clone()))?;
    let lock_path = dir.join(LOCK);
    let lock = File::create(&lock_path).map_err(io("open", lock_path))?;
    if lock.try_lock().is_err() {
        return Err(ProxyError::AlreadyRunning { dir });
    }
    let pid_path = dir.join(PID);
    File::create(&pid_path)
        .and_then(|mut file| write!(file, "{}", std::process::id()))
        .map_err(io("write", pid_path))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(io("start threads in", dir.clone()))?;
    let ended = runtime.block_on(run(dir));
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    ended
}

async fn run(dir: Utf8PathBuf) -> Result<(), ProxyError> {
    let routes = Arc::new(Routes::default());
    let table_path = dir.join(TABLE);
    if let Ok(bytes) = std::fs::read(&table_path) {
        match serde_json::from_slice(&bytes) {
            Ok(table) => {
                for problem in routes.apply(&table).await.problems {
                    tracing::warn!(problem, "a listener could not be opened again");
                }
            }
            Err(error) => tracing::warn!(%error, path = %table_path, "the table cannot be read"),
        }
    }
    control::serve(dir, routes).await
}
