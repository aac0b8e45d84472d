//! The signals that ask the process to stop.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::Failure;

/// A signal that comes again within this time is the same one.
const ECHO: Duration = Duration::from_millis(50);
/// Where Linux tells which signals a process was told to ignore, for example by `nohup`.
const STATUS_FILE: &str = "/proc/self/status";
/// The line of ignored signals: a bit for each in hexadecimal, the lowest for signal 1.
const IGNORED: &str = "SigIgn:";

/// Listens from the moment it is made: no signal falls between two waits.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal went away. None when the process was told to live on (`nohup`).
    hangup: Option<Signal>,
}

impl StopSignals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind).map_err(|error| Failure::Internal {
                detail: "signals cannot be listened to".to_owned(),
                cause: error.to_string(),
            })
        };
        let status = std::fs::read_to_string(STATUS_FILE).unwrap_or_default();
        let hangup = if ignores_hangup(&status) {
            None
        } else {
            Some(on(SignalKind::hangup())?)
        };
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup,
        })
    }

    /// Forgets the echo of a signal: `timeout` and a closing terminal send theirs twice.
    pub(crate) async fn forget_echo(&mut self) {
        let pause = tokio::time::sleep(ECHO);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = self.next() => {}
            }
        }
    }

    /// Returns at the next SIGINT, SIGTERM or SIGHUP.
    pub(crate) async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

fn ignores_hangup(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix(IGNORED));
    let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_respected() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
