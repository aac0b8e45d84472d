//! The service as a process of its own, on the servers of a cluster.

use std::process::ExitCode;

use kork_cluster::service::{self, Service};

kork_cluster::settings!(gate: gate::Config; orca, clouddriver, igor, front50, deck_api);

const SERVICE: Service = Service {
    name: "gate",
    about: "the API gateway: the HTTP API of the suite",
    health_port: 7002,
    has_port: true,
};

fn main() -> ExitCode {
    service::main(SERVICE, |settings: Settings, ports, chassis| {
        gate::run(settings.gate, ports, chassis)
    })
}
