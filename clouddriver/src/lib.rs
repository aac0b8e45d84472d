//! The cloud driver: accounts, operations and the live inventory, for processes of this machine.
//!
//! A server group is a number of OS processes behind a built-in reverse proxy. Both live on when
//! clouddriver ends, and are found again when it starts.
//!
//! - [`domain`]: words and rules, without IO. [`app`]: use cases.
//! - `adapter`: processes and the client of the proxy. `artifact`: what server groups are made from.
//! - `host`: whose turn it is on this machine. [`proxy`]: the proxy process. `bus`: orders and questions.

mod adapter;
pub mod app;
mod artifact;
mod bus;
pub mod config;
pub mod domain;
mod host;
pub mod proxy;

use std::{sync::Arc, time::Duration};

use camino::Utf8Path;
use kork::{
    ports::{Ports, RpcError},
    service::{Chassis, Part},
};
use kork_model::{Kind, Problem};
use tokio::sync::mpsc;

use self::{
    adapter::{
        process::{LocalProcesses, NOTICES_MAX},
        proxy::LocalProxy,
    },
    app::Driver,
    artifact::LocalArtifacts,
};
pub use self::{
    config::Config,
    proxy::{ProxyError, proxy_main},
};

/// Pause before records that could not be read are read again.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// Why clouddriver does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its directory, its records or its configuration cannot be used.
    #[error("clouddriver cannot start")]
    Start(#[from] Box<Problem>),
    #[error("the directory {dir} of clouddriver cannot be used")]
    Directory {
        dir: String,
        #[source]
        source: std::io::Error,
    },
    #[error("clouddriver cannot answer calls")]
    Rpc(#[from] RpcError),
}

/// Runs clouddriver until shutdown. Instances and their traffic go on without it.
pub async fn run(config: Config, ports: Ports, chassis: Chassis) -> Result<(), Error> {
    check(&config)?;
    let part = chassis.health.part("clouddriver.local");
    let Some(_turn) = turn(&config, &chassis, &part).await? else {
        return Ok(());
    };
    let (sender, notices) = mpsc::channel(NOTICES_MAX);
    let processes = LocalProcesses::new(
        &config,
        Arc::clone(&ports.clock),
        Arc::clone(&ports.ids),
        sender,
    )
    .map_err(|source| Error::Directory {
        dir: config.data_dir.clone(),
        source,
    })?;
    let traffic = LocalProxy::new(&config).map_err(Box::new)?;
    let artifacts = LocalArtifacts::new(&config).map_err(Box::new)?;
    let rpc = Arc::clone(&ports.rpc);
    let driver = Driver::new(
        config,
        ports,
        Arc::new(processes),
        Arc::new(traffic),
        Arc::new(artifacts),
    );
    let driver = Arc::new(driver);
    load(&driver, &chassis, &part).await.map_err(Box::new)?;
    let reconciling = Arc::clone(&driver).reconcile(notices, chassis.shutdown.clone());
    chassis.shutdown.spawn(reconciling);
    let endpoints = bus::endpoints::register(rpc.as_ref(), &driver).await?;
    part.ready();
    tracing::info!(data_dir = driver.config.data_dir, "clouddriver is ready");
    bus::worker::work(driver, chassis.shutdown).await;
    drop(endpoints);
    Ok(())
}

/// Reads the records; again when the store does not answer just now.
async fn load(driver: &Driver, chassis: &Chassis, part: &Part) -> Result<(), Problem> {
    loop {
        match driver.load().await {
            Err(problem)
                if app::store::is_passing(&problem) && !chassis.shutdown.is_requested() =>
            {
                tracing::warn!(%problem, "the records are read again");
                part.missing(problem.message());
                tokio::time::sleep(RELOAD_PAUSE).await;
            }
            outcome => return outcome.map(drop),
        }
    }
}

/// Waits until the processes of this machine are ours; `None` when a stop was requested before.
async fn turn(
    config: &Config,
    chassis: &Chassis,
    part: &Part,
) -> Result<Option<host::Turn>, Error> {
    let dir = Utf8Path::new(&config.data_dir);
    let unusable = |source| Error::Directory {
        dir: config.data_dir.clone(),
        source,
    };
    if let Some(turn) = host::try_take(dir).map_err(unusable)? {
        return Ok(Some(turn));
    }
    tracing::info!(%dir, "another clouddriver works with these processes; stands by");
    part.ready_with("stands by");
    tokio::select! {
        turn = host::wait(dir) => turn.map(Some).map_err(unusable),
        () = chassis.shutdown.requested() => Ok(None),
    }
}

/// What the types of the configuration cannot say.
fn check(config: &Config) -> Result<(), Box<Problem>> {
    let wrong = |text: String| Box::new(Problem::new("CLOUDDRIVER-0001", Kind::Invalid, text));
    if config
        .load_balancer_host
        .parse::<std::net::IpAddr>()
        .is_err()
    {
        let host = &config.load_balancer_host;
        return Err(wrong(format!(
            "clouddriver.loadBalancerHost is {host:?}, not an IP address"
        )));
    }
    let name = &config.load_balancer_name;
    if !name.is_empty() && url::Host::parse(name).is_err() {
        return Err(wrong(format!(
            "clouddriver.loadBalancerName is {name:?}, not a name or an address"
        )));
    }
    let ranges = [
        ("instancePorts", Some(config.instance_ports)),
        ("loadBalancerPorts", config.load_balancer_ports),
    ];
    for (key, range) in ranges {
        if let Some(range) = range.filter(|r| r.first == 0 || r.last < r.first) {
            return Err(wrong(format!(
                "clouddriver.{key} from {} to {} are no ports",
                range.first, range.last
            )));
        }
    }
    if config.accounts.is_empty() {
        return Err(wrong("clouddriver.accounts is empty".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_is_sound_and_wrong_ones_are_told() {
        assert!(check(&Config::default()).is_ok());
        let host = Config {
            load_balancer_host: "nowhere".to_owned(),
            ..Config::default()
        };
        let accounts = Config {
            accounts: Vec::new(),
            ..Config::default()
        };
        let name = Config {
            load_balancer_name: "apps:80".to_owned(),
            ..Config::default()
        };
        let ports = Config {
            load_balancer_ports: Some(config::PortRange { first: 9, last: 8 }),
            ..Config::default()
        };
        for (config, word) in [
            (host, "loadBalancerHost"),
            (accounts, "accounts"),
            (name, "loadBalancerName"),
            (ports, "loadBalancerPorts"),
        ] {
            assert!(check(&config).unwrap_err().detail.contains(word));
        }
    }
}
