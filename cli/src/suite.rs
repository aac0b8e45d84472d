//! The suite in one process.

use std::net::SocketAddr;

use camino::Utf8Path;

use crate::{args::SuiteArgs, client::Failure};

pub(crate) struct Options {}

impl Options {
    pub(crate) fn for_up(_args: &SuiteArgs, _health_port: Option<u16>) -> Self {
        Self {}
    }
    pub(crate) fn for_demo(_args: &SuiteArgs) -> Self {
        Self {}
    }
}

pub(crate) struct Suite {}

impl Suite {
    pub(crate) async fn start(_: Options) -> Result<Self, Failure> {
        Ok(Self {})
    }
    pub(crate) fn gate(&self) -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }
    pub(crate) fn health(&self) -> Option<SocketAddr> {
        None
    }
    pub(crate) fn data_dir(&self) -> &Utf8Path {
        Utf8Path::new("x")
    }
    pub(crate) fn is_ephemeral(&self) -> bool {
        false
    }
    pub(crate) async fn failed(&self) -> Failure {
        std::future::pending().await
    }
    pub(crate) async fn stop(self) -> bool {
        true
    }
    pub(crate) async fn stop_all(self) {}
}

/// Returns at SIGINT or SIGTERM.
pub(crate) async fn stop_signal() {
    std::future::pending().await
}
