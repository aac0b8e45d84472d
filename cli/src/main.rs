//! `gennaker`: runs the whole suite in one process, and talks to any gate.
//!
//! - `args`, `exit`: the command line and the exit statuses.
//! - `suite`, `signals`: the suite in one process, until it is told to stop; `demo`: three deliveries before the user's eyes.
//! - `client`: gate's HTTP API; `command`: one module per noun of the command line.
//! - `output`: the only module that prints. `sample_service`: what the demo deploys.
//! - `relay`: the door of a network of containers.

mod args;
mod client;
mod command;
mod config;
mod demo;
mod exit;
mod leftovers;
mod output;
mod relay;
mod sample_service;
mod signals;
mod suite;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    args::{Cli, Command},
    client::Failure,
    exit::Exit,
    output::Out,
};

/// Time for blocking leftovers, such as a thread that waits for the terminal, at the end.
const LEFTOVERS_MS: u64 = 100;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Out::new(&cli.globals);
    let exit = match start(cli, &out) {
        Ok(exit) => match out.lost() {
            Some(failure) if exit == Exit::Success => told(&failure, &out),
            _ => exit,
        },
        Err(failure) => told(&failure, &out),
    };
    exit.into()
}

fn told(failure: &Failure, out: &Out) -> Exit {
    out.failure(failure);
    failure.exit()
}

fn start(cli: Cli, out: &Out) -> Result<Exit, Failure> {
    if let Some(Command::Proxy { arguments }) = cli.command {
        return proxy(arguments);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| Failure::Internal {
        detail: "the runtime cannot be started".to_owned(),
        cause: e.to_string(),
    })?;
    let ended = runtime.block_on(Box::pin(command::run(cli, out)));
    runtime.shutdown_timeout(Duration::from_millis(LEFTOVERS_MS));
    ended
}

/// The proxy has a runtime of its own, and outlives the suite that started it.
fn proxy(arguments: Vec<String>) -> Result<Exit, Failure> {
    let ended = clouddriver::proxy_main(arguments);
    ended
        .map(|()| Exit::Success)
        .map_err(|error| Failure::Internal {
            detail: "the proxy does not run".to_owned(),
            cause: suite::chain(&error),
        })
}
