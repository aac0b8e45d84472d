//! The service as a process of its own, on the servers of a cluster.

use std::process::ExitCode;

use kork_cluster::service::{self, Service};

kork_cluster::settings!(clouddriver: clouddriver::Config; gate, orca, igor, front50, deck_api);

const SERVICE: Service = Service {
    name: "clouddriver",
    about: "the cloud driver: accounts, server groups, artifacts",
    health_port: 7004,
    has_port: false,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "proxy") {
        return proxy(arguments);
    }
    service::main(SERVICE, |mut settings: Settings, ports, chassis| {
        if settings.clouddriver.self_exe.is_empty() {
            settings.clouddriver.self_exe = beside().into_iter().collect();
        }
        clouddriver::run(settings.clouddriver, ports, chassis)
    })
}

/// The command line, which has the sample service, when it lies beside this program.
fn beside() -> Option<String> {
    let own = std::env::current_exe().ok()?;
    let found = own.with_file_name("gennaker");
    found
        .is_file()
        .then(|| found.to_string_lossy().into_owned())
}

/// The proxy has a runtime of its own, and outlives the service that started it.
fn proxy(arguments: Vec<String>) -> ExitCode {
    match clouddriver::proxy_main(arguments.into_iter().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => service::fail("the proxy", &error),
    }
}
