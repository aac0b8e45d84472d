//! The service as a process of its own, on the servers of a cluster.

use std::process::ExitCode;

use kork_cluster::service::{self, Service};

kork_cluster::settings!(front50: front50::Config; gate, orca, clouddriver, igor, deck_api);

const SERVICE: Service = Service {
    name: "front50",
    about: "the store of applications and pipelines",
    health_port: 7006,
    has_port: false,
};

fn main() -> ExitCode {
    service::main(SERVICE, |settings: Settings, ports, chassis| {
        front50::run(settings.front50, ports, chassis)
    })
}
