//! The service as a process of its own, on the servers of a cluster.

use std::process::ExitCode;

use kork_cluster::service::{self, Service};

kork_cluster::settings!(deck_api: deck_api::Config; gate, orca, clouddriver, igor, front50);

const SERVICE: Service = Service {
    name: "deck-api",
    about: "the user interface's server",
    health_port: 7007,
    has_port: true,
};

fn main() -> ExitCode {
    service::main(SERVICE, |settings: Settings, ports, chassis| {
        deck_api::run(settings.deck_api, ports, chassis)
    })
}
