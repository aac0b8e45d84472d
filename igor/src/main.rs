//! The service as a process of its own, on the servers of a cluster.

use std::process::ExitCode;

use kork_cluster::service::{self, Service};

kork_cluster::settings!(igor: igor::Config; gate, orca, clouddriver, front50, deck_api);

const SERVICE: Service = Service {
    name: "igor",
    about: "the bridge to CI servers and source control",
    health_port: 7005,
    has_port: false,
};

fn main() -> ExitCode {
    service::main(SERVICE, |settings: Settings, ports, chassis| {
        igor::run(settings.igor, ports, chassis)
    })
}
