//! The service as a process of its own, on the servers of a cluster.

use std::process::ExitCode;

use kork_cluster::service::{self, Service};

kork_cluster::settings!(orca: orca::Config; gate, clouddriver, igor, front50, deck_api);

const SERVICE: Service = Service {
    name: "orca",
    about: "the orchestration: executions, triggers, stages",
    health_port: 7003,
    has_port: false,
};

fn main() -> ExitCode {
    service::main(SERVICE, |settings: Settings, ports, chassis| {
        orca::run(settings.orca, ports, chassis)
    })
}
